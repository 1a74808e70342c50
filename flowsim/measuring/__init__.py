"""Measures of a run that take work of their own, a module each: what the theorems speak of.

The module `flowsim.measuring.<name>` holds `measure(setting)`, which returns the group `/<name>`.
What it leaves and needs is told in `flowsim.scenario.measuring`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

import numpy as np

from flowsim import tables
from flowsim.descending import DescentTrajectory
from flowsim.problem import Problem
from flowsim.results import Group, named
from flowsim.scenario.measuring import MEASURES, MeasureName
from flowsim.task import Interrupted, Watcher
from flowsim.trajectory import Trajectory

if TYPE_CHECKING:
    from flowsim.scenario import Scenario


@dataclass(frozen=True)
class Setting:
    """What a measure is taken of: a scenario, its problem, and what came out so far.

    `watch` wants the fraction that is done; a measure along a trajectory stops where it is
    `interrupted`, and leaves nan from there on.
    """

    scenario: Scenario
    problem: Problem
    flows: Mapping[str, Trajectory]
    descent: DescentTrajectory | None
    watch: Watcher
    interrupted: Interrupted

    @property
    def reference(self) -> Trajectory:
        """The flow that is measured: that of the layers, else the first."""
        return tables.reference(self.flows)


def possible(name: MeasureName, flows: Mapping[str, Trajectory]) -> bool:
    """Say whether the flow that a measure is taken of was reached before an interrupt."""
    return "layers" in flows or (MEASURES[name].needs != "layers" and bool(flows))


def measure(name: MeasureName, setting: Setting) -> Group:
    """Return the group of a measure."""
    return cast("Group", import_module(f"{__name__}.{name}").measure(setting))


def notes(groups: Mapping[str, Group]) -> list[str]:
    """Return what the groups of measures have to say in the summary: their variable `note`."""
    return [
        f"{name}: {sentence}"
        for name, group in groups.items()
        if "note" in group
        for sentence in group["note"].values
    ]


def along(
    name: MeasureName,
    setting: Setting,
    trajectory: Trajectory,
    told: Mapping[str, str],
    at: Callable[[int], Sequence[np.ndarray | float]],
) -> Group:
    """Return a measure's variables over time: those `told` of, as `at(i)` gives them in order.

    They are nan from an interrupt on, the first time apart, which gives their shapes.
    """
    count, dims = trajectory.times.size, MEASURES[name].variables
    first = [np.asarray(values, dtype=float) for values in at(0)]
    found = [np.full((count, *values.shape), np.nan) for values in first]
    for i in range(count):
        if i and setting.interrupted():
            break
        for column, values in zip(found, at(i) if i else first, strict=True):
            column[i] = values
        setting.watch((i + 1) / count)
    columns = zip(told.items(), found, strict=True)
    return {
        "time": named(("time",), trajectory.times, tables.TIME),
        **{key: named(dims[key], values, says) for (key, says), values in columns},
    }
