"""Margins of linear classifiers, and the maximum margin.

On separable data the logistic and the cross-entropy loss have no finite minimizer: under gradient
flow ‖W‖ → ∞ while W/‖W‖_F converges to the maximum-margin classifier, at any depth for one output
(Soudry et al. 2018, Theorem 3, one layer; Ji & Telgarsky 2019, Theorem 2, deep linear networks).

With two classes y = ±1 the margin of a sample (x, y) is y w x. With more classes a sample of class
c has one margin (W x)_c - (W x)_k per other class k. All sample margins are linear in W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.problem.losses import Classifier
from flowsim.theory.setting import Arrays, Setting


@dataclass(frozen=True, eq=False)
class LargestMargin:
    """The maximum-margin classifier W: its smallest sample margin γ is largest at ‖W‖_F = 1.

    `error` bounds by how much γ is too small: γ is the margin of a classifier, hence a lower bound,
    and the dual problem gives an upper bound.
    """

    W: np.ndarray
    margin: float
    error: float


def margin(loss: Classifier, W: np.ndarray) -> float:
    """Return the smallest sample margin of W/‖W‖_F; nan where W is 0 or not finite."""
    norm = np.linalg.norm(W)
    if not np.isfinite(norm) or norm == 0:
        return float("nan")
    return float(loss.margins(W / norm).min())


def largest_margin(loss: Classifier, shape: tuple[int, ...]) -> LargestMargin | None:
    """Return the maximum-margin classifier, or None where no classifier separates the data.

    The least-distance problem min ‖W‖ with all sample margins ≥ 1 is solved through non-negative
    least squares (Lawson & Hanson 1974, ch. 23; SciPy's `nnls`). Its residual vanishes exactly
    where the data cannot be separated.

    Raises
    ------
    RuntimeError
        If non-negative least squares does not converge.

    """
    from scipy.optimize import nnls

    A = loss.margin_matrix(shape)
    goal = np.zeros(A.shape[1] + 1)
    goal[-1] = 1.0
    E = np.vstack([A.T, np.ones(len(A))])
    # Aᵀu = 0 with Σu = 1, u ≥ 0 has a solution exactly where no W has positive margins (Gordan)
    u, residual = nnls(E, goal, maxiter=30 * len(A))
    if residual <= np.finfo(float).eps * np.sqrt(E.size) * np.linalg.norm(E, ord=2):
        return None
    W = (A.T @ u).reshape(shape)
    W /= np.linalg.norm(W)
    reached = float((A @ W.ravel()).min())
    # any weights u ≥ 0 bound every margin by ‖Aᵀu‖ / Σu
    above = float(np.linalg.norm(A.T @ u) / u.sum())
    return LargestMargin(W, reached, max(0.0, above - reached))


def angle(W: np.ndarray, other: np.ndarray) -> float:
    """Return the angle between two matrices in radians; nan where one is 0 or not finite."""
    norms = np.linalg.norm(W), np.linalg.norm(other)
    if not np.isfinite(norms).all() or min(norms) == 0:
        return float("nan")
    # unlike arccos of the inner product, this resolves angles near 0 and π
    one, two = W / norms[0], other / norms[1]
    return float(2 * np.arctan2(np.linalg.norm(one - two), np.linalg.norm(one + two)))


def measure(setting: Setting) -> Arrays:
    """Return ‖W‖_F, the margin of W/‖W‖_F and its angle to the maximum-margin classifier.

    The angle and the maximum margin are nan where no classifier separates the data, or where its
    search fails.
    """
    loss, flow = setting.problem.loss, setting.reference
    assert isinstance(loss, Classifier)
    best = _best(loss, setting.problem.initial.shape)

    def evaluate(i: int) -> dict[str, float]:
        W = flow.end_to_end_series[i]
        return {
            "norm": float(np.linalg.norm(W)),
            "margin": margin(loss, W),
            "angle": float("nan") if best is None else angle(W, best.W),
        }

    return {
        **setting.at_saved_times(flow, evaluate),
        "largest_margin": best.margin if best else np.nan,
        "error": best.error if best else np.nan,
    }


def _best(loss: Classifier, shape: tuple[int, ...]) -> LargestMargin | None:
    try:
        return largest_margin(loss, shape)
    except RuntimeError:  # SciPy's non-negative least squares reached its limit of iterations
        return None
