"""Whether the infimum of a loss on classes is attained, and its value where it is not.

The loss is 1/m Σ_i log(1 + Σ_k e^{-a_ik·w}), with one margin a_ik·w per sample i and other class k.
It has no minimizer exactly where some w has margins A w ≥ 0 that are not all 0 (it decreases along
it): classes can then be separated in part. Margins that such a w makes positive have no part in
the infimum, and the loss of the others attains it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.problem.losses import Classifier

LARGEST = 1_000_000
"""Largest number of entries of A for which the linear program is solved, in seconds."""


@dataclass(frozen=True, eq=False)
class Margins:
    """1/m Σ_i log(1 + Σ_k e^{-a_ik·w}) over the margins that are `kept`, shape (sample, other).

    A has shape (sample, other, entry).
    """

    A: np.ndarray
    kept: np.ndarray

    def weights(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss, and the weight e^{-a_ik·w}/(1 + Σ_l e^{-a_il·w}) of every margin."""
        lost = np.where(self.kept, -(self.A @ w), -np.inf)
        highest = np.maximum(lost.max(axis=1, keepdims=True), 0.0)
        grown = np.exp(lost - highest)
        total = np.exp(-highest) + grown.sum(axis=1, keepdims=True)
        return float(np.mean(highest + np.log(total))), grown / total

    def slope(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient -1/m Σ u_ik a_ik."""
        value, u = self.weights(x)
        return value, -np.einsum("ik,ikn->n", u, self.A) / len(u)

    def curvature(self, x: np.ndarray) -> np.ndarray:
        """Return 1/m Σ_i (Σ_k u_ik a_ik a_ikᵀ - s_i s_iᵀ), s_i = Σ_k u_ik a_ik."""
        _, u = self.weights(x)
        rooted = (np.sqrt(u)[:, :, None] * self.A).reshape(-1, x.size)
        mean = np.einsum("ik,ikn->in", u, self.A)
        return np.asarray(rooted.T @ rooted - mean.T @ mean) / len(u)


def all_margins(loss: Classifier, shape: tuple[int, ...]) -> Margins:
    """Return the loss of a classifier over matrices W of a shape, as a function of its margins."""
    count = loss.sample_count
    A = loss.margin_matrix(shape).reshape(count, -1, shape[0] * shape[1])
    return Margins(A, np.ones(A.shape[:2], dtype=bool))


def margin_count(loss: Classifier, shape: tuple[int, ...]) -> int:
    """Return the number of entries of A."""
    return loss.sample_count * max(1, shape[0] - 1) * shape[0] * shape[1]


def certainly_attained(margins: Margins, w: np.ndarray) -> bool:
    """Return whether the minimizer w of a solve proves that there is one.

    For margins b = A v ≥ 0 of a v of length 1 across the null space of A, and weights u > 0,
    |(Aᵀu)·v| = Σ u b ≥ min(u) ‖b‖ ≥ min(u) σ, σ the smallest positive singular value of A. So no
    such v exists where ‖Aᵀu‖ is less.
    """
    A = margins.A.reshape(-1, w.size)
    units = np.abs(A).max(axis=0)
    scaled = A / np.where(units > 0, units, 1.0)
    _, u = margins.weights(w)
    sigma = np.linalg.svd(scaled, compute_uv=False)
    positive = sigma[sigma > max(A.shape) * np.finfo(float).eps * sigma[0]]
    return bool(np.linalg.norm(scaled.T @ u.ravel()) < u.min() * positive[-1])


def attained_part(margins: Margins) -> Margins:
    """Return the margins that no w can make positive while all are at least 0.

    The linear program max Σ t over A w ≥ t, 0 ≤ t ≤ 1 has t = 1 at all others: w may be as long as
    it takes. HiGHS, through SciPy, solves it with absolute tolerances, for rows and columns of
    size 1.

    Raises
    ------
    RuntimeError
        If the linear program fails.

    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    A = margins.A.reshape(-1, margins.A.shape[-1])
    for axis in (0, 1):
        size = np.abs(A).max(axis=axis, keepdims=True)
        A = A / np.where(size > 0, size, 1.0)
    count, entries = A.shape
    solution = linprog(
        np.concatenate([np.zeros(entries), -np.ones(count)]),
        A_ub=hstack([csr_array(-A), eye_array(count)]),
        b_ub=np.zeros(count),
        bounds=[(None, None)] * entries + [(0, 1)] * count,
    )
    if solution.x is None:
        raise RuntimeError(f"the linear program of the margins fails: {solution.message}")
    return Margins(margins.A, (solution.x[entries:] < 0.5).reshape(margins.kept.shape))
