"""What the preconditioner P_W of the end-to-end flow does to a gradient, without being formed.

Ẇ = -P_W[G], G = ∇ℓ(W). With W = U diag(σ) Vᵀ, σ padded with zeros and 0⁰ = 1, P_W has eigenvectors
u_r v_cᵀ and eigenvalues K_rc = Σ_{j=1}^{N} σ_r^{2(N-j)/N} σ_c^{2(j-1)/N}, which grow with both
singular values: what moves is turned to the directions that were already taken
(Arora, Cohen & Hazan 2018, Theorem 1 and Claim 1).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from flowsim.dynamics.gauss_newton import curvature
from flowsim.dynamics.preconditioner import kernel, truncated
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Matrix, Scalar

Modes = Float[Array, " mode"]
"""One number for each singular value, min(d_0, d_N) of them."""


class Preconditioning(NamedTuple):
    """What P_W does at one W: its spectrum, and how it turns the gradient.

    Attributes
    ----------
    eigenvalues
        K_rc for the first `most` indices r and c, shape (left, right): at most (d_N, d_0).
    effective_step
        K_rr = N σ_r^{2-2/N}: what a step of size 1 becomes in the direction u_r v_rᵀ.
    condition_number
        The largest over the smallest of all d_N d_0 eigenvalues; inf where one is 0.
    gradient_share, movement_share
        ‖U_kᵀ M V_k‖² / ‖M‖² of M = ∇ℓ and of M = P_W[∇ℓ], U_k and V_k the first k = 1, …, modes
        singular vectors; nan for M = 0.
    alignment
        The cosine between P_W[∇ℓ] and ∇ℓ, in (0, 1]; nan where one of them is 0.

    """

    eigenvalues: Float[Array, "left right"]
    effective_step: Modes
    condition_number: Scalar
    gradient_share: Modes
    movement_share: Modes
    alignment: Scalar


@eqx.filter_jit
def preconditioning(
    G: Matrix, W: Matrix, sigma: Modes, depth: int, rank: int, most: int
) -> Preconditioning:
    """Return what P_W does to G = ∇ℓ(W), at depth N and a W of at most `rank`.

    `sigma` are W's singular values, descending, which may be known better than W's entries tell.
    Work and memory are those of a thin SVD of W. Singular vectors of equal singular values, and
    so the shares that part them, are one choice of many.
    """
    U, _, Vt = jnp.linalg.svd(W, full_matrices=False)
    if depth > 1:  # at depth 1 nothing depends on σ
        sigma = truncated(sigma, rank)
    K, edge = kernel(sigma, sigma, depth), kernel(jnp.zeros(1), sigma, depth)[0]
    scale = jnp.where(K[0, 0] > 0, K[0, 0], 1.0)  # keeps squares of small numbers from underflow
    inner, outer = U.T @ G @ Vt.T, _outside(G, U, Vt)
    moved, moved_outer = inner * K / scale, outer * edge[None, :] / scale
    norms = [_norm(inner, outer), _norm(moved, moved_outer)]
    along = jnp.sum(moved * inner) + jnp.sum(moved_outer * outer)
    rows, columns = (_padded(sigma, size) for size in W.shape)
    smallest = kernel(rows[-1:], columns[-1:], depth)[0, 0]
    return Preconditioning(
        eigenvalues=kernel(rows[:most], columns[:most], depth),
        effective_step=jnp.diag(K),
        condition_number=jnp.where(smallest > 0, K[0, 0] / smallest, jnp.inf),
        gradient_share=_shares(inner, outer),
        movement_share=_shares(moved, moved_outer),
        alignment=along / (norms[0] * norms[1]),
    )


@eqx.filter_jit
def gradient(loss: Loss, W: Matrix, error: Array | float) -> tuple[Matrix, Scalar]:
    """Return ∇ℓ(W), and its estimated relative error where W is off by `error` in norm.

    The estimate is κ · error / ‖∇ℓ‖, κ the loss's curvature along the gradient.
    """
    G = loss.gradient(W)
    return G, curvature(loss, W) * error / jnp.linalg.norm(G)


def _outside(G: Matrix, U: Array, Vt: Array) -> Array:
    """Return G where only one of its sides is a singular vector: one column a mode.

    The modes fill the shorter side of W, so that there is one such part, or none.
    """
    if G.shape[0] > G.shape[1]:
        GV = G @ Vt.T
        return GV - U @ (U.T @ GV)
    if G.shape[0] < G.shape[1]:
        GU = G.T @ U
        return GU - Vt.T @ (Vt @ GU)
    return jnp.zeros((0, G.shape[1]))


def _shares(inner: Array, outer: Array) -> Modes:
    """Return the sums of squares of the leading k × k blocks, relative to that of everything."""
    squares = jnp.square(inner)
    shells = jnp.diag(jnp.cumsum(squares, axis=0)) + jnp.diag(jnp.cumsum(squares, axis=1))
    blocks = jnp.cumsum(shells - jnp.diag(squares))  # each row and column adds what is not negative
    return blocks / (blocks[-1] + jnp.sum(jnp.square(outer)))


def _norm(inner: Array, outer: Array) -> Scalar:
    return jnp.sqrt(jnp.sum(jnp.square(inner)) + jnp.sum(jnp.square(outer)))


def _padded(sigma: Modes, size: int) -> Array:
    """Return σ with zeros up to `size`, the length of one side of W."""
    return jnp.concatenate([sigma, jnp.zeros(size - sigma.size)])
