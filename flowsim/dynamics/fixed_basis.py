"""Where the end-to-end flow keeps its singular vectors: W(t) = U diag(s(t)) Vᵀ for all t.

It does so from a balanced start if ∇ℓ(U diag(s) Vᵀ) = U diag(h∘s - b) Vᵀ for every s: each mode
then goes by itself (Saxe, McClelland & Ganguli 2014; Arora, Cohen, Hu & Luo 2019, Theorem 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.problem import network
from flowsim.problem.losses import QUADRATIC, Loss
from flowsim.problem.problem import Problem

ALIGNED = 1e-12
"""Largest part off the diagonal of the basis, relative to the whole, that counts as none."""

MIXED, BENT = 0.6180339887, 0.7320508076
"""Shares, irrational so that different modes stay different, of what is mixed to find a basis."""


@dataclass(frozen=True, eq=False)
class FixedBasis:
    """U, Vᵀ, the modes' strengths s(0) ≥ 0 (any sign at N = 1), and h, b in g_r = h_r s_r - b_r."""

    U: np.ndarray
    Vt: np.ndarray
    start: np.ndarray
    h: np.ndarray
    b: np.ndarray

    @property
    def phi(self) -> np.ndarray:
        """Return b/h, where each mode comes to rest; 0 where the loss does not see it."""
        return np.asarray(np.divide(self.b, self.h, out=np.zeros_like(self.b), where=self.h > 0))


def fixed_basis(problem: Problem) -> FixedBasis | str:
    """Return the basis in which a problem's flow stays diagonal, or say why there is none.

    The loss must be quadratic, the start balanced, and the singular vectors of W(0) those of
    -∇ℓ(0), with the loss acting on each of these modes alone.
    """
    if not network.is_balanced(problem.layers, tolerance=ALIGNED):
        return (
            "the start must be balanced, W_{j+1}ᵀW_{j+1} = W_jW_jᵀ, but its relative imbalance is "
            f"{network.balance_defect(problem.layers):.2g}"
        )
    basis = aligned_basis(problem)
    if isinstance(basis, str) or problem.depth == 1:
        return basis
    U = basis.U * np.where(basis.start < 0, -1.0, 1.0)
    b = basis.b * np.where(basis.start < 0, -1.0, 1.0)
    # ‖W_1 v_r‖ = s_r^{1/N} tells a mode more sharply than the entries of W
    start = np.linalg.norm(problem.layers[0] @ basis.Vt.T, axis=0) ** problem.depth
    # a mode that the start has not is 0 for ever: the layers hold its roundoff
    start[np.argsort(-start)[network.rank_bound(problem.layers) :]] = 0.0
    return FixedBasis(U, basis.Vt, start, basis.h, b)


def aligned_basis(problem: Problem) -> FixedBasis | str:
    """Return the basis in which W(0) and the gradient are diagonal, whatever the layers are."""
    loss = problem.loss
    if not isinstance(loss, QUADRATIC):
        return (
            "the loss must be quadratic, as a squared, completion or sensing loss is, "
            f"or regression with p = 2, but the loss is {type(loss).__name__}"
        )
    W, B = np.asarray(problem.start), -np.asarray(loss.gradient(np.zeros(problem.start.shape)))
    U, Vt = _common_basis(W, B, loss)
    for name, matrix in (("W(0)", W), ("-∇ℓ(0)", B)):
        if (share := _off_diagonal(matrix, U, Vt)) > ALIGNED:
            return (
                "the start must be aligned, W(0) and the gradients sharing their singular vectors, "
                f"but {share:.2g} of {name} is off the diagonal of their nearest common basis"
            )
    h = _curvatures(loss, B, U, Vt)
    if h is None:
        return "the loss must act on each mode of W(0) alone, but it mixes them"
    b = np.where(h > 0, _diagonal(B, U, Vt), 0.0)
    return FixedBasis(U, Vt, _diagonal(W, U, Vt), h, b)


def _common_basis(W: np.ndarray, B: np.ndarray, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular vectors of a mixture of W, B and the loss's action on both.

    Where one of them has equal singular values, another tells the directions apart.
    """
    mixture = _unit(B) + MIXED * _unit(W)
    mixture = mixture + BENT * _unit(_action(loss, mixture, B))
    U, _, Vt = np.linalg.svd(mixture, full_matrices=False)
    return U, Vt


def _curvatures(loss: Loss, B: np.ndarray, U: np.ndarray, Vt: np.ndarray) -> np.ndarray | None:
    """Return h if H[U diag(s) Vᵀ] = U diag(h∘s) Vᵀ for all s, else None.

    H is linear, so that one random s tells.
    """
    h = _diagonal(_action(loss, U @ Vt, B), U, Vt)
    s = np.random.default_rng(0).uniform(1.0, 2.0, h.size)
    moved = _action(loss, (U * s) @ Vt, B)
    if np.linalg.norm(moved - (U * (h * s)) @ Vt) > ALIGNED * h.size * np.linalg.norm(moved):
        return None
    return np.asarray(np.where(h > ALIGNED * h.max(initial=0.0), h, 0.0))


def _action(loss: Loss, W: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return H[W] = ∇ℓ(W) + B."""
    return np.asarray(np.asarray(loss.gradient(W)) + B)


def _diagonal(A: np.ndarray, U: np.ndarray, Vt: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("or,or->r", U, A @ Vt.T))


def _off_diagonal(A: np.ndarray, U: np.ndarray, Vt: np.ndarray) -> float:
    """Return which share of A is not on the diagonal of the basis."""
    rest = np.linalg.norm(A - (U * _diagonal(A, U, Vt)) @ Vt)
    return float(rest / (np.linalg.norm(A) or 1.0))


def _unit(A: np.ndarray) -> np.ndarray:
    return np.asarray(A / (np.linalg.norm(A) or 1.0))
