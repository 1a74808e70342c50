"""Flows that describe gradient descent with step size η better than the gradient flow does.

In layer space, φ(W_1..W_N) = ℓ(W_N⋯W_1), g = ∇φ, H = ∇²φ with eigenvalues λ_i and eigenvectors u_i:

- flow: θ̇ = -g, off the iterates θ_k at t = kη in order 1;
- modified: θ̇ = -∇(φ + (η/4)‖g‖²) = -g - (η/2) H g, in order 2 (Barrett & Dherin 2021);
- principal: θ̇ = Σ_i [log(1 - ηλ_i)/(ηλ_i)] (gᵀu_i) u_i (Rosca, Wu, Qin & Dherin 2023), exact on
  quadratics, where θ_k = (I - ηH)^k θ_0 about the minimum.

The central flow is in `flowsim.theory.modified_flows.central_flow`. Where ηλ_i > 1 the logarithm is
complex: its imaginary part π is the sign (-1)^k at t = kη. The real part log|1 - ηλ_i|, which is
taken here, is how fast |u_iᵀθ| shrinks, or grows where ηλ_i > 2: a size without its alternation.
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
"""The entries of W_1, …, W_N, in one row: θ."""

Hessian: TypeAlias = Float[Array, "weight weight"]


class Objective(eqx.Module):
    """φ(θ) = ℓ(W_N⋯W_1) of the layers' entries in one row θ, in which they have these `shapes`.

    Derivatives are those of φ + (λ/2)‖θ‖², λ the weight decay.
    """

    loss: Loss
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    weight_decay: Array | float = 0.0

    @classmethod
    def of(cls, loss: Loss, layers: Layers, weight_decay: float = 0.0) -> Objective:
        """Return φ of layers of these shapes."""
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
        """Return φ(θ)."""
        return self.loss.value(network.end_to_end(self.layers(theta)))

    def gradient(self, theta: Weights) -> Weights:
        """Return g = ∇φ(θ) + λθ."""
        slopes = network.layer_gradients(self.layers(theta), self.loss.gradient)
        return weights(slopes) + self.weight_decay * theta

    def curved(self, theta: Weights, v: Weights) -> Weights:
        """Return Hv = D g[v], the derivative of g along v."""
        return jnp.asarray(jax.jvp(self.gradient, (theta,), (v,))[1])

    def hessian(self, theta: Weights) -> Hessian:
        """Return H = ∇²φ(θ), symmetric to the last bit, from a product a column."""
        H = jax.vmap(lambda v: self.curved(theta, v))(jnp.eye(theta.size))
        return (H + H.T) / 2

    def turned(self, theta: Weights, u: Weights, v: Weights) -> Weights:
        """Return D³φ[u, v] = ∇(uᵀ H(θ) v), for fixed u and v."""
        return jnp.asarray(jax.jvp(lambda x: self.curved(x, u), (theta,), (v,))[1])


def weights(layers: Layers) -> Weights:
    """Return the entries of the layers in one row."""
    return jnp.asarray(ravel_pytree(tuple(layers))[0])


def flow(objective: Objective, theta: Weights, eta: Array) -> Weights:  # noqa: ARG001
    """Return -g."""
    return -objective.gradient(theta)


def modified(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return -∇(φ + (η/4)‖∇φ‖²) = -g - (η/2) H g."""
    g = objective.gradient(theta)
    return -g - eta / 2 * objective.curved(theta, g)


def principal(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return Σ_i [log|1 - ηλ_i|/(ηλ_i)] (gᵀu_i) u_i, over all eigenvectors of the Hessian."""
    lambdas, U = jnp.linalg.eigh(objective.hessian(theta))
    return jnp.asarray(U @ (shrinkage(eta * lambdas) * (U.T @ objective.gradient(theta))))


def shrinkage(x: Array) -> Array:
    """Return log|1 - x|/x, -1 at x = 0."""
    near = jnp.abs(x) < 1e-8  # where it is -1 - x/2 to all digits
    safe = jnp.where(near, 1.0, x)
    log = jnp.where(x < 0.5, jnp.log1p(-jnp.minimum(safe, 0.5)), jnp.log(jnp.abs(1 - safe)))
    return jnp.where(near, -1 - x / 2, log / safe)


Field: TypeAlias = Callable[[Objective, Weights, Array], Weights]

FIELDS: Mapping[str, Field] = {"flow": flow, "modified": modified, "principal": principal}
"""The right-hand sides θ̇ by name."""


def velocity(name: str, loss: Loss, layers: Layers, eta: float) -> Layers:
    """Return Ẇ_1, …, Ẇ_N of a description by name, at some layers and step size."""
    objective = Objective.of(loss, layers)
    found = FIELDS[name](objective, weights(layers), jnp.asarray(eta))
    return objective.layers(found)
