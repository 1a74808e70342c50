"""The objective φ(W_1, …, W_N) = ℓ(W_N⋯W_1) as a function of one vector θ, with derivatives.

Three first-order flows θ̇ = f(θ) approximate gradient descent θ_{k+1} = θ_k - ηg(θ_k) at t = kη.
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

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers

Weights: TypeAlias = Float[Array, " weight"]
"""The entries of W_1, …, W_N in one vector θ, each matrix row by row."""

Hessian: TypeAlias = Float[Array, "weight weight"]


class Objective(eqx.Module):
    """φ(θ) = ℓ(W_N⋯W_1), θ holding the entries of layers that have these `shapes`.

    `value` is φ; all derivatives are those of φ + (λ/2)‖θ‖², with the weight decay λ.
    """

    loss: Loss
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    weight_decay: Array | float = 0.0

    @classmethod
    def of(cls, loss: Loss, layers: Layers, weight_decay: float = 0.0) -> Objective:
        """Return the objective over layers of these shapes."""
        return cls(loss, tuple(tuple(W.shape) for W in layers), jnp.asarray(weight_decay))

    def layers(self, theta: Weights) -> Layers:
        """Return W_1, …, W_N."""
        sizes = [rows * columns for rows, columns in self.shapes]
        ends = [sum(sizes[: j + 1]) for j in range(len(sizes))]
        return tuple(
            theta[end - size : end].reshape(shape)
            for size, end, shape in zip(sizes, ends, self.shapes, strict=True)
        )

    def value(self, theta: Weights) -> Array:
        """Return φ(θ), without weight decay."""
        layers = self.layers(theta)
        return self.loss.at(layers, network.end_to_end(layers))

    def gradient(self, theta: Weights) -> Weights:
        """Return g(θ) = ∇φ(θ) + λθ."""
        slopes = self.loss.layer_gradients(self.layers(theta))
        return flatten(slopes) + self.weight_decay * theta

    def hessian_product(self, theta: Weights, v: Weights) -> Weights:
        """Return H(θ)v, the derivative of g along v, at the cost of about two gradients."""
        return jnp.asarray(jax.jvp(self.gradient, (theta,), (v,))[1])

    def hessian(self, theta: Weights) -> Hessian:
        """Return H(θ) from one product per column, O(weights) gradients in all."""
        H = jax.vmap(lambda v: self.hessian_product(theta, v))(jnp.eye(theta.size))
        # Rounding differs between H_ij and H_ji, and `eigh` reads only one triangle.
        return (H + H.T) / 2

    def third_derivative(self, theta: Weights, u: Weights, v: Weights) -> Weights:
        """Return D³φ[u, v] = ∇(uᵀ H(θ) v) for fixed u and v.

        If u = v is a unit eigenvector of H with a simple eigenvalue λ, this is ∇λ(θ).
        """
        return jnp.asarray(jax.jvp(lambda x: self.hessian_product(x, u), (theta,), (v,))[1])


def flatten(layers: Layers) -> Weights:
    """Return the entries of the layers as one vector θ."""
    return jnp.asarray(ravel_pytree(tuple(layers))[0])


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
