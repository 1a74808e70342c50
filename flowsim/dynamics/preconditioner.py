"""The preconditioner P_W of the end-to-end flow, applied without forming its matrix.

P_W[G] = Σ_{j=1}^{N} [WWᵀ]^{(N-j)/N} G [WᵀW]^{(j-1)/N} (Arora, Cohen & Hazan 2018, Theorem 1).
With W = U diag(σ) Vᵀ it is U [K ∘ (UᵀGV)] Vᵀ, K_rc = Σ_j σ_r^{2(N-j)/N} σ_c^{2(j-1)/N}, 0⁰ = 1, σ
padded with zeros. The powers come from one SVD of W: an eigendecomposition of WWᵀ would turn a
roundoff of 1e-17 in a zero eigenvalue into (1e-17)^{1/N}.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from flowsim.problem.types import Array, Matrix


def kernel(rows: Array, columns: Array, depth: int) -> Array:
    """Return K_rc = Σ_j σ_r^{2(N-j)/N} σ_c^{2(j-1)/N} for σ_r in `rows` and σ_c in `columns`.

    Its entries are the eigenvalues of P_W, with eigenvectors u_r v_cᵀ; K_rr = N σ_r^{2-2/N}.
    """
    powers = [2 * j / depth for j in range(depth)]
    K = jnp.zeros((rows.size, columns.size))
    for j in range(depth):
        K += _power(rows, powers[depth - 1 - j])[:, None] * _power(columns, powers[j])[None, :]
    return K


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def precondition(W: Matrix, G: Matrix, depth: int, rank: int) -> Matrix:
    """Return P_W[G], of W's shape, for a W of at most `rank`; at depth 1 it is G.

    Singular values beyond `rank` count as exact zeros. The derivative is written by hand (see
    `_derivative`): it is exact at repeated singular values, where differentiating through an SVD
    gives nan, and at zero ones along directions that keep the rank. Across those the powers
    have no derivative.
    """
    if depth == 1:
        return G
    U, sigma, Vt = jnp.linalg.svd(W, full_matrices=False)
    sigma = truncated(sigma, rank)
    G_in, G_out = G @ Vt.T, U.T @ G
    inner = U @ (kernel(sigma, sigma, depth) * (U.T @ G_in)) @ Vt
    # The thin SVD leaves out directions with σ = 0, in which only the term of K with 0⁰ = 1
    # remains, σ^{2-2/N}; the full SVD would take O(max(d)³) for the same.
    edge = (sigma ** (2 - 2 / depth))[None, :]
    if W.shape[0] > W.shape[1]:
        inner += (G_in - U @ (U.T @ G_in)) * edge @ Vt
    elif W.shape[0] < W.shape[1]:
        inner += (U * edge) @ (G_out - (G_out @ Vt.T) @ Vt)
    return inner


@precondition.defjvp
def _precondition_jvp(
    depth: int, rank: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Matrix, Matrix]:
    """Return P_W[G] and its derivative along (dW, dG)."""
    (W, G), (dW, dG) = primals, tangents
    tangent = precondition(W, dG, depth, rank)  # P_W is linear in G
    if depth > 1:
        tangent = tangent + _derivative(W, G, dW, depth, rank)
    return precondition(W, G, depth, rank), tangent


def _derivative(W: Matrix, G: Matrix, dW: Matrix, depth: int, rank: int) -> Matrix:
    """Return the derivative of P_W[G] along dW at fixed G, by Daleckii & Krein's formula.

    In the singular basis d[(WWᵀ)^q] is Γ^q ∘ (ẼΣᵀ + ΣẼᵀ) with Ẽ = UᵀdWV and Γ^q the divided
    differences of x^q at the squared singular values.
    """
    U, sigma, Vt = jnp.linalg.svd(W, full_matrices=True)
    rows = jnp.zeros(W.shape[0]).at[: sigma.size].set(truncated(sigma, rank))
    columns = jnp.zeros(W.shape[1]).at[: sigma.size].set(truncated(sigma, rank))
    G_basis, E = U.T @ G @ Vt.T, U.T @ dW @ Vt.T
    Sigma = (
        jnp.zeros(W.shape)
        .at[jnp.arange(sigma.size), jnp.arange(sigma.size)]
        .set(truncated(sigma, rank))
    )
    # derivatives of WWᵀ and WᵀW in the singular basis
    left, right = E @ Sigma.T + Sigma @ E.T, E.T @ Sigma + Sigma.T @ E
    total = jnp.zeros(W.shape)
    for j in range(depth):
        q_left, q_right = (depth - 1 - j) / depth, j / depth
        total += (_divided_differences(rows, q_left) * left) @ (
            G_basis * _power(columns, 2 * q_right)[None, :]
        )
        total += (_power(rows, 2 * q_left)[:, None] * G_basis) @ (
            _divided_differences(columns, q_right) * right
        )
    return U @ total @ Vt


def _divided_differences(sigma: Array, q: float) -> Array:
    """Return Γ^q_rs = (σ_r^{2q} - σ_s^{2q}) / (σ_r² - σ_s²), q σ^{2q-2} on ties, 0 at two zeros."""
    if q == 0:
        return jnp.zeros((sigma.size, sigma.size))
    # With x = (smaller/larger)² the quotient is larger^{2q-2} (1 - x^q)/(1 - x). Written with
    # log1p and expm1 it keeps full accuracy as x → 1, where both differences cancel.
    larger = jnp.maximum(sigma[:, None], sigma[None, :])
    smaller = jnp.minimum(sigma[:, None], sigma[None, :])
    safe = jnp.where(larger > 0, larger, 1.0)
    logarithm = 2 * jnp.log1p((smaller - safe) / safe)
    # equal singular values: 0/0, whose limit is q
    tie = logarithm == 0
    ratio = jnp.expm1(q * logarithm) / jnp.where(tie, 1.0, jnp.expm1(logarithm))
    return jnp.where(larger > 0, jnp.where(tie, q, ratio) * safe ** (2 * q - 2), 0.0)


def truncated(sigma: Array, rank: int) -> Array:
    """Return σ with zeros from index `rank` on."""
    return jnp.where(jnp.arange(sigma.size) < rank, sigma, 0.0)


def _power(sigma: Array, exponent: float) -> Array:
    """Return σ^exponent with 0⁰ = 1, also under differentiation."""
    return jnp.ones_like(sigma) if exponent == 0 else sigma**exponent
