"""Paths of W in a plane of end-to-end matrices, and the loss over that plane.

The plane is spanned by two entries of W, or by the principal directions of a path. In the second
case it contains as much of the variance of the path as any plane can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np

from flowsim.problem.losses import Loss
from flowsim.problem.types import Array
from flowsim.solvers.storage import BATCH_BYTES, Series

MOST_TIMES = 200
"""Times of a path from which its principal directions are computed, at most."""

MARGIN = 0.2
"""Margin around the paths on each side, as a fraction of the frame."""

LEAST, LEAST_OF_ENTRIES = 0.3, 0.45
"""Least ratio of the sides of a frame; larger for entries, which are drawn to one scale."""

REACH = 0.5
"""Iterates may extend the frame of the flows by this fraction of it on each side."""

CONSTANT = 1e-12
"""Extent relative to ‖W‖ below which a path counts as a point, and that of the frame around it."""

FINEST, COARSEST = 81, 25
"""Grid points per axis."""

GRID_WORK = 1e9
"""Floating-point operations for the loss over the grid, from which the grid's size follows."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The affine plane {origin + u·D_1 + v·D_2} of end-to-end matrices.

    `directions` are D_1 and D_2, orthonormal in the Frobenius inner product, of shape
    (2, d_N, d_0). `labels` are the names of the coordinates u and v.
    """

    origin: np.ndarray
    directions: np.ndarray
    labels: tuple[str, str]

    def coordinates(self, W: np.ndarray) -> np.ndarray:
        """Return (u, v) of the orthogonal projection of each matrix, shape (…, 2)."""
        return np.asarray(np.einsum("...oi,aoi->...a", W - self.origin, self.directions))

    def loss(self, loss: Loss, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the loss at every grid point, shape (v, u)."""
        points = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
        values = _loss_at(loss, self.origin, self.directions, points)
        return np.asarray(values).reshape(v.size, u.size)


def principal_plane(path: Series) -> Plane | None:
    """Return the plane of a path's two principal directions, or None if W is a single number.

    They are the leading right singular vectors of the matrix X whose rows are the W(t) minus their
    mean, at `MOST_TIMES` times at most.
    """
    shape = path.shape[1:]
    if len(path) < 2 or shape[0] * shape[1] < 2:
        return None
    if len(path) > MOST_TIMES:
        path = path.take(np.linspace(0, len(path) - 1, MOST_TIMES).round().astype(int))
    # X can be larger than memory, but X = RᵀQᵀ with R of at most 200 × 200: R follows from QRs of
    # blocks of columns, and has the left singular vectors of X. With them D ∝ UᵀX, again by blocks.
    R: np.ndarray = np.zeros((0, len(path)))
    for X, mean in _column_blocks(path):
        R = np.asarray(np.linalg.qr(np.concatenate([R, (X - mean).T]), mode="r"))
    U = np.linalg.svd(R.T, full_matrices=False)[0][:, :2]
    parts = [(U.T @ (X - mean), mean) for X, mean in _column_blocks(path)]
    spanning, means = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    # a straight path has a second singular value of rounding size: QR restores orthogonality
    directions = np.linalg.qr(spanning.T)[0].T.reshape(2, *shape)
    labels = ("first principal direction", "second principal direction")
    return Plane(means.reshape(shape), _oriented(directions, path), labels)


def _column_blocks(path: Series) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of entries of all matrices of a path, shape (time, entry), and their means."""
    entries, size = path.shape[1] * path.shape[2], max(1, BATCH_BYTES // (8 * len(path)))
    for first in range(0, entries, size):
        X = path.entries(slice(first, min(first + size, entries)))
        yield X, X.mean(axis=0)


def entries_plane(path: Series, entries: Sequence[tuple[int, int]]) -> Plane:
    """Return the plane through a path's end whose coordinates are two entries of W."""
    directions = np.zeros((2, *path.shape[1:]))
    origin = path[-1].copy()
    for direction, (row, column) in zip(directions, entries, strict=True):
        direction[row, column] = 1.0
        origin[row, column] = 0.0
    labels = [f"entry W[{row + 1}, {column + 1}]" for row, column in entries]
    return Plane(origin, directions, (labels[0], labels[1]))


