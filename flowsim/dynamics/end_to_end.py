"""End-to-end flow: the closed equation of W = W_N⋯W_1 under gradient flow on balanced layers.

Ẇ = -Σ_{j=1}^{N} [WWᵀ]^{(N-j)/N} ∇ℓ(W) [WᵀW]^{(j-1)/N} - λ N W.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import numpy as np

from flowsim.dynamics.flow import Flow, State
from flowsim.dynamics.gauss_newton import curvature, end_to_end_inverse
from flowsim.dynamics.layers import LayerFlow
from flowsim.dynamics.preconditioner import precondition
from flowsim.problem import initialization, network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Matrix


class EndToEndFlow(Flow):
    """The preconditioned flow of W = W_N⋯W_1 (Arora, Cohen & Hazan 2018, Theorem 1).

    From balanced layers W(t) is that of the layer flow. From others it is an approximation, whose
    error is proportional to the imbalance.

    Attributes
    ----------
    depth
        N.
    rank
        A bound on the rank of W(t). Singular values beyond it count as exact zeros: they are
        roundoff, which the flow would amplify exponentially.

    """

    space: ClassVar[str] = "end_to_end"

    depth: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem) -> EndToEndFlow:
        """Return the flow of a problem's depth, with the rank bound of its initial layers.

        Raises
        ------
        NotApplicable
            If W(0) is below float64's range while the layers are not.

        """
        try:
            network.require_size(problem.layers)
        except NotApplicable as reason:
            raise NotApplicable(f'end_to_end: {reason}; take "layers".') from None
        return cls(depth=problem.depth, rank=network.rank_bound(problem.layers))

    def initial_state(self, problem: Problem) -> State:
        """Return (W(0),)."""
        return (problem.initial,)

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return (Ẇ,)."""
        (W,) = state
        preconditioned = precondition(W, loss.gradient(W), self.depth, self.rank)
        return (-preconditioned - weight_decay * self.depth * W,)

    def second_solve(self, problem: Problem) -> tuple[Flow, State]:
        """Return the layer flow from balanced layers with the product W(0).

        Every solution for the entries of W loses singular values below the tolerance in the same
        way, so that two of them agree on a wrong result. The layers hold N-th roots of singular
        values, and so resolve them.
        """
        if network.is_balanced(problem.layers) and self.rank == min(problem.widths):
            return LayerFlow(), problem.layers
        (first, *_, last), r = problem.widths, max(self.rank, 1)
        U, sigma, Vt = np.linalg.svd(problem.initial, full_matrices=False)
        widths = [first, *[r] * (self.depth - 1), last]
        return LayerFlow(), initialization.from_svd(widths, U[:, :r], sigma[:r], Vt[:r])

    def resolvent(
        self, state: State, loss: Loss, weight_decay: Array | float, tau: Array
    ) -> Callable[[State], State]:
        """Return x ↦ ((1 + τλN) I + τκ P_W)⁻¹ x: from J without the derivative of P_W."""
        (W,) = state
        a, c = 1 + tau * weight_decay * self.depth, tau * curvature(loss, W)
        inverse = end_to_end_inverse(W, a, c, self.depth, self.rank)
        return lambda x: (inverse(x[0]),)

    def end_to_end(self, state: State) -> Matrix:
        """Return W."""
        return state[0]
