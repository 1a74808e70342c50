"""The basis in which the end-to-end flow stays diagonal: W(t) = U diag(s(t)) Vᵀ for all t.

From a balanced initialization it does if ∇ℓ(U diag(s) Vᵀ) = U diag(h∘s - b) Vᵀ for every s. Each
mode then decouples: ṡ_r = N s_r^{2-2/N} (b_r - h_r s_r) (Saxe, McClelland & Ganguli 2014; Arora,
Cohen, Hu & Luo 2019, Theorem 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem

ALIGNED = 1e-12
"""Largest part off the diagonal of the basis, relative to the whole, that counts as rounding."""

WEIGHT_START, WEIGHT_CURVATURE = 0.6180339887, 0.7320508076
"""Weights of W(0) and of the loss's action in the matrix whose singular vectors are the basis.

They are irrational, so that distinct modes do not get equal singular values by coincidence.
"""


@dataclass(frozen=True, eq=False)
class FixedBasis:
    """The basis U, Vᵀ of a flow, its initial mode strengths, and the loss in this basis.

    Attributes
    ----------
    U, Vt
        Orthonormal columns u_r, shape (d_N, mode), and rows v_rᵀ, shape (mode, d_0).
    initial
        The strengths u_rᵀ W(0) v_r; at least 0 for depth N ≥ 2, of any sign at N = 1.
    h, b
        The gradient in the basis is h_r s_r - b_r; h_r = 0 for modes on which ℓ does not depend.

    """

    U: np.ndarray
    Vt: np.ndarray
    initial: np.ndarray
    h: np.ndarray
    b: np.ndarray

    @property
    def phi(self) -> np.ndarray:
        """The limit b/h of each strength that is not 0; 0 where h = 0."""
        return np.asarray(np.divide(self.b, self.h, out=np.zeros_like(self.b), where=self.h > 0))


def fixed_basis(problem: Problem) -> FixedBasis:
    """Return the basis in which the flow of a problem stays diagonal.

    Raises
    ------
    NotApplicable
        If the loss is not quadratic, the initialization is not balanced, W(0) and -∇ℓ(0) do not
        share their singular vectors, or the loss couples these modes.

    """
    if not network.is_balanced(problem.layers, tolerance=ALIGNED):
        raise NotApplicable(
            "the start must be balanced, W_{j+1}ᵀW_{j+1} = W_jW_jᵀ, but its relative imbalance is "
            f"{network.balance_defect(problem.layers):.2g}"
        )
    basis = aligned_basis(problem)
    if problem.depth == 1:
        return basis
    # singular values are at least 0: the sign of a strength moves into U, and so into b
    signs = np.where(basis.initial < 0, -1.0, 1.0)
    # s_r = ‖W_1 v_r‖^N is exact relative to s_r, while entries of W are only so relative to ‖W‖
    first = problem.layers[0]
    unit = network.binary_scale([first])
    initial = (unit * np.linalg.norm(first / unit @ basis.Vt.T, axis=0)) ** problem.depth
    # a mode of strength 0 stays 0, but the layers hold its roundoff, which would grow
    initial[np.argsort(-initial)[network.rank_bound(problem.layers) :]] = 0.0
    return FixedBasis(basis.U * signs, basis.Vt, initial, basis.h, basis.b * signs)


def aligned_basis(problem: Problem) -> FixedBasis:
    """Return the basis in which W(0) and the gradient are diagonal, whether balanced or not.

    Raises
    ------
    NotApplicable
        As `fixed_basis`, balance apart.

    """
    network.require_size(problem.layers)
    loss = problem.loss
    if not loss.quadratic:
        raise NotApplicable(
            "the loss must be quadratic, as a squared, completion or sensing loss is, "
            f"or regression with p = 2, but the loss is {loss.label}"
        )
    W, B = np.asarray(problem.initial), -np.asarray(loss.gradient(np.zeros(problem.initial.shape)))
    U, Vt = _common_basis(W, B, loss)
    for name, matrix in (("W(0)", W), ("-∇ℓ(0)", B)):
        if (fraction := _off_diagonal(matrix, U, Vt)) > ALIGNED:
            raise NotApplicable(
                "the start must be aligned, W(0) and the gradients sharing their singular vectors, "
                f"but {fraction:.2g} of {name} is off the diagonal of their nearest common basis"
            )
    h = _curvatures(loss, B, U, Vt)
    # where h = 0, b is rounding: a quadratic loss with a minimum has B in the range of H
    b = np.where(h > 0, _diagonal(B, U, Vt), 0.0)
    return FixedBasis(U, Vt, _diagonal(W, U, Vt), h, b)


def _common_basis(W: np.ndarray, B: np.ndarray, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular vectors of a weighted sum of B, W and the loss's action on both.

    Matrices that are diagonal in one basis have their sum diagonal in it. Where one of them has
    equal singular values, and its own singular vectors are arbitrary, another determines them.
    """
    mixture = _unit(B) + WEIGHT_START * _unit(W)
    mixture = mixture + WEIGHT_CURVATURE * _unit(_action(loss, mixture, B))
    U, _, Vt = np.linalg.svd(mixture, full_matrices=False)
    return U, Vt


def _curvatures(loss: Loss, B: np.ndarray, U: np.ndarray, Vt: np.ndarray) -> np.ndarray:
    """Return h in H[U diag(s) Vᵀ] = U diag(h∘s) Vᵀ for all s; raise if H couples the modes.

    H is linear, so that s = 1 gives h, and one random s almost surely reveals any coupling.
    """
    h = _diagonal(_action(loss, U @ Vt, B), U, Vt)
    s = np.random.default_rng(0).uniform(1.0, 2.0, h.size)
    image = _action(loss, (U * s) @ Vt, B)
    # relative to the image, with one rounding per mode
    if np.linalg.norm(image - (U * (h * s)) @ Vt) > ALIGNED * h.size * np.linalg.norm(image):
        raise NotApplicable("the loss must act on each mode of W(0) alone, but it mixes them")
    return np.asarray(np.where(h > ALIGNED * h.max(initial=0.0), h, 0.0))


def _action(loss: Loss, W: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return H[W] = ∇ℓ(W) + B."""
    return np.asarray(np.asarray(loss.gradient(W)) + B)


def _diagonal(A: np.ndarray, U: np.ndarray, Vt: np.ndarray) -> np.ndarray:
    """Return u_rᵀ A v_r for every mode r."""
    return np.asarray(np.einsum("or,or->r", U, A @ Vt.T))


def _off_diagonal(A: np.ndarray, U: np.ndarray, Vt: np.ndarray) -> float:
    """Return the fraction of ‖A‖_F off the diagonal of the basis."""
    A = A / network.binary_scale([A])
    rest = np.linalg.norm(A - (U * _diagonal(A, U, Vt)) @ Vt)
    return float(rest / (np.linalg.norm(A) or 1.0))


def _unit(A: np.ndarray) -> np.ndarray:
    """Return A/‖A‖_F, or 0 for A = 0."""
    A = A / network.binary_scale([A])
    return np.asarray(A / (np.linalg.norm(A) or 1.0))
