"""End-to-end flow: what gradient flow on balanced layers does to their product.

Ẇ = -Σ_{j=1}^{N} [WWᵀ]^{(N-j)/N} ∇ℓ(W) [WᵀW]^{(j-1)/N} - λ N W.
"""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx

from flowsim import network
from flowsim.arrays import Array, Matrix
from flowsim.dynamics.base import Flow, State
from flowsim.dynamics.preconditioner import precondition
from flowsim.losses import Loss
from flowsim.problem import Problem


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

    def start(self, problem: Problem) -> State:
        """Return (W(0),)."""
        return (problem.start,)

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return (Ẇ,)."""
        (W,) = state
        moved = precondition(W, loss.gradient(W), self.depth, self.rank)
        return (-moved - weight_decay * self.depth * W,)

    def end_to_end(self, state: State) -> Matrix:
        """Return W."""
        return state[0]
