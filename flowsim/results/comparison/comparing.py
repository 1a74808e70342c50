"""The largest difference of each variable of two runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from flowsim.problem.arguments import instance_of
from flowsim.process.environment import isolated
from flowsim.results import archive
from flowsim.results.comparison.accuracy import Accuracy, accuracies
from flowsim.results.comparison.alignment import (
    Aligned,
    NotComparableError,
    aligned,
    differing_coordinates,
    is_coordinate,
)
from flowsim.results.comparison.differences import Comparison, Difference
from flowsim.results.run import Run

ROUNDING = 1e-12
"""Difference relative to the scale that counts as rounding, beside an error estimate."""

UNESTIMATED = 1e-8
"""Relative difference that counts as rounding where there is no error estimate.

Gradient descent has no discretization error, but amplifies the rounding errors of another machine.
"""

CANCELLATION = 32 * float(np.finfo(float).eps)
"""Difference relative to the largest value of a group that counts as rounding.

A variable may be the small difference of large ones beside it, such as a potential from the loss.
"""

NOT_A_RESULT = "plane"
"""The group of the loss over a plane through the path, whose axes are others in each run."""

RunOrDirectory = Run | str | os.PathLike[str]
Found = Difference | tuple[str, str]
"""A difference, or the path of what was not compared with the reason."""


@isolated()
def compare(first: RunOrDirectory, second: RunOrDirectory) -> Comparison:
    """Return the largest difference of each variable of two runs, beside both error estimates.

    >>> print(flowsim.compare("runs/coarse", "runs/fine"))

    Values are compared on the times, step sizes and other coordinates that both runs have. Entries
    that are nan, or the same infinity, in both are equal. The error estimate of a variable is that
    of W, times its sensitivity to W along the stored path. Values that are exact up to rounding,
    those of gradient descent and of closed forms, have none; they agree up to 10⁻⁸ of their scale.
    The loss over a plane (`plane`), whose axes follow the path of each run, is not compared.

    Parameters
    ----------
    first, second
        Runs, or directories of runs. Of runs with variants all variants are compared.

    Raises
    ------
    ValueError
        If nothing can be compared, with the reasons.
    ArchiveError
        If a directory contains no intact run.

    """
    a, b = _opened("first", first), _opened("second", second)
    differences: list[Difference] = []
    not_compared: dict[str, str] = {}
    others = dict(_parts(b))
    for prefix, run in _parts(a):
        for each in _compared(prefix, run, others[prefix]) if prefix in others else ():
            if isinstance(each, Difference):
                differences.append(each)
            else:
                not_compared.update([each])
    if not differences:
        reasons = "; ".join(f"{path}: {why}" for path, why in not_compared.items())
        raise ValueError(
            f"Nothing can be compared: {reasons or 'the two runs have no variable in common'}."
        )
    paths = tuple(a.paths()), tuple(b.paths())
    only = [tuple(p for p in mine if p not in set(other)) for mine, other in (paths, paths[::-1])]
    return Comparison(tuple(differences), not_compared, (only[0], only[1]))


def _opened(name: str, run: RunOrDirectory) -> Run:
    instance_of((str, os.PathLike, Run), required="a Run or the directory of one")(name, run)
    return run if isinstance(run, Run) else archive.read(run)


def _parts(run: Run) -> Iterator[tuple[str, Run]]:
    """Yield a run, or its variants, with what precedes the paths of their variables."""
    if not run.variants:
        yield "", run
    for name, inner in run.variants.items():
        yield from ((f"{name}/{prefix}", part) for prefix, part in _parts(inner))


def _compared(prefix: str, a: Run, b: Run) -> Iterator[Found]:
    """Yield the differences between two runs without variants, and what was not compared."""
    first, second = accuracies(a), accuracies(b)
    for name in (name for name in first if name in second and name != NOT_A_RESULT):
        pair = first[name], second[name]
        path = f"{prefix}{name}"
        differing = differing_coordinates(pair[0].group, pair[1].group)
        yield from ((f"{path}.{dim}", how) for dim, how in differing.items())
        for variable in _values(pair[0]):
            if variable in pair[1].group:
                try:
                    both = aligned(variable, pair[0].group, pair[1].group)
                except NotComparableError as reason:
                    yield f"{path}.{variable}", str(reason)
                else:
                    yield _difference(f"{path}.{variable}", variable, both, pair)


def _values(of: Accuracy) -> Iterator[str]:
    """Yield the variables of a group that are neither coordinates nor error estimates."""
    for name, variable in of.group.items():
        is_error = name in ("error", "error_estimate") or name.endswith("_error")
        if not is_error and not is_coordinate(name, variable):
            yield name


def _difference(path: str, name: str, both: Aligned, pair: tuple[Accuracy, Accuracy]) -> Difference:
    """Return the largest difference, among those beyond the error estimates where there are any."""
    gap, scale, errors = _gaps(name, both, pair)
    if not gap.size:
        return Difference(path, 0.0, scale, "", (np.nan, np.nan), is_beyond=False)
    tolerance = UNESTIMATED if np.isnan(errors).any() else ROUNDING
    rounding = max(tolerance * scale, CANCELLATION * max(each.largest for each in pair))
    allowed = np.nan_to_num(errors, posinf=np.inf).sum(axis=0) + rounding
    beyond = gap > allowed
    index = np.unravel_index(
        np.argmax(np.where(beyond, gap, -1) if beyond.any() else gap), gap.shape
    )
    at = tuple(map(int, index))
    found = (float(errors[0][at]), float(errors[1][at]))
    return Difference(path, float(gap[at]), scale, both.place(at), found, bool(beyond.any()))


def _gaps(
    name: str, both: Aligned, pair: tuple[Accuracy, Accuracy]
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return |x − y|, the scale of both, and their error estimates, of shape (2, *x.shape)."""
    x, y = both.values
    if x.dtype.kind in "UO" or y.dtype.kind in "UO":
        return np.where(x == y, 0.0, np.inf), 1.0, np.full((2, *x.shape), np.nan)
    gap = _gap(x.astype(float), y.astype(float))
    stated = _stated(name, both, pair)
    errors = []
    for own, each in zip(stated, pair, strict=True):
        of_w = each.error(name, both.times)  # by time, the leading axis, or one for all entries
        of_w = of_w.reshape(-1, *[1] * (x.ndim - 1)) if x.ndim else of_w[0]
        known = np.where(np.isnan(of_w), own, of_w + np.nan_to_num(own, posinf=np.inf))
        errors.append(np.broadcast_to(known, x.shape))
    return gap, max(each.scale(name) for each in pair), np.stack(errors)


def _stated(name: str, both: Aligned, pair: tuple[Accuracy, Accuracy]) -> tuple[Any, Any]:
    """Return the errors of a variable that its own group states in both runs, else nan."""
    first, second = (each.group for each in pair)
    for key in (f"{name}_error", "error"):
        if key in first and key in second and first[key].dims in (both.dims, ()):
            x, y = aligned(key, first, second).values
            return x, y
    return np.nan, np.nan


def _gap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |x − y|, 0 where neither is finite and both are alike, inf where one is not finite."""
    alike = (x == y) | (np.isnan(x) & np.isnan(y))
    finite = np.isfinite(x) & np.isfinite(y)
    return np.where(alike, 0.0, np.where(finite, np.abs(x - y), np.inf))