def grid(
    paths: Sequence[np.ndarray],
    loss: Loss,
    outputs: int,
    *,
    fan: Sequence[np.ndarray] = (),
    least: float = LEAST,
    size: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return u and v of a grid around all finite points of `paths`, with a margin.

    Points of `fan`, the iterates, extend it by at most `REACH` on each side. The shorter side is at
    least `least` times the longer one. `size` is the largest ‖W‖_F of a path.
    """
    low, high = _box(paths)
    if fan:
        reach = REACH * max(float((high - low).max()), CONSTANT * size)
        inner, outer = _box([*paths, *(np.clip(path, low - reach, high + reach) for path in fan)])
        low, high = np.minimum(low, inner), np.maximum(high, outer)
    # a constant path has no extent, but a grid needs one
    longest = max(float((high - low).max()), CONSTANT * size)
    span = np.maximum(high - low, least * longest)
    middle = (low + high) / 2
    data = sum(np.size(leaf) for leaf in jax.tree.leaves(eqx.filter(loss, eqx.is_array)))
    # the work of a loss over data is about that of the product W X, 2 · outputs · data
    finest = int(np.sqrt(GRID_WORK / max(2 * data * outputs, 1)))
    size = int(np.clip(finest, COARSEST, FINEST))
    axes = [
        np.linspace(m - (0.5 + MARGIN) * s, m + (0.5 + MARGIN) * s, size)
        for m, s in zip(middle, span, strict=True)
    ]
    return axes[0], axes[1]


def _box(paths: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower left and upper right corners of the box around all finite points."""
    points = np.concatenate([path.reshape(-1, 2) for path in paths])
    points = points[np.isfinite(points).all(axis=1)]
    return points.min(axis=0), points.max(axis=0)


def _oriented(directions: np.ndarray, path: Series) -> np.ndarray:
    """Return the directions with signs such that the path ends at non-negative displacement."""
    moved = np.einsum("oi,aoi->a", path[-1] - path[0], directions)
    return directions * np.where(moved < 0, -1.0, 1.0)[:, None, None]


@eqx.filter_jit
def _loss_at(loss: Loss, origin: Array, directions: Array, points: Array) -> Array:
    def one(point: Array) -> Array:
        return loss.value(origin + point[0] * directions[0] + point[1] * directions[1])

    # point by point: all matrices of the grid at once could exceed the memory
    values: Array = jax.lax.map(one, points)
    return values


ASIDE = 0.1
"""Distance from the minimizer, in frames, at which a second minimizer is looked for."""

FLAT = 1e-10
"""Losses are equal up to this fraction of the range of the loss over the frame."""

ANGLES = np.pi * np.arange(32) / 32
"""Directions in which a second minimizer is looked for, before the best one is refined."""

MOST_EVALUATIONS = 400
"""Evaluations of the loss for its minimum."""


class Lowest(NamedTuple):
    """The lowest loss in a frame, and the end points of its minimizers, shape (end, axis).

    The ends coincide if the minimizer is unique, and are nan if the loss decreases further beyond
    the frame.
    """

    loss: float
    ends: np.ndarray


def lowest(plane: Plane, loss: Loss, u: np.ndarray, v: np.ndarray, values: np.ndarray) -> Lowest:
    """Return the minimizers of a convex loss in the frame of the grid (u, v), given its `values`.

    Nelder & Mead's simplex method (1965) from the best grid point is accurate to about 1e-7 of the
    frame, and needs no derivatives at the kinks of p-losses with p = 1. The minimizers of a convex
    function form a convex set. Here that is a segment if a point at a tenth of the frame from the
    first minimizer has the same loss.
    """
    from scipy.optimize import minimize

    corner, span = np.array([u[0], v[0]]), np.array([u[-1] - u[0], v[-1] - v[0]])

    def height(at: np.ndarray) -> float:
        return float(plane.loss(loss, *np.split(corner + at * span, 2))[0, 0])

    start = _best(values)
    # about one grid cell in size
    simplex = start + np.array([[0, 0], [1, 0.1], [0.1, 1]]) / max(values.shape)
    # The position alone ends the search: near a minimum the loss is flat to second order, and its
    # differences are rounding long before the position is accurate.
    options = {"initial_simplex": simplex, "xatol": 1e-8, "fatol": np.inf}
    options["maxfev"] = MOST_EVALUATIONS
    found = minimize(height, start, method="Nelder-Mead", options=options)
    # at the edge of the frame: the loss decreases further beyond
    if (found.x <= 0).any() or (found.x >= 1).any():
        return Lowest(float(np.nanmin(values)), np.full((2, 2), np.nan))
    level = found.fun + FLAT * (np.nanmax(values) - found.fun)
    return Lowest(float(found.fun), corner + _ends(height, found.x, level) * span)


def _best(values: np.ndarray) -> np.ndarray:
    """Return the best grid point in the unit square, of equal ones the most central."""
    least, high = np.nanmin(values), np.nanmax(values)
    alike = np.argwhere(values <= least + FLAT * (high - least))[:, ::-1]
    points = alike / (np.array(values.shape[::-1]) - 1)
    return np.asarray(points[np.argmin(np.abs(points - 0.5).max(axis=1))])


def _ends(height: Callable[[np.ndarray], float], point: np.ndarray, level: float) -> np.ndarray:
    """Return the ends of the segment of minimizers through a point of the unit square."""
    from scipy.optimize import minimize_scalar

    def aside(angle: float) -> np.ndarray:
        return ASIDE * np.array([np.cos(angle), np.sin(angle)])

    def rise(angle: float) -> float:
        return max(height(point + aside(angle)), height(point - aside(angle)))

    best = ANGLES[np.argmin([rise(angle) for angle in ANGLES])]
    bounds = (best - ANGLES[1], best + ANGLES[1])
    refined = minimize_scalar(rise, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    if refined.fun > level:
        return np.stack([point, point])
    way = aside(refined.x)
    return np.stack([_end(height, point, sign * way, level) for sign in (-1.0, 1.0)])


def _end(
    height: Callable[[np.ndarray], float], point: np.ndarray, way: np.ndarray, level: float
) -> np.ndarray:
    """Return the last point along a ray in the unit square up to which the loss does not rise."""
    edges = [((1.0 if w > 0 else 0.0) - p) / w for p, w in zip(point, way, strict=True) if w]
    near, far = 0.0, min(edges)
    if height(point + far * way) <= level:
        return np.asarray(point + far * way)
    for _ in range(30):  # bisection, since the loss is convex along the ray
        middle = (near + far) / 2
        near, far = (middle, far) if height(point + middle * way) <= level else (near, middle)
    return np.asarray(point + near * way)
