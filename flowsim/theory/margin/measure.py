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
    least squares (Lawson & Hanson 1974, ch. 23; SciPy's `nnls`). Features may differ in scale:
    whether data can be separated depends on neither the units of a feature nor those of a sample.

    Raises
    ------
    RuntimeError
        If non-negative least squares does not converge.

    """
    A = loss.margin_matrix(shape)
    units = np.abs(A).max(axis=0)
    units[units == 0] = 1.0
    # margins are taken in w = v/units: A w would cancel for a feature in small units
    B, relative = A / units, units.min() / units

    def reached(v: np.ndarray) -> float:
        norm = np.linalg.norm(relative * v)
        return float((B @ v).min() / norm) * units.min() if norm > 0 else -np.inf

    v = _separating(B)
    if v is None or not reached(v) > 0:
        return None
    # `nnls` is accurate where the margin is about 1; the heaviest rows first keep their QR stable
    unit, order = reached(v), np.argsort(-units, kind="stable")
    u, w, _ = _least_distance(A[:, order] / unit)
    direct = np.empty_like(w)
    direct[order] = w
    best = max((v, _on_support(B, relative, u > 0), units / units.min() * direct), key=reached)
    W = (relative * best).reshape(shape)
    # any weights u ≥ 0 bound every margin by ‖Aᵀu‖ / Σu
    above = unit * float(np.linalg.norm(w) / u.sum()) if u.any() else np.inf
    return LargestMargin(W / np.linalg.norm(W), reached(best), max(0.0, above - reached(best)))


def _least_distance(A: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return u ≥ 0 and w = Aᵀu, along the least-distance solution, and whether w is not 0.

    By Gordan's theorem Aᵀu = 0 with Σu = 1 and u ≥ 0 has a solution exactly where no w has A w > 0.
    """
    from scipy.optimize import nnls

    E = np.vstack([A.T, np.ones(len(A))])
    goal = np.zeros(len(E))
    goal[-1] = 1.0
    u, residual = nnls(E, goal, maxiter=30 * len(A))
    rounding = np.finfo(float).eps * np.sqrt(E.size) * np.linalg.norm(E, ord=2)
    return u, A.T @ u, bool(residual > rounding)


def _separating(B: np.ndarray) -> np.ndarray | None:
    """Return v with B v > 0, or None where there is none, whatever the scale of each row."""
    sizes = np.abs(B).max(axis=1)
    if not sizes.all():
        return None
    _, v, positive = _least_distance(B / sizes[:, None])
    return v if positive else None


def _on_support(B: np.ndarray, relative: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return the v of least ‖relative∘v‖ whose margins on the support are all 1.

    Its optimality conditions are solved as one system, in which all columns of B have one scale.
    """
    from scipy.linalg import lstsq

    rows = B[support]
    zero = np.zeros((len(rows), len(rows)))
    conditions = np.block([[np.diag(relative**2), -rows.T], [rows, zero]])
    goal = np.concatenate([np.zeros(relative.size), np.ones(len(rows))])
    return np.asarray(lstsq(conditions, goal, lapack_driver="gelsy")[0][: relative.size])


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
