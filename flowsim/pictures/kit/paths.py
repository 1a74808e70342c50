"""The flows' paths in the plane, and how far points are from one."""

from __future__ import annotations

import numpy as np

from flowsim.pictures.kit import reading
from flowsim.results.run import Run

SAME_PATH = 1e-3
"""A path that strays by less than this share of its length from another is not told from it."""


def paths(run: Run) -> dict[str, np.ndarray]:
    """Return the flows' paths `(time, axis)`: the first, and others that can be told from it."""
    found: dict[str, np.ndarray] = {}
    for space in reading.FLOWS:
        if reading.drawable(run, f"plane.{space}"):
            path = run[f"plane.{space}"]
            first = next(iter(found.values()), None)
            if first is None or stray(first, path) > SAME_PATH * length(first):
                found[space] = path
    return found


def length(path: np.ndarray) -> float:
    """Return the length of a path, nan steps left out."""
    return float(np.nansum(np.linalg.norm(np.diff(path, axis=0), axis=1)))


def stray(path: np.ndarray, points: np.ndarray) -> float:
    """Return the largest distance of points from a path of straight pieces, nan if unknown."""
    path, points = path[np.isfinite(path).all(axis=1)], points[np.isfinite(points).all(axis=1)]
    if not len(path) or not len(points):
        return float("nan")
    start, step = path, np.diff(path, axis=0, append=path[-1:])
    squared = np.maximum((step**2).sum(axis=1), 1e-300)
    away = points[:, None, :] - start[None, :, :]
    share = np.clip((away * step).sum(axis=2) / squared, 0, 1)
    gaps = np.linalg.norm(away - share[:, :, None] * step, axis=2)
    return float(gaps.min(axis=1).max())
