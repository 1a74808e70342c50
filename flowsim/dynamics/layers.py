"""Layer flow: gradient flow on the layers W_1, …, W_N, the reference of all other dynamics.

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
from flowsim.problem.types import Array, Layers, Matrix, Scalar


class LayerFlow(Flow):
    """Gradient flow of φ(W_1..W_N) = ℓ(W_N⋯W_1) with weight decay λ on every layer.

    Along it each W_{j+1}ᵀW_{j+1} - W_jW_jᵀ is constant for any loss without weight decay, decays as
    e^{-2λt} with it, and dφ/dt = -Σ_j‖∂φ/∂W_j‖² (Arora, Cohen & Hazan 2018, §4). From a small
    initialization singular values of W grow one after another, with plateaus of the loss between
    (Saxe, McClelland & Ganguli 2014): the flow is stiff there, and ends where ∇φ = 0.

    It exists for every problem. With a function of the layers added to ℓ, φ stands for the sum, and
    no imbalance is constant. For a loss unbounded below at N ≥ 3, W reaches infinity within finite
    time, which the verdict of a solver reports.
    """

    space: ClassVar[str] = "layers"
    symmetric: ClassVar[bool] = True

    @classmethod
    def of(cls, problem: Problem) -> LayerFlow:  # noqa: ARG003
        """Return the flow, which is the same for every problem."""
        return cls()

    def initial_state(self, problem: Problem) -> State:
        """Return (W_1, …, W_N)."""
        return problem.layers

    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return (Ẇ_1, …, Ẇ_N)."""
        gradients = loss.layer_gradients(state)
        return tuple(-g - weight_decay * W for g, W in zip(gradients, state, strict=True))

    def resolvent(
        self, state: State, loss: Loss, weight_decay: Array | float, tau: Array
    ) -> Callable[[State], State]:
        """Return x ↦ ((1 + τλ) I + τκ AᵀA)⁻¹ x, from the Gauss-Newton part of J."""
        kappa = curvature(loss.of_matrix, network.end_to_end(state))
        return layer_inverse(state, 1 + tau * weight_decay, tau * kappa)

    def layers(self, state: State, depth: int) -> Layers:  # noqa: ARG002
        """Return the state."""
        return state

    def loss(self, state: State, W: Matrix, loss: Loss) -> Scalar:
        """Return the loss of the layers, whose product is W."""
        return loss.at(state, W)

    def end_to_end(self, state: State) -> Matrix:
        """Return W_N ⋯ W_1."""
        return network.end_to_end(state)
