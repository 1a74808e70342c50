"""The minimum of ℓ_p regression, 1 ≤ p ≤ 2, with a lower bound from convex duality.

Newton's method needs |e|^{p-2}, which is infinite at residuals e = 0, and the minimum may have
many of them. Iteratively reweighted least squares needs no derivative (Osborne 1985), and p = 1 is
a linear program. With q = p/(p - 1) and the conjugate f*(λ) = m^{q-1}|λ|^q/q of |e|^p/(pm),

    min_w Σ |xᵢᵀw - yᵢ|^p/(pm) = max {-λᵀy - Σ f*(λᵢ) : Xλ = 0},

so that every such λ bounds the minimum from below; |λᵢ| ≤ 1/m takes the place of f* at p = 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowsim.solvers.monitor import SILENT, Monitor

ITERATIONS = 400
"""Largest number of weighted least-squares problems; their error falls by |2 - p| at each."""

GAP = 1e-14
"""Difference of the bounds, relative to the value at w = 0, at which the iteration ends."""


class PowerMinimum(NamedTuple):
    """A minimizer W of least norm, its value, a lower bound, and whether W is the only one."""

    W: np.ndarray
    value: float
    bound: float
    only: bool


def power_minimum(
    X: np.ndarray, Y: np.ndarray, p: float, monitor: Monitor = SILENT
) -> PowerMinimum:
    """Return the minimum over W of 1/(p·m) Σ|W X - Y|^p; each row of W is a problem of its own.

    After a stop request it ends early, with a wide gap between the value and its lower bound.
    """
    U, S, Vt = np.linalg.svd(X, full_matrices=False)
    rank = int(np.sum(max(X.shape) * np.finfo(float).eps * S[0] < S)) if S.size else 0
    U, V = U[:, :rank] / S[:rank], Vt[:rank].T
    # in units of the targets: the linear program is solved with absolute tolerances. A power of 2
    # rounds nothing
    unit = 2.0 ** np.floor(np.log2(np.abs(Y).max())) if Y.any() else 1.0
    solved = [
        _least_absolute(V, y, p) if p == 1 else _reweighted(V, y, p, monitor) for y in Y / unit
    ]
    return PowerMinimum(
        W=np.stack([U @ c for c, _, _ in solved]) * unit,
        value=sum(value for _, value, _ in solved) * unit**p,
        bound=sum(max(bound, 0.0) for _, _, bound in solved) * unit**p,
        only=p > 1 and rank == len(X),
    )


def _reweighted(
    V: np.ndarray, y: np.ndarray, p: float, monitor: Monitor
) -> tuple[np.ndarray, float, float]:
    """Return the minimizer c of Σ|Vc - y|^p/(pm) for orthonormal columns V, its value, and a bound.

    The quadratic with weights |e|^{p-2} lies above the loss and touches it, so a step to its
    minimum decreases the loss; a step 1/(p - 1) as long is Newton's.
    """
    c = V.T @ y
    best, bound = (c, _value(V @ c - y, p)), -np.inf
    scale = _value(y, p)
    for _ in range(ITERATIONS):
        c, value = best
        e = V @ c - y
        size = np.abs(e).max()
        if size == 0:
            return c, 0.0, 0.0
        slope = np.sign(e) * np.abs(e) ** (p - 1) / len(y)
        bound = max(bound, _dual(slope - V @ (V.T @ slope), y, p))
        if value - bound <= GAP * scale or monitor.stop_requested():
            break
        # residuals that are 0 at the minimum shrink without end; their weights stay finite
        root = np.maximum(np.abs(e), 1e-14 * size) ** (p / 2 - 1)
        step = np.linalg.lstsq(root[:, None] * V, root * y, rcond=0)[0] - c
        lengths = np.array([1 / (p - 1), *0.5 ** np.arange(40)])
        trials = ((c + t * step, _value(V @ (c + t * step) - y, p)) for t in lengths)
        lower = next((trial for trial in trials if trial[1] < value), None)
        if lower is None:
            break
        best = lower
    return *best, bound


def _least_absolute(V: np.ndarray, y: np.ndarray, p: float) -> tuple[np.ndarray, float, float]:
    """Return the minimizer c of Σ|Vc - y|/m, its value, and a bound, by a linear program."""
    from scipy.optimize import linprog

    m, k = V.shape
    eye = np.eye(m)
    solution = linprog(
        np.concatenate([np.zeros(k), np.full(m, 1 / m)]),
        A_ub=np.block([[V, -eye], [-V, -eye]]),
        b_ub=np.concatenate([y, -y]),
        bounds=[(None, None)] * k + [(0, None)] * m,
    )
    if solution.x is None:
        return np.zeros(k), _value(y, p), 0.0
    c = solution.x[:k]
    above, below = np.split(-solution.ineqlin.marginals, 2)
    slope = above - below
    return c, _value(V @ c - y, p), _dual(slope - V @ (V.T @ slope), y, p)


def _value(e: np.ndarray, p: float) -> float:
    return float(np.sum(np.abs(e) ** p)) / (p * len(e))


def _dual(slope: np.ndarray, y: np.ndarray, p: float) -> float:
    """Return -λᵀy - Σ f*(λᵢ), for p = 1 after scaling λ to |λᵢ| ≤ 1/m."""
    m = len(y)
    if p == 1:
        return -float(slope @ y) / max(1.0, m * float(np.abs(slope).max()))
    q = p / (p - 1)
    return -float(slope @ y) - float(np.sum(np.abs(m * slope) ** q)) / (q * m)
