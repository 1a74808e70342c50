"""Layer flow: gradient flow on the stacked layers.

Ẇ_j = -(W_N⋯W_{j+1})ᵀ ∇ℓ(W) (W_{j-1}⋯W_1)ᵀ - λ W_j, j = 1..N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from flowsim.dynamics.flow import Flow, State
from flowsim.dynamics.gauss_newton import curvature, layer_inverse
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Matrix


class LayerFlow(Flow):
    """Gradient flow of φ(W_1..W_N) = ℓ(W_N⋯W_1) with weight decay λ on every layer.

    Along it each W_{j+1}ᵀW_{j+1} - W_jW_jᵀ is constant for any loss (it decays as e^{-2λt}), and
    dφ/dt = -Σ_j‖∂φ/∂W_j‖² (Arora, Cohen & Hazan 2018, §4).
    """

    space: ClassVar[str] = "layers"
    symmetric: ClassVar[bool] = True

    @classmethod
    def of(cls, problem: Problem) -> LayerFlow:  # noqa: ARG003
        """Return the flow; it needs to know nothing of the problem."""
        return cls()

    def initial_state(self, problem: Problem) -> State:
        """Return (W_1, …, W_N)."""
        return problem.layers

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return (Ẇ_1, …, Ẇ_N)."""
        gradients = network.layer_gradients(state, loss.gradient)
        return tuple(-g - weight_decay * W for g, W in zip(gradients, state, strict=True))

    def resolvent(
        self, state: State, loss: Loss, weight_decay: Array | float, tau: Array
    ) -> Callable[[State], State]:
        """Return x ↦ ((1 + τλ) I + τκ AᵀA)⁻¹ x, the Gauss-Newton part (see `gauss_newton`)."""
        kappa = curvature(loss, network.end_to_end(state))
        return layer_inverse(state, 1 + tau * weight_decay, tau * kappa)

    def end_to_end(self, state: State) -> Matrix:
        """Return W_N ⋯ W_1."""
        return network.end_to_end(state)
