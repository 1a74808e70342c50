"""The minimum of a smooth convex function by Newton's method, in any units of its unknowns.

A Newton step is the same in all units, and no constant here is compared with the unknowns
themselves. Directions without curvature, along which no function here changes, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from flowsim.solvers.monitor import SILENT, Monitor

RESIDUAL, UNSETTLED = 1e-16, 1e-12
"""Newton decrements gᵀH⁺g relative to the first: where a solve ends, and the largest accepted."""

FLAT = 1e-8
"""Smallest over largest eigenvalue of the Hessian above which a minimizer counts as unique."""

MOST_STEPS, MOST_HALVINGS = 200, 60
"""Newton steps, and halvings of one of them. At exponential tails a step gains a factor of e, at
residuals that vanish to the power p one of (1 - 1/(p - 1))^(p - 1)."""

SUFFICIENT = 1e-4
"""Decrease of an accepted step, as a fraction of what the slope promises (Armijo's rule)."""


class Smooth(Protocol):
    """A convex function of vectors with two derivatives."""

    def slope(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value and the gradient."""

    def curvature(self, x: np.ndarray) -> np.ndarray:
        """Return the Hessian."""


class Bottom(NamedTuple):
    """The final point of a solve.

    Attributes
    ----------
    x, value
        The point, and the value there.
    left
        ½gᵀH⁺g with the gradient g and the Hessian H: to leading order in g, the value less the
        minimum.
    settled
        Whether it is small enough for a minimum.
    only
        Whether all directions are curved, so that the minimizer is unique.

    """

    x: np.ndarray
    value: float
    left: float
    settled: bool
    only: bool


def newton(
    function: Smooth,
    size: int,
    *,
    done: Callable[[np.ndarray], bool] = lambda _: False,
    monitor: Monitor = SILENT,
) -> Bottom:
    """Return the minimum of a function from x = 0, its minimizer of least norm.

    It ends where the gradient is small, where rounding hides further decrease, at `done(x)`, and
    unsettled after a stop request.
    """
    x = np.zeros(size)
    value, g = function.slope(x)
    H = function.curvature(x)
    step, decrement = _newton_step(H, g)
    first = decrement
    for _ in range(MOST_STEPS):
        if not decrement > max(np.finfo(float).eps * abs(value), RESIDUAL * first):
            break
        if done(x) or monitor.stop_requested():
            break
        ahead = _decreased(function, x, value, step, decrement)
        if ahead is None:
            break
        x, value, g = ahead
        H = function.curvature(x)
        step, decrement = _newton_step(H, g)
    if not decrement <= max(np.finfo(float).eps * abs(value), UNSETTLED * first):
        return Bottom(x, value, np.nan, settled=False, only=False)
    return _settled(x, value, g, H)


def _decreased(
    function: Smooth, x: np.ndarray, value: float, step: np.ndarray, decrement: float
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Return the point, value and gradient after a step that is halved until they decrease."""
    for length in 0.5 ** np.arange(MOST_HALVINGS):
        ahead = x + length * step
        below, g = function.slope(ahead)
        if below <= value - SUFFICIENT * length * decrement and below < value:
            return ahead, below, g
    return None


def _in_units(H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the units H_ii^{-1/2}, 0 where H_ii is, and H in them: its diagonal is 1."""
    diagonal = np.diag(H)
    with np.errstate(divide="ignore"):
        units = np.where(diagonal > 0, 1 / np.sqrt(diagonal), 0.0)
    return units, units[:, None] * (H + H.T) / 2 * units


def _rounding(H: np.ndarray) -> float:
    """Return the rounding error of the eigenvalues of H in units in which its diagonal is 1."""
    return len(H) * float(np.finfo(float).eps)


def _newton_step(H: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, float]:
    """Return -H⁺g and the decrement gᵀH⁺g, which is nan where H or g is not finite."""
    if not (np.isfinite(H).all() and np.isfinite(g).all()):
        return np.zeros_like(g), float("nan")
    units, scaled = _in_units(H)
    # g has no part in directions without curvature, so a shift above rounding changes nothing
    shifted = scaled + 10 * _rounding(H) * np.eye(g.size)
    step = -units * np.linalg.solve(shifted, units * g)
    return step, float(-step @ g)


def _settled(x: np.ndarray, value: float, g: np.ndarray, H: np.ndarray) -> Bottom:
    """Return the minimum at the end of a solve, with x of least norm."""
    units, scaled = _in_units(H)
    values, vectors = np.linalg.eigh(scaled)
    # eigenvalues at the level of rounding belong to flat directions, where g is rounding as well
    known = values > _rounding(H) * values[-1]
    along = (vectors.T @ (units * g))[known]
    flat = np.where(units > 0, units, 1.0)[:, None] * vectors[:, ~known]
    if known.any() and flat.size:
        x = x - flat @ np.linalg.lstsq(flat, x, rcond=None)[0]
    return Bottom(
        x=x,
        value=value,
        left=float(np.sum(along**2 / values[known])) / 2,
        settled=True,
        only=bool(values[0] > FLAT * values[-1]),
    )
