"""Error estimates of variables in a run, from those of W along its flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flowsim.results.comparison.alignment import is_coordinate
from flowsim.results.run import Group, Run, Variable

NOTICEABLE = 1e-6
"""Change of W relative to its scale from which on the sensitivity of a variable is measured.

Between saved times at which W hardly changes the quotient of two changes is rounding.
"""

_EXACT = ("descent", "exact")
"""Groups whose values are exact up to rounding."""

_CANCELLING = {"imbalance": "squared_norm"}
"""Variables that are small by cancellation, and a variable of the size of what cancels."""


@dataclass(frozen=True, eq=False)
class Flow:
    """W along one flow of a run, and its error estimate.

    `error` is the largest estimate up to each time, nan where there is none at all.
    """

    times: np.ndarray
    error: np.ndarray
    stored_times: np.ndarray
    W: np.ndarray

    @classmethod
    def of(cls, group: Group) -> Flow | None:
        """Return the flow of a group, or None for a group that is not a flow."""
        if not {"time", "error_estimate", "end_to_end"} <= group.keys():
            return None
        stored = group[group["end_to_end"].dims[0]].values
        # fmax ignores nan: times without an estimate of their own
        error = np.fmax.accumulate(group["error_estimate"].values)
        return cls(group["time"].values, error, stored, group["end_to_end"].values)

    @property
    def size(self) -> float:
        """Largest ‖W‖_F."""
        return largest_norm(self.W)

    def error_at(self, times: np.ndarray | None) -> np.ndarray:
        """Return the largest error estimate up to each time, or in all without times."""
        last = self.times.size - 1
        at = [last] if times is None else np.searchsorted(self.times, times).clip(max=last)
        return np.asarray(self.error[at])


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Error estimates of the variables of one group of a run.

    Attributes
    ----------
    group
        The variables.
    flows
        The flows that they were computed from; none for values that are exact up to rounding.
    are_distances
        Whether they are distances between matrices W, which have the error of W.

    """

    group: Group
    flows: tuple[Flow, ...]
    are_distances: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is an error estimate of W."""
        return any(not np.isnan(flow.error).all() for flow in self.flows)

    def scale(self, name: str) -> float:
        """Return the largest finite magnitude of a variable, or of what it is a difference of."""
        if self.are_distances and self.flows:
            return max(flow.size for flow in self.flows)
        of = self.group.get(_CANCELLING.get(name, name), self.group[name])
        return _largest(of.values)

    @property
    def largest(self) -> float:
        """The largest finite magnitude of all variables of the group but its coordinates."""
        values = [v.values for name, v in self.group.items() if not is_coordinate(name, v)]
        return max((_largest(each) for each in values if each.dtype.kind in "fi"), default=0.0)

    def error(self, name: str, times: np.ndarray | None) -> np.ndarray:
        """Return the error that W causes in a variable, at each of the times or one for all.

        It is the error estimate of W times the sensitivity of the variable to W; nan if unknown.
        """
        if not self.is_known:
            return np.full(1, np.nan)
        of_w = sum(np.nan_to_num(flow.error_at(times), posinf=np.inf) for flow in self.flows)
        return np.asarray(self._sensitivity(name) * of_w)

    def _sensitivity(self, name: str) -> float:
        """Return how much a variable changes per change of ‖W‖_F, at most.

        It is the larger of the ratio of their scales and of the quotients of their changes from
        one saved time to the next: a first-order estimate of |dx/dW| on the path.
        """
        if self.are_distances:
            return 1.0
        size = max(flow.size for flow in self.flows)
        x = self.group[name]
        of = self.group.get(_CANCELLING.get(name, name), x)
        ratio = largest_norm(of.values) / size if size else 0.0
        return max(ratio, _steepest(x, self.group, self.flows[0]))


def accuracies(run: Run) -> Mapping[str, Accuracy]:
    """Return the accuracy of each group of a run without variants."""
    flows = {name: flow for name, group in run.groups.items() if (flow := Flow.of(group))}
    found = {}
    for name, group in run.groups.items():
        own = (flows[name],) if name in flows else tuple(flows.values())
        used = () if name in _EXACT else own
        found[name] = Accuracy(group, used, name == "comparison")
    return found


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def largest_norm(rows: np.ndarray) -> float:
    """Return the largest Euclidean norm of the rows along the leading axis that are finite."""
    norms = np.linalg.norm(np.atleast_1d(rows).reshape(len(np.atleast_1d(rows)), -1), axis=1)
    return float(norms[np.isfinite(norms)].max(initial=0.0))


def _steepest(x: Variable, group: Group, flow: Flow) -> float:
    """Return the largest change of x per change of ‖W‖_F between neighbouring saved times."""
    if not x.dims or not x.dims[0].endswith("time") or x.dims[0] not in group:
        return 0.0
    _, i, k = np.intersect1d(group[x.dims[0]].values, flow.stored_times, return_indices=True)
    if i.size < 2:
        return 0.0
    changes = [
        np.linalg.norm(np.diff(rows.reshape(len(rows), -1), axis=0), axis=1)
        for rows in (x.values[i].astype(float), flow.W[k])
    ]
    moves = (changes[1] > NOTICEABLE * flow.size) & np.isfinite(changes[0])
    slopes = changes[0][moves] / changes[1][moves]
    # a quotient is the slope at the middle of an interval; its ends are half a difference away
    half = np.abs(np.diff(slopes)).max(initial=0.0) / 2
    return float(slopes.max(initial=0.0) + half)
