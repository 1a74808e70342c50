"""The largest eigenvalue of the Hessian over the layers, by a compiled Lanczos method.

One call of the program takes the place of some hundred calls of Hessian-vector products, so that
every recorded iterate of gradient descent can be measured.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Scalar
from flowsim.solvers.curvature import ROUNDING, hessian_product
from flowsim.theory.sharpness.spec import FEWEST, MOST, NUMBERS


@eqx.filter_jit
def largest_eigenvalue(
    loss: Loss, layers: Layers, weight_decay: Array, start: Float[Array, " weight"]
) -> tuple[Scalar, Scalar, Scalar]:
    """Return λ_max of the Hessian over the layers, its error, and the largest |λ| that is found.

    The error is the norm of the residual, which bounds the distance to an eigenvalue.
    """
    cuts = np.cumsum([W.size for W in layers])[:-1]

    def product(v: Array) -> Array:
        directions = tuple(
            part.reshape(W.shape) for part, W in zip(jnp.split(v, cuts), layers, strict=True)
        )
        image = hessian_product(loss, layers, directions, weight_decay)
        return jnp.concatenate([jnp.ravel(W) for W in image])

    size = start.size
    count = min(size, MOST, max(NUMBERS // size, FEWEST))
    alpha, beta = _lanczos(product, jnp.asarray(start), count)
    values, vectors = jnp.linalg.eigh(
        jnp.diag(alpha) + jnp.diag(beta[:-1], 1) + jnp.diag(beta[:-1], -1)
    )
    scale = jnp.abs(values).max()
    rounding = size * float(np.finfo(float).eps) * scale
    return values[-1], beta[-1] * jnp.abs(vectors[-1, -1]) + rounding, scale


def _lanczos(product: Callable[[Array], Array], start: Array, count: int) -> tuple[Array, Array]:
    """Return the diagonal and the further entries of the tridiagonal matrix of Lanczos' method.

    Directions are orthogonalized against all earlier ones. Where they span an invariant subspace
    before `count` steps, the rest of the diagonal repeats its first entry, a value of vᵀHv that is
    at most λ_max, and so hides no eigenvalue above it.
    """

    def step(j: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        basis, alpha, beta, vector, scale = carry
        basis = basis.at[j].set(vector)
        image = product(vector)
        ended = ~(vector != 0).any()
        alpha = alpha.at[j].set(jnp.where(ended, alpha[0], vector @ image))
        scale = jnp.maximum(scale, jnp.linalg.norm(image))
        for _ in range(2):  # once leaves rounding that a second time removes
            image = image - basis.T @ (basis @ image)
        length = jnp.linalg.norm(image)
        # false for nan, so that a Hessian that is not finite has no eigenvalue
        length = jnp.where(length <= ROUNDING * scale, 0.0, length)
        vector = jnp.where(length == 0, 0.0, image / length)
        return basis, alpha, beta.at[j].set(length), vector, scale

    none = jnp.zeros(count)
    begun = jnp.zeros((count, start.size)), none, none, start / jnp.linalg.norm(start), none.sum()
    _, alpha, beta, *_ = jax.lax.fori_loop(0, count, step, begun)
    return alpha, beta
