"""Where the loss over a plane is lowest: at a point, along a line, or beyond the frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from flowsim.losses import Loss
from flowsim.plane import Plane

ASIDE = 0.1
FLAT = 1e-10
"""Losses closer to the lowest than this share of the loss's range over the frame are as low."""
ANGLES = np.pi * np.arange(32) / 32
MOST_EVALUATIONS = 400


class Lowest(NamedTuple):
    """The lowest loss in a frame, and the two ends of where it is, shape (end, axis).

    The ends are equal at a point, and nan where the loss goes on falling beyond the frame.
    """

    loss: float
    ends: np.ndarray


def lowest(plane: Plane, loss: Loss, u: np.ndarray, v: np.ndarray, values: np.ndarray) -> Lowest:
    """Return where a convex loss is lowest in the frame of the grid (u, v), given its values there.

    The point is Nelder & Mead's (1965) from the best of the grid, good to about 1e-7 of the frame.
    The minimizers of a convex function are a convex set: here a line, where a point a tenth of the
    frame aside is as low.
    """
    from scipy.optimize import minimize

    corner, span = np.array([u[0], v[0]]), np.array([u[-1] - u[0], v[-1] - v[0]])

    def height(at: np.ndarray) -> float:
        return float(plane.loss(loss, *np.split(corner + at * span, 2))[0, 0])

    start = _best(values)
    simplex = start + np.array([[0, 0], [1, 0.1], [0.1, 1]]) / max(values.shape)
    options = {"initial_simplex": simplex, "xatol": 1e-8, "fatol": np.inf}
    options["maxfev"] = MOST_EVALUATIONS
    found = minimize(height, start, method="Nelder-Mead", options=options)
    if (found.x <= 0).any() or (found.x >= 1).any():
        return Lowest(float(np.nanmin(values)), np.full((2, 2), np.nan))
    level = found.fun + FLAT * (np.nanmax(values) - found.fun)
    return Lowest(float(found.fun), corner + _ends(height, found.x, level) * span)


def _best(values: np.ndarray) -> np.ndarray:
    """Return the lowest grid point within the unit square, of those alike the most central."""
    least, high = np.nanmin(values), np.nanmax(values)
    alike = np.argwhere(values <= least + FLAT * (high - least))[:, ::-1]
    points = alike / (np.array(values.shape[::-1]) - 1)
    return np.asarray(points[np.argmin(np.abs(points - 0.5).max(axis=1))])


def _ends(height: Callable[[np.ndarray], float], point: np.ndarray, level: float) -> np.ndarray:
    """Return the ends of the line through a point of the unit square that is no higher."""
    from scipy.optimize import minimize_scalar

    def aside(angle: float) -> np.ndarray:
        return ASIDE * np.array([np.cos(angle), np.sin(angle)])

    def rise(angle: float) -> float:
        return max(height(point + aside(angle)), height(point - aside(angle)))

    best = ANGLES[np.argmin([rise(angle) for angle in ANGLES])]
    bounds = (best - ANGLES[1], best + ANGLES[1])
    turned = minimize_scalar(rise, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    if turned.fun > level:
        return np.stack([point, point])
    way = aside(turned.x)
    return np.stack([_end(height, point, sign * way, level) for sign in (-1.0, 1.0)])


def _end(
    height: Callable[[np.ndarray], float], point: np.ndarray, way: np.ndarray, level: float
) -> np.ndarray:
    """Return how far one can go within the unit square without going up."""
    edges = [((1.0 if w > 0 else 0.0) - p) / w for p, w in zip(point, way, strict=True) if w]
    near, far = 0.0, min(edges)
    if height(point + far * way) <= level:
        return np.asarray(point + far * way)
    for _ in range(30):
        middle = (near + far) / 2
        near, far = (middle, far) if height(point + middle * way) <= level else (near, middle)
    return np.asarray(point + near * way)
