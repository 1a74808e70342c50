"""End-to-end flow: what gradient flow on balanced layers does to their product.

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
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Matrix


class EndToEndFlow(Flow):
    """The preconditioned flow of W = W_N⋯W_1 (Arora, Cohen & Hazan 2018, Theorem 1).

    Exact for a balanced start; away from balance an approximation, off in proportion to the
    imbalance. `rank` bounds the rank of W: singular values beyond it are held at zero, since their
    roundoff would otherwise grow exponentially.
    """

    space: ClassVar[str] = "end_to_end"

    depth: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem) -> EndToEndFlow:
        """Return the flow for a problem's depth, with the rank bound of its starting layers."""
        return cls(depth=problem.depth, rank=network.rank_bound(problem.layers))

    def initial_state(self, problem: Problem) -> State:
        """Return (W(0),)."""
        return (problem.initial,)

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return (Ẇ,)."""
        (W,) = state
        moved = precondition(W, loss.gradient(W), self.depth, self.rank)
        return (-moved - weight_decay * self.depth * W,)

    def second_solve(self, problem: Problem) -> tuple[Flow, State]:
        """Return the layer flow from balanced layers with the product W(0).

        Entries of W are noise below the tolerance, and singular values below it are lost by every
        solution alike; the layers hold their N-th roots.
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
        """Return x ↦ ((1 + τλN) I + τκ P_W)⁻¹ x: J without the derivative of P_W."""
        (W,) = state
        a, c = 1 + tau * weight_decay * self.depth, tau * curvature(loss, W)
        inverse = end_to_end_inverse(W, a, c, self.depth, self.rank)
        return lambda x: (inverse(x[0]),)

    def end_to_end(self, state: State) -> Matrix:
        """Return W."""
        return state[0]
