"""Approximate inverses of I - τJ for implicit steps, from the Gauss-Newton part of the Jacobian J.

Of the layer flow that part is -κAᵀA, A: (dW_j) ↦ dW = Σ_j L_j dW_j R_j, L_j = W_N⋯W_{j+1} and
R_j = W_{j-1}⋯W_1, with κ for the curvature of the loss. Where the layers are balanced AAᵀ is
diagonal in the singular basis of W, and by Woodbury's formula

    (a I + c AᵀA)⁻¹ = (I - c Aᵀ (a I + c AAᵀ)⁻¹ A) / a

takes O(N d³) operations. Of the end-to-end flow it is -κP_W. No Jacobian is formed, which would
have (Σ d_j d_{j-1})² entries.

These are preconditioners: an inaccurate one costs Krylov iterations, not accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flowsim.dynamics.preconditioner import kernel, truncated
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Matrix


class Frames(NamedTuple):
    """Orthonormal columns U in the outputs, shape (d_N, r), and V in the inputs, shape (d_0, r)."""

    U: Array
    V: Array

    def filtered(self, X: Matrix, inner: Array, rows: Array, columns: Array, rest: Any) -> Matrix:
        """Return X with its component along u_r v_cᵀ multiplied by inner_rc.

        Outside V the component along u_r is multiplied by rows_r, outside U that along v_c by
        columns_c, and what is outside both by `rest`. A square frame has no outside, and the
        differences, which would be roundoff, are not formed.
        """
        U, V = self
        X_in, X_out = X @ V, U.T @ X
        core = X_out @ V
        Y = U @ (inner * core) @ V.T
        if V.shape[0] > V.shape[1]:
            Y += U @ (rows[:, None] * (X_out - core @ V.T))
        if U.shape[0] > U.shape[1]:
            Y += (X_in - U @ core) * columns[None, :] @ V.T
            if V.shape[0] > V.shape[1]:
                Y += rest * (X - U @ X_out - (X_in - U @ core) @ V.T)
        return Y


def curvature(loss: Loss, W: Matrix) -> Array:
    """Return the curvature κ = ⟨G, ∇²ℓ(W)[G]⟩ / ‖G‖² of the loss along its gradient G = ∇ℓ(W).

    At least 0, so that the preconditioner stays positive definite for losses that are not convex;
    1 where G = 0. It is exact for isotropic losses.
    """
    G, image = jax.jvp(loss.gradient, (W,), (loss.gradient(W),))
    squared = jnp.sum(G * G)
    return jnp.where(squared > 0, jnp.maximum(jnp.sum(G * image), 0.0) / squared, 1.0)


def layer_inverse(layers: Layers, a: Array, c: Array) -> Callable[[Layers], Layers]:
    """Return x ↦ (a I + c AᵀA)⁻¹ x, exact for balanced layers and for N ≤ 2.

    U are the left singular vectors of W_N and V the right ones of W_1, which are those of W for
    balanced layers. Elsewhere AAᵀ is not diagonal in them for N ≥ 3, and its diagonal
    D_rc = Σ_j ‖L_jᵀu_r‖²‖R_jv_c‖² is used in place of it.
    """
    if len(layers) == 1:
        return lambda x: tuple(x_j / (a + c) for x_j in x)
    U = jnp.linalg.svd(layers[-1], full_matrices=False)[0]
    V = jnp.linalg.svd(layers[0], full_matrices=False)[2].T
    L = [*network.suffix_products(layers[1:]), None]
    R = [None, *network.prefix_products(layers[:-1])]
    rows = [jnp.ones(U.shape[1]) if M is None else jnp.sum((M.T @ U) ** 2, axis=0) for M in L]
    columns = [jnp.ones(V.shape[1]) if M is None else jnp.sum((M @ V) ** 2, axis=0) for M in R]
    # D_rc = Σ_j ‖L_jᵀu_r‖²‖R_jv_c‖²
    D = sum(r[:, None] * c_[None, :] for r, c_ in zip(rows, columns, strict=True))
    # Every R_j but R_1 = I maps inputs outside V to 0, and every L_jᵀ but L_Nᵀ = I outputs outside
    # U: of the sum D one term remains there.
    inner, outer, inputs = (c / (a + c * d) for d in (D, rows[0], columns[-1]))

    def inverse(x: Layers) -> Layers:
        image = jnp.asarray(sum(_times(M, x_j, P) for M, x_j, P in zip(L, x, R, strict=True)))
        # the last factor is arbitrary: Aᵀ maps what is outside both frames to 0
        Y = Frames(U, V).filtered(image, inner, outer, inputs, 0.0)
        back = (_times(_T(M), Y, _T(P)) for M, P in zip(L, R, strict=True))
        return tuple((x_j - b) / a for x_j, b in zip(x, back, strict=True))

    return inverse


def _times(left: Array | None, X: Array, right: Array | None) -> Array:
    """Return left X right, where None is the identity."""
    X = X if left is None else left @ X
    return X if right is None else X @ right


def _T(M: Array | None) -> Array | None:
    """Return Mᵀ, where None is the identity."""
    return None if M is None else M.T


def end_to_end_inverse(
    W: Matrix, a: Array, c: Array, depth: int, rank: int
) -> Callable[[Matrix], Matrix]:
    """Return X ↦ (a I + c P_W)⁻¹ X: division by a + c K_rc in the singular basis of W."""
    if depth == 1:
        return lambda X: X / (a + c)
    U, sigma, Vt = jnp.linalg.svd(W, full_matrices=False)
    sigma = truncated(sigma, rank)
    # outside the frame one of σ_r and σ_c is 0: K_rc = σ^{2-2/N}
    edge = 1 / (a + c * sigma ** (2 - 2 / depth))
    inner = 1 / (a + c * kernel(sigma, sigma, depth))
    return lambda X: Frames(U, Vt.T).filtered(X, inner, edge, edge, 1 / a)
