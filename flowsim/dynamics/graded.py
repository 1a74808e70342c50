"""Graded triangular matrices R = e^Δ K, as T = Δ + K - I: Δ diagonal, K unit upper triangular.

These are log-Cholesky coordinates (Pinheiro & Bates 1996) of RᵀR. The rows of R may differ in size
by any factor: only ratios e^{δ_c - δ_r} are formed, and one that underflows is negligible beside
what it is added to.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from flowsim.problem.types import Array

LARGEST_EXPONENT = 300.0
"""Cut of δ_c - δ_r before exponentiation, below float64's overflow at 709.

Ratios above it only multiply exact zeros of triangular matrices (see `triangular_velocity`), and
inf · 0 would be nan.
"""

MOST_SWEEPS = 40
"""An upper bound on Jacobi sweeps; as they converge quadratically, it is not reached."""

Square = Float[Array, "r r"]


def unit_triangular(T: Square) -> Square:
    """Return K of T = Δ + K - I."""
    return T * _strictly_upper(T) + np.eye(T.shape[0])


def triangular_root(T: Square) -> Square:
    """Return R = e^Δ K; rows of e^Δ below float64's range become 0."""
    return jnp.exp(jnp.diag(T))[:, None] * unit_triangular(T)


def triangular_velocity(T: Square, Y: Square, Psi: Square) -> tuple[Square, Square]:
    """Return the skew Ω and Δ̇ + K̇ for which Ω + Ṙ R⁻¹ = Y + R Ψ R⁻¹, for a skew Ψ.

    Ω takes the strictly lower part, as in the differential equation of a QR decomposition (Dieci &
    Eirola 1999). What remains is upper triangular: its diagonal is Δ̇, and K̇ = e^{-Δ} (its strictly
    upper part) e^Δ K. With X = K Ψ K⁻¹, e^Δ X e^{-Δ} is only needed below the diagonal, and times
    e^{-Δ} and e^Δ above it: where the rows of R descend, every ratio is at most about 1.
    """
    K, ratio = unit_triangular(T), _ratios(T)
    upper, lower = _strictly_upper(T), _strictly_upper(T).T
    # X = K Ψ K⁻¹ from KᵀXᵀ = (K Ψ)ᵀ, without an inverse
    X = solve_triangular(K, (K @ Psi).T, trans=1, unit_diagonal=True).T
    below = lower * (Y + ratio.T * X)
    K_velocity = (upper * (ratio * (Y + below.T) + X)) @ K
    return below - below.T, np.eye(T.shape[0]) * (Y + X) + K_velocity


def straightening(T: Square) -> Square:
    """Return a skew Ψ that keeps K small and the rows descending; 0 where they already are.

    With K ≈ I, K̇_rc is Ψ_rc (1 - e^{2(δ_c - δ_r)}) for r < c, which opposes an entry that exceeds
    1. Where the rows are in the wrong order by more than a factor of 2 it makes the entry grow
    until they have changed places, as in the Toda flow. With |K_rc| < 1 and rows in order Ψ is 0,
    and makes the flow no stiffer.
    """
    excess = jnp.maximum(T**2 - 1, 0) + jnp.maximum(_ratios(T) ** 2 - 4, 0)
    A: Square = _strictly_upper(T) * T * excess
    return A.T - A


def _ratios(T: Square) -> Square:
    """Return e^{δ_c - δ_r}, with the exponent cut at `LARGEST_EXPONENT`."""
    delta = jnp.diag(T)
    ratios: Square = jnp.exp(jnp.minimum(delta[None, :] - delta[:, None], LARGEST_EXPONENT))
    return ratios


def _strictly_upper(T: Square) -> np.ndarray:
    """Return the mask of the entries above the diagonal."""
    return np.triu(np.ones(T.shape), 1)


def log_singular_values(T: Square) -> Float[Array, " r"]:
    """Return the logarithms of the singular values of e^Δ K, descending, each to full accuracy.

    One-sided Jacobi rotations of the rows (Demmel et al. 1999), stored as unit vectors and the
    logarithms of their lengths: a standard SVD would lose every σ below eps·σ_1. It sweeps over all
    pairs of rows until their cosines are at most r·eps, or `MOST_SWEEPS` times.
    """
    rows, logs = _normalized(unit_triangular(T), jnp.diag(T))
    pairs = jnp.asarray(np.transpose(np.triu_indices(T.shape[0], 1)))
    if pairs.size == 0:
        return logs
    # the rounding of an inner product of r terms
    tolerance = T.shape[0] * float(np.finfo(np.float64).eps)

    def sweep(carry: Any) -> Any:
        rows, logs, _, count = carry
        rotate = lambda i, carry: _rotate(pairs[i], *carry)  # noqa: E731
        initial = (rows, logs, jnp.asarray(0.0))
        return *jax.lax.fori_loop(0, len(pairs), rotate, initial), count + 1

    def unfinished(carry: Any) -> Array:
        again: Array = (carry[2] > tolerance) & (carry[3] < MOST_SWEEPS)
        return again

    initial = (rows, logs, jnp.asarray(jnp.inf), jnp.asarray(0))
    _, logs, _, _ = jax.lax.while_loop(unfinished, sweep, initial)
    descending: Float[Array, " r"] = jnp.sort(logs)[::-1]
    return descending


def _rotate(pair: Any, rows: Any, logs: Any, largest: Any) -> tuple[Any, Any, Any]:
    """Return all rows with two of them made orthogonal, and the largest cosine of the sweep.

    The rotation's tangent is ρτ with ρ ≤ 1 the ratio of the rows' lengths: τ stays finite as ρ
    underflows.
    """
    # the longer row first, so that ρ ≤ 1
    pair = jnp.where(logs[pair[0]] < logs[pair[1]], pair[::-1], pair)
    (a, b), (log_a, log_b) = rows[pair], logs[pair]
    cosine, rho = a @ b, jnp.exp(log_b - log_a)
    gap = (1 - rho) * (1 + rho)  # 1 - ρ², without cancellation as ρ → 1
    divisor = gap + jnp.sqrt(gap**2 + (2 * rho * cosine) ** 2)
    # A divisor of 0 means orthogonal rows of one length, which need no rotation. The inner where
    # keeps the branch that is not used finite: nan · 0 is nan under differentiation.
    tau = jnp.where(divisor > 0, 2 * cosine / jnp.where(divisor > 0, divisor, 1.0), 0.0)
    rotated = jnp.stack([a + rho**2 * tau * b, b - tau * a]) / jnp.sqrt(1 + (rho * tau) ** 2)
    new_rows, new_logs = _normalized(rotated, logs[pair])
    largest = jnp.maximum(largest, jnp.abs(cosine))
    return rows.at[pair].set(new_rows), logs.at[pair].set(new_logs), largest


def _normalized(rows: Array, logs: Array) -> tuple[Array, Array]:
    """Return the rows at unit length, and the logarithms with those of their lengths added."""
    lengths = jnp.linalg.norm(rows, axis=1)
    return rows / lengths[:, None], logs + jnp.log(lengths)
