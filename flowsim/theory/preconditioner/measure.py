"""The effect of the preconditioner P_W of the end-to-end flow on a gradient, without forming P_W.

Ẇ = -P_W[G], G = ∇ℓ(W). With W = U diag(σ) Vᵀ, σ padded with zeros and 0⁰ = 1, P_W has eigenvectors
u_r v_cᵀ and eigenvalues K_rc = Σ_{j=1}^{N} σ_r^{2(N-j)/N} σ_c^{2(j-1)/N}. These grow with both
singular values, so the end-to-end flow is accelerated along the dominant singular directions
(Arora, Cohen & Hazan 2018, Theorem 1 and Claim 1).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowsim.dynamics.gauss_newton import curvature
from flowsim.dynamics.preconditioner import kernel, truncated
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Matrix, Scalar
from flowsim.theory.preconditioner.spec import EIGENVALUES
from flowsim.theory.setting import Arrays, Setting

Modes = Float[Array, " mode"]
"""One number for each singular value, min(d_0, d_N) of them."""


class Preconditioning(NamedTuple):
    """The spectrum of P_W at one W, and how P_W changes the direction of the gradient.

    Attributes
    ----------
    eigenvalues
        K_rc for the first `most` indices r and c, shape (left, right): at most (d_N, d_0).
    effective_step
        K_rr = N σ_r^{2-2/N}: the factor on the step size along u_r v_rᵀ.
    condition_number
        The ratio of the largest to the smallest of all d_N d_0 eigenvalues; inf where one is 0.
    gradient_share, movement_share
        ‖U_kᵀ M V_k‖² / ‖M‖² for M = ∇ℓ and for M = P_W[∇ℓ], with U_k and V_k the first k singular
        vectors, k = 1, …, modes: the fraction within the leading k directions. nan for M = 0.
    alignment
        The cosine of the angle between P_W[∇ℓ] and ∇ℓ, in (0, 1]; nan where one of them is 0.

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
    """Return the effect of P_W on G = ∇ℓ(W), for depth N and a W of at most this rank.

    `sigma` are the singular values of W, descending; they may be more accurate than those that the
    entries of W determine. Work and memory are those of a thin SVD of W. Where singular values are
    equal, their singular vectors are not unique, and fractions that separate them are arbitrary.
    """
    U, _, Vt = jnp.linalg.svd(W, full_matrices=False)
    if depth > 1:  # at depth 1 nothing depends on σ
        sigma = truncated(sigma, rank)
    K, edge = kernel(sigma, sigma, depth), kernel(jnp.zeros(1), sigma, depth)[0]
    # fractions and cosines do not depend on scale; without it squares of small numbers underflow
    scale = jnp.where(K[0, 0] > 0, K[0, 0], 1.0)
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
        gradient_share=_block_fractions(inner, outer),
        movement_share=_block_fractions(moved, moved_outer),
        alignment=along / (norms[0] * norms[1]),
    )


@eqx.filter_jit
def gradient(loss: Loss, W: Matrix, error: Array | float) -> tuple[Matrix, Scalar]:
    """Return ∇ℓ(W), and its estimated relative error for an error of W of this Frobenius norm.

    The estimate is κ · error / ‖∇ℓ‖, κ the curvature of the loss along the gradient; nan or inf
    for ∇ℓ = 0.
    """
    G = loss.gradient(W)
    return G, curvature(loss, W) * error / jnp.linalg.norm(G)


def _outside(G: Matrix, U: Array, Vt: Array) -> Array:
    """Return the part of G beyond the thin SVD of W, one column per mode; no rows for a square W.

    The modes span the shorter side of W. The remaining part of G pairs each of their vectors there
    with the orthogonal complement on the longer side, where P_W has the eigenvalues σ_r^{2-2/N}.
    """
    if G.shape[0] > G.shape[1]:
        GV = G @ Vt.T
        return GV - U @ (U.T @ GV)
    if G.shape[0] < G.shape[1]:
        GU = G.T @ U
        return GU - Vt.T @ (Vt @ GU)
    return jnp.zeros((0, G.shape[1]))


def _block_fractions(inner: Array, outer: Array) -> Modes:
    """Return the sums of squares of the leading k × k blocks, relative to that of everything."""
    squares = jnp.square(inner)
    shells = jnp.diag(jnp.cumsum(squares, axis=0)) + jnp.diag(jnp.cumsum(squares, axis=1))
    # each row and column adds terms ≥ 0, so that the fractions never decrease
    blocks = jnp.cumsum(shells - jnp.diag(squares))
    return blocks / (blocks[-1] + jnp.sum(jnp.square(outer)))


def _norm(inner: Array, outer: Array) -> Scalar:
    return jnp.sqrt(jnp.sum(jnp.square(inner)) + jnp.sum(jnp.square(outer)))


def _padded(sigma: Modes, size: int) -> Array:
    """Return σ with zeros up to `size`, the length of one side of W."""
    return jnp.concatenate([sigma, jnp.zeros(size - sigma.size)])


OF_THE_GRADIENT = ("gradient_share", "movement_share", "alignment")
EPS = float(np.finfo(np.float64).eps)


def measure(setting: Setting) -> Arrays:
    """Return the spectrum of P_W over time, and how P_W rotates the gradient.

    Fractions and alignment are nan where the error of W exceeds the remaining gradient, as
    near the limit of a converged run.
    """
    problem, flow = setting.problem, setting.reference
    rank = network.rank_bound(problem.layers)

    def evaluate(i: int) -> dict[str, np.ndarray | float]:
        W, sigma = flow.end_to_end_series[i], flow.singular_values[i]
        # W is stored in float64: even an exact flow is known only to rounding
        W_error = EPS * float(np.linalg.norm(sigma)) + np.nan_to_num(flow.error_estimate[i])
        G, error = gradient(problem.loss, W, W_error)
        found = preconditioning(G, W, sigma, problem.depth, rank, EIGENVALUES)
        values = {name: np.asarray(value) for name, value in found._asdict().items()}
        if error >= 1:
            values |= {name: np.full_like(values[name], np.nan) for name in OF_THE_GRADIENT}
        return {**values, "error": float(error)}

    return setting.at_saved_times(flow, evaluate)
