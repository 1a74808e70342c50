"""The paths of flows in the plane, and the distance of points from a path."""

from __future__ import annotations

import numpy as np

from flowsim.pictures.kit import reading
from flowsim.results.run import Run

SAME_PATH = 1e-3
"""Paths that deviate by less than this fraction of their length look like one line."""


def flow_paths(run: Run) -> dict[str, np.ndarray]:
    """Return the paths `(time, axis)` of the reference flow and of flows that deviate from it."""
    found: dict[str, np.ndarray] = {}
    for space in reading.FLOWS:
        if reading.has_numbers(run, f"plane.{space}"):
            path = run[f"plane.{space}"]
            first = next(iter(found.values()), None)
            if first is None or largest_distance(first, path) > SAME_PATH * path_length(first):
                found[space] = path
    return found


def path_length(path: np.ndarray) -> float:
    """Return the length of a path; steps with nan are left out."""
    return float(np.nansum(np.linalg.norm(np.diff(path, axis=0), axis=1)))


def largest_distance(path: np.ndarray, points: np.ndarray) -> float:
    """Return the largest distance of points from a polygonal path; nan if either is empty.

    The distance is to the segments, not to the saved points, which may lie far apart.
    """
    path, points = path[np.isfinite(path).all(axis=1)], points[np.isfinite(points).all(axis=1)]
    if not len(path) or not len(points):
        return float("nan")
    start, step = path, np.diff(path, axis=0, append=path[-1:])
    # of a segment of length 0 every fraction is its one point: only 0/0 must be avoided
    squared = np.maximum((step**2).sum(axis=1), 1e-300)
    away = points[:, None, :] - start[None, :, :]
    fraction = np.clip((away * step).sum(axis=2) / squared, 0, 1)
    gaps = np.linalg.norm(away - fraction[:, :, None] * step, axis=2)
    return float(gaps.min(axis=1).max())
