"""First-order flows θ̇ = f(θ) that approximate gradient descent θ_{k+1} = θ_k - ηg(θ_k) at t = kη.

With g = ∇φ over the layers, H = ∇²φ, its eigenvalues λ_i and unit eigenvectors u_i:

- gradient flow: θ̇ = -g, with a global error O(η);
- modified flow: θ̇ = -g - (η/2)Hg = -∇(φ + (η/4)‖g‖²), with a global error O(η²) (Barrett &
  Dherin 2021, Implicit gradient regularization);
- principal flow: θ̇ = Σ_i [log(1 - ηλ_i)/(ηλ_i)] (u_iᵀg) u_i (Rosca, Wu, Qin & Dherin 2023, On a
  continuous time model of gradient descent dynamics and instability in deep learning), exact on
  quadratic objectives, where θ_k - θ* = (I - ηH)^k (θ_0 - θ*).

The logarithm is complex where ηλ_i > 1. Its imaginary part π stands for the factor (-1)^k at
t = kη. Its real part log|1 - ηλ_i|, the only one used here, is the rate at which |u_iᵀ(θ - θ*)|
shrinks, or grows if ηλ_i > 2: an envelope without the alternation.

The central flow, which also holds beyond ηλ = 2, is in
`flowsim.theory.modified_flows.central_flow`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax.numpy as jnp

from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers
from flowsim.theory.modified_flows.objective import Objective, Weights, flatten


def gradient_flow(objective: Objective, theta: Weights, eta: Array) -> Weights:  # noqa: ARG001
    """Return -g."""
    return -objective.gradient(theta)


def modified_flow(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return -∇(φ + (η/4)‖∇φ‖²) = -g - (η/2)Hg."""
    g = objective.gradient(theta)
    return -g - eta / 2 * objective.hessian_product(theta, g)


def principal_flow(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return Σ_i [log|1 - ηλ_i|/(ηλ_i)] (u_iᵀg) u_i over all eigenvectors of the Hessian.

    It is -inf along an eigenvector with ηλ_i = 1, along which descent converges in one step.
    """
    lambdas, U = jnp.linalg.eigh(objective.hessian(theta))
    return jnp.asarray(U @ (shrinkage(eta * lambdas) * (U.T @ objective.gradient(theta))))


def shrinkage(x: Array) -> Array:
    """Return log|1 - x|/x, continued by -1 at x = 0; -inf at x = 1."""
    near = jnp.abs(x) < 1e-8  # where the next term of -1 - x/2 - x²/3 is below rounding
    safe = jnp.where(near, 1.0, x)
    # For small x, 1 - x loses the digits that log1p keeps.
    log = jnp.where(x < 0.5, jnp.log1p(-jnp.minimum(safe, 0.5)), jnp.log(jnp.abs(1 - safe)))
    return jnp.where(near, -1 - x / 2, log / safe)


VectorField: TypeAlias = Callable[[Objective, Weights, Array], Weights]
"""A function of the objective, θ and η that returns θ̇."""

FIELDS: Mapping[str, VectorField] = {
    "flow": gradient_flow,
    "modified": modified_flow,
    "principal": principal_flow,
}
"""The first-order flows by their names in the results."""


def layer_velocities(name: str, loss: Loss, layers: Layers, eta: float) -> Layers:
    """Return Ẇ_1, …, Ẇ_N of the flow of this name, at some layers and step size."""
    objective = Objective.of(loss, layers)
    velocity = FIELDS[name](objective, flatten(layers), jnp.asarray(eta))
    return objective.layers(velocity)
