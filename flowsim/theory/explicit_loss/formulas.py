"""Whether the end-to-end field W ↦ P_W[∇ℓ(W)] is the gradient of an explicit loss F(W).

It is one only if its Jacobian is symmetric wherever it exists, and if its line integral around
every closed curve is 0 (`flowsim.theory.explicit_loss.line_integrals`). In general there is no F
(Arora, Cohen & Hazan 2018, Theorem 2). Weight decay adds N λ W, a gradient, and changes nothing
here.

All results are exact up to rounding, and a bound on the rounding error accompanies each of them.
Computed singular values are those of a matrix at the distance ε‖W‖. With L(W) the Lipschitz
constant of W ↦ P_W, this changes P_W by ε L σ_1, and its derivative by ε L σ_1/σ_r. `ROUNDINGS`
counts the ε.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.preconditioner import precondition
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Matrix

ROUNDINGS = 10
"""Number of sums, of at most d_0 + d_N rounded terms each, in an SVD and the products after it."""

CLEAR = 10.0
"""A number above this multiple of its error bound is not 0."""

TELLING = 1e-6
"""Largest error bound, relative to the field, at which a number can be regarded as 0."""


class Within(NamedTuple):
    """A number with a bound on its error, both as fractions of the size of the field.

    The true number is between `value` - `error` and `value` + `error`.
    """

    value: float
    error: float

    @property
    def vanishes(self) -> bool:
        """Whether it is 0 within its error bound, and that bound is at most `TELLING`."""
        return abs(self.value) <= self.error <= TELLING

    @property
    def differs(self) -> bool:
        """Whether it is clearly not 0."""
        return abs(self.value) > CLEAR * self.error


def conservative(found: Iterable[Within]) -> bool | None:
    """Return False if one of the numbers is clearly not 0, True if all are 0, else None.

    False proves that no explicit loss exists. True means that all samples are compatible with one,
    within the stated bounds. None means undecided: a bound is too wide, or a number is nan.
    """
    known = list(found)
    if any(number.differs for number in known):
        return False
    return True if known and all(number.vanishes for number in known) else None


@partial(jax.jit, static_argnames=("depth", "rank"))
def preconditioned(matrices: Array, gradients: Array, depth: int, rank: int) -> Array:
    """Return P_W[G] for each W and G along the leading axis; W has no more than that rank."""
    moved: Array = jax.vmap(lambda W, G: precondition(W, G, depth, rank))(matrices, gradients)
    return moved


@eqx.filter_jit
def hessian(loss: Loss, W: Matrix) -> Array:
    """Return ∇²ℓ(W), shape (entry, output, input): its product with every unit matrix.

    Entries are numbered row by row. Memory is (d_N d_0)² numbers.
    """
    bent: Array = jax.vmap(lambda E: jax.jvp(loss.gradient, (W,), (E,))[1])(_units(W.shape))
    return bent


@partial(jax.jit, static_argnames="depth")
def _columns(W: Matrix, G: Matrix, bent: Array, depth: int) -> Array:
    """Return d(P_W[G]) for dW = every unit matrix E and dG = ∇²ℓ(W)[E]."""
    flow = partial(precondition, depth=depth, rank=min(W.shape))
    moved: Array = jax.vmap(lambda E, HE: jax.jvp(flow, (W, G), (E, HE))[1])(_units(W.shape), bent)
    return moved


def _units(shape: tuple[int, ...]) -> Array:
    size = shape[0] * shape[1]
    return jnp.eye(size).reshape(size, *shape)


def jacobian(loss: Loss, W: Matrix, depth: int) -> np.ndarray:
    """Return the Jacobian of W ↦ P_W[∇ℓ(W)], (d_N d_0) × (d_N d_0), entries of W row by row.

    Column k is d(P_W[∇ℓ]) for dW = the k-th unit matrix. The derivatives are exact, also where
    singular values are equal: `precondition` has its own derivative rule, without which automatic
    differentiation of an SVD yields nan there.

    Raises
    ------
    ValueError
        If W does not have full rank at depth 2 or more, where the derivative does not exist.

    """
    return _jacobian(W, loss.gradient(jnp.asarray(W)), hessian(loss, jnp.asarray(W)), depth)


def _jacobian(W: Matrix, G: Matrix, bent: Array, depth: int) -> np.ndarray:
    if depth > 1 and not has_full_rank(W):
        raise ValueError(
            f"W must have full rank at depth {depth}, where the field has no derivative otherwise, "
            f"but its singular values are {np.linalg.svd(np.asarray(W), compute_uv=False)}."
        )
    columns = np.asarray(_columns(jnp.asarray(W), jnp.asarray(G), bent, depth))
    return columns.reshape(len(columns), -1).T


def has_full_rank(W: Matrix) -> bool:
    """Return whether the smallest singular value exceeds the rounding error of the largest."""
    return bool(np.linalg.matrix_rank(np.asarray(W)) == min(W.shape))


def asymmetry(J: np.ndarray) -> float:
    """Return ‖J - Jᵀ‖_F/‖J‖_F, between 0 and 2; 0 for J = 0."""
    size = float(np.linalg.norm(J))
    return float(np.linalg.norm(J - J.T)) / size if size else 0.0


def asymmetry_at(loss: Loss, W: Matrix, depth: int) -> Within:
    """Return the asymmetry of the Jacobian at W, with a bound on its rounding; at most 2.

    Raises
    ------
    ValueError
        As `jacobian` does.

    """
    W = jnp.asarray(W)
    G, bent = loss.gradient(W), hessian(loss, W)
    J = _jacobian(W, G, bent, depth)
    size, sigma = float(np.linalg.norm(J)), np.linalg.svd(np.asarray(W), compute_uv=False)
    curvature = float(np.linalg.norm(bent))
    # a gradient may be a small difference of terms of this size, whose rounding errors it keeps
    slope = float(np.linalg.norm(G)) + curvature * float(np.linalg.norm(W))
    units = unit_roundoff(W.shape)
    L = lipschitz(sigma, depth)
    largest = depth * sigma[0] ** (2 - 2 / depth)
    # J E = P_W[∇²ℓ E] + (dP_W[E])[∇ℓ]: the first term is rounded like P_W. The second is 0 at depth
    # 1; elsewhere it contains differences of powers over those of σ, hence the factor σ_1/σ_r
    error = units * (largest + L * sigma[0]) * curvature
    if depth > 1:
        error += units * np.sqrt(W.size) * L * slope * sigma[0] / sigma[-1]
    # J and Jᵀ have the same error; ‖J - Jᵀ‖ ≤ 2‖J‖ always holds, and `fmin` returns it for a nan
    bound = 2 * error / size if size else (2.0 if error else 0.0)
    return Within(asymmetry(J), float(np.fmin(bound, 2.0)) if np.isfinite(size) else np.nan)


def unit_roundoff(shape: tuple[int, ...]) -> float:
    """Return the relative rounding error of sums over a matrix of this shape, `ROUNDINGS` of them.

    Multiplied by `field_rounding` it bounds the rounding error of P_W[G].
    """
    return ROUNDINGS * sum(shape) * float(np.finfo(float).eps)


def lipschitz(sigma: np.ndarray, depth: int) -> np.ndarray:
    """Return a bound on ‖dP_W[G]‖_F/(‖dW‖_F ‖G‖_F) at constant G, for σ > 0 (…, mode), descending.

    d[(WWᵀ)^q] has the entries Γ_rs (σ_s E_rs + σ_r E_sr) in the singular basis, and
    |Γ_rs| (σ_r + σ_s) = |σ_r^{2q} - σ_s^{2q}|/|σ_r - σ_s| ≤ max(1, 2q) σ^{2q-1}, σ the smallest or
    the largest as 2q is below 1 or not. P_W has two such factors in each of its N terms. The bound
    is 0 at N = 1, and diverges as the smallest σ vanishes if N ≥ 3.
    """
    largest, smallest = sigma[..., 0], sigma[..., -1]
    total = np.zeros(sigma.shape[:-1])
    for j in range(1, depth):
        q = j / depth
        # the derivative of σ^{2q} is largest at the smallest σ where the power is concave
        sharpest = smallest if 2 * q < 1 else largest
        rest = largest ** (2 * (depth - 1 - j) / depth)
        total = total + 2 * 2 * max(1.0, 2 * q) * sharpest ** (2 * q - 1) * rest
    return total


def field_rounding(sigma: np.ndarray, slopes: np.ndarray, depth: int) -> np.ndarray:
    """Return the rounding error of P_W[G] in units of `unit_roundoff`, for ‖G‖ = `slopes`.

    It is (‖P_W‖ + L σ_1) ‖G‖, with ‖P_W‖ = N σ_1^{2-2/N}.
    """
    largest = sigma[..., 0]
    moved = depth * largest ** (2 - 2 / depth) + lipschitz(sigma, depth) * largest
    return np.asarray(moved * slopes)
