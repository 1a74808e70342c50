"""Graded triangular matrices R = e^Δ K, held as T = Δ + K - I: Δ diagonal, K unit upper triangular.

These are log-Cholesky coordinates (Pinheiro & Bates 1996) of RᵀR. No size of e^Δ over- or
underflows: only ratios e^{δ_c - δ_r} are formed, and one that underflows does no harm.
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
"""Ratios of rows in the wrong order end here: they meet only exact zeros (see `turned`)."""

MOST_SWEEPS = 40

Square = Float[Array, "r r"]


def unit_triangular(T: Square) -> Square:
    """Return K."""
    return T * _strictly_upper(T) + np.eye(T.shape[0])


def triangular_root(T: Square) -> Square:
    """Return R = e^Δ K."""
    return jnp.exp(jnp.diag(T))[:, None] * unit_triangular(T)


def turned(T: Square, Y: Square, Psi: Square) -> tuple[Square, Square]:
    """Return the skew Ω and Δ̇ + K̇ for which Ω + Ṙ R⁻¹ = Y + R Ψ R⁻¹, Ψ skew.

    Ω takes the strictly lower part, as in a QR decomposition that is followed in time
    (Dieci & Eirola 1999); what is left is upper triangular, and K̇ = e^{-Δ} (its strictly upper
    part) e^Δ K. With X = K Ψ K⁻¹, e^Δ X e^{-Δ} is only needed below the diagonal, and times e^{-Δ}
    and e^Δ above it: where the rows of R descend, every ratio is at most about 1.
    """
    K, ratio = unit_triangular(T), _ratios(T)
    upper, lower = _strictly_upper(T), _strictly_upper(T).T
    X = solve_triangular(K, (K @ Psi).T, trans=1, unit_diagonal=True).T
    below = lower * (Y + ratio.T * X)
    K_rate = (upper * (ratio * (Y + below.T) + X)) @ K
    return below - below.T, np.eye(T.shape[0]) * (Y + X) + K_rate


def straightening(T: Square) -> Square:
    """Return a skew Ψ that holds K small and the rows descending, 0 where they are so already.

    With K ≈ I, K̇_rc is Ψ_rc (1 - e^{2(δ_c - δ_r)}) for r < c. It opposes an entry that passes 1;
    where the rows are in the wrong order by more than a factor of 2 it feeds the entry, until they
    have changed places, as in the Toda flow.
    """
    excess = jnp.maximum(T**2 - 1, 0) + jnp.maximum(_ratios(T) ** 2 - 4, 0)
    A: Square = _strictly_upper(T) * T * excess
    return A.T - A


def _ratios(T: Square) -> Square:
    """Return e^{δ_c - δ_r}."""
    delta = jnp.diag(T)
    ratios: Square = jnp.exp(jnp.minimum(delta[None, :] - delta[:, None], LARGEST_EXPONENT))
    return ratios


def _strictly_upper(T: Square) -> np.ndarray:
    return np.triu(np.ones(T.shape), 1)


def log_singular_values(T: Square) -> Float[Array, " r"]:
    """Return the logarithms of the singular values of e^Δ K, descending, each to full accuracy.

    One-sided Jacobi rotations of the rows (Demmel et al. 1999), which are held as unit vectors and
    the logarithms of their lengths.
    """
    rows, logs = _normalized(unit_triangular(T), jnp.diag(T))
    pairs = jnp.asarray(np.transpose(np.triu_indices(T.shape[0], 1)))
    if pairs.size == 0:
        return logs
    tolerance = T.shape[0] * float(np.finfo(np.float64).eps)

    def sweep(carry: Any) -> Any:
        rows, logs, _, count = carry
        rotate = lambda i, carry: _rotated(pairs[i], *carry)  # noqa: E731
        start = (rows, logs, jnp.asarray(0.0))
        return *jax.lax.fori_loop(0, len(pairs), rotate, start), count + 1

    def unfinished(carry: Any) -> Array:
        again: Array = (carry[2] > tolerance) & (carry[3] < MOST_SWEEPS)
        return again

    start = (rows, logs, jnp.asarray(jnp.inf), jnp.asarray(0))
    _, logs, _, _ = jax.lax.while_loop(unfinished, sweep, start)
    descending: Float[Array, " r"] = jnp.sort(logs)[::-1]
    return descending


def _rotated(pair: Any, rows: Any, logs: Any, worst: Any) -> tuple[Any, Any, Any]:
    """Make two rows orthogonal; also return the largest cosine met.

    The rotation's tangent is ρτ with ρ ≤ 1 the ratio of the rows' lengths: τ stays finite as ρ
    underflows.
    """
    pair = jnp.where(logs[pair[0]] < logs[pair[1]], pair[::-1], pair)
    (a, b), (log_a, log_b) = rows[pair], logs[pair]
    cosine, rho = a @ b, jnp.exp(log_b - log_a)
    gap = (1 - rho) * (1 + rho)
    divisor = gap + jnp.sqrt(gap**2 + (2 * rho * cosine) ** 2)
    tau = jnp.where(divisor > 0, 2 * cosine / jnp.where(divisor > 0, divisor, 1.0), 0.0)
    turned_rows = jnp.stack([a + rho**2 * tau * b, b - tau * a]) / jnp.sqrt(1 + (rho * tau) ** 2)
    new_rows, new_logs = _normalized(turned_rows, logs[pair])
    worst = jnp.maximum(worst, jnp.abs(cosine))
    return rows.at[pair].set(new_rows), logs.at[pair].set(new_logs), worst


def _normalized(rows: Array, logs: Array) -> tuple[Array, Array]:
    lengths = jnp.linalg.norm(rows, axis=1)
    return rows / lengths[:, None], logs + jnp.log(lengths)
