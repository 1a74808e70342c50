"""The entries that a variable has in both of two runs, matched by their coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowsim.results.run import Group, Variable

_SAVED = "saved_"
"""Prefix of the dimensions over which W alone is stored."""

_GRIDS = ("iteration", "time", "iterate_time")
"""Variables that give the place of recorded iterates, over step sizes and samples."""


class NotComparableError(Exception):
    """A variable has no entries that both runs have; the text is the reason."""


@dataclass(frozen=True)
class Aligned:
    """The values of a variable in two runs, on the coordinates that both have.

    `coordinates` has one array per axis; None where an axis has no coordinate.
    """

    dims: tuple[str, ...]
    values: tuple[np.ndarray, np.ndarray]
    coordinates: tuple[np.ndarray | None, ...]

    @property
    def times(self) -> np.ndarray | None:
        """The times of the leading axis, if it is an axis of times."""
        along_time = bool(self.dims) and self.dims[0].endswith("time")
        return self.coordinates[0] if along_time else None

    def place(self, index: tuple[int, ...]) -> str:
        """Return in words where an entry lies."""
        at = zip(self.dims, self.coordinates, index, strict=True)
        return ", ".join(f"{dim} = {i if x is None else _shown(x[i])}" for dim, x, i in at)


def _shown(coordinate: Any) -> str:
    return str(coordinate) if isinstance(coordinate, str) else f"{coordinate:.6g}"


def is_coordinate(name: str, variable: Variable) -> bool:
    """Return whether a variable gives the values along a dimension."""
    return variable.dims == (name,)


def aligned(name: str, first: Group, second: Group) -> Aligned:
    """Return a variable of two groups on the coordinates that both have.

    Times, step sizes and other coordinates are matched by exact equality: values at times that are
    merely close differ by the flow itself.

    Raises
    ------
    NotComparableError
        If dimensions or lengths differ, no coordinate is common, or iterates were recorded at
        others.

    """
    a, b = first[name], second[name]
    dims = tuple(dim.removeprefix(_SAVED) for dim in a.dims)
    if dims != tuple(dim.removeprefix(_SAVED) for dim in b.dims):
        raise NotComparableError(f"dimensions differ: {_words(a.dims)} and {_words(b.dims)}")
    if "sample" in dims and name not in _GRIDS:
        _refuse_other_iterates(first, second)
    x, y, coordinates = a.values, b.values, []
    for axis, dim in enumerate(dims):
        both = (_coordinate(first, a, axis), _coordinate(second, b, axis))
        shared, i, k = _matched(dim, both, (a.shape[axis], b.shape[axis]))
        x, y = np.take(x, i, axis), np.take(y, k, axis)
        coordinates.append(shared)
    return Aligned(dims, (x, y), tuple(coordinates))


def _words(dims: tuple[str, ...]) -> str:
    return f"({', '.join(dims)})"


def _coordinate(group: Group, variable: Variable, axis: int) -> np.ndarray | None:
    dim = variable.dims[axis]
    return group[dim].values if dim in group and is_coordinate(dim, group[dim]) else None


def _matched(
    dim: str, both: tuple[np.ndarray | None, np.ndarray | None], lengths: tuple[int, int]
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return the common coordinates of an axis, and their indices in both runs."""
    if both[0] is None and both[1] is None:
        if lengths[0] != lengths[1]:
            raise NotComparableError(f"lengths of {dim} differ: {lengths[0]} and {lengths[1]}")
        return None, np.arange(lengths[0]), np.arange(lengths[0])
    # one of both may store W at some recorded iterates only, whose coordinate is their number
    x, y = (np.arange(n) if c is None else c for c, n in zip(both, lengths, strict=True))
    shared, i, k = np.intersect1d(x, y, return_indices=True)
    if not shared.size and x.size and y.size:
        raise NotComparableError(f"no {dim} in common")
    return shared, i, k


def _refuse_other_iterates(first: Group, second: Group) -> None:
    for name in _GRIDS:
        if name in first and name in second and "sample" in first[name].dims:
            x, y = aligned(name, first, second).values
            if not np.array_equal(x, y, equal_nan=True):
                raise NotComparableError("iterates were recorded at other times")


def differing_coordinates(first: Group, second: Group) -> dict[str, str]:
    """Return how coordinates of two groups differ that have common values, by their name."""
    found = {}
    for name in first:
        if name in second and all(is_coordinate(name, group[name]) for group in (first, second)):
            x, y = first[name].values, second[name].values
            common = np.intersect1d(x, y).size
            if common and not np.array_equal(x, y):
                found[name] = f"{x.size} and {y.size} values, {common} in common"
    return found
