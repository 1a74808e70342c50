"""The objective φ(W_1, …, W_N) = ℓ(W_N⋯W_1) as a function of one vector θ, with derivatives."""

from __future__ import annotations

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
        return self.loss.value(network.end_to_end(self.layers(theta)))

    def gradient(self, theta: Weights) -> Weights:
        """Return g(θ) = ∇φ(θ) + λθ."""
        slopes = network.layer_gradients(self.layers(theta), self.loss.gradient)
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
