"""Measures of a run that take work of their own, a module each: what the theorems speak of.

The module `flowsim.theory.setting.<name>` holds `measure(setting)`, which returns the group
`/<name>`. What it leaves and needs is told in `flowsim.theory.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np

from flowsim.problem.problem import Problem
from flowsim.results.run import TIME, Group, named
from flowsim.solvers.descend import DescentTrajectory
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.trajectory import Trajectory, reference
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from flowsim.scenario import Scenario


_SUBPACKAGES = {"descriptions": "modified_flows"}
"""Diagnostics whose subpackage bears another name."""


@dataclass(frozen=True)
class Setting:
    """What a measure is taken of: a scenario, its problem, and what came out so far.

    A measure along a trajectory ends at a stop request of `monitor`, and is nan from there on.
    """

    scenario: Scenario
    problem: Problem
    flows: Mapping[str, Trajectory]
    descent: DescentTrajectory | None
    monitor: Monitor

    @property
    def reference(self) -> Trajectory:
        """The flow that is measured: that of the layers, else the first."""
        return reference(self.flows)


def possible(name: str, flows: Mapping[str, Trajectory]) -> bool:
    """Say whether the flow that a measure is taken of was reached before an interrupt."""
    return "layers" in flows or (MEASURES[name].needs != "layers" and bool(flows))


def module(name: str) -> ModuleType:
    """Return the module that takes a measure."""
    return import_module(f"flowsim.theory.{_SUBPACKAGES.get(name, name)}.measure")


def measure(name: str, setting: Setting) -> Group:
    """Return the group of a measure."""
    return cast("Group", module(name).measure(setting))


def notes(groups: Mapping[str, Group]) -> list[str]:
    """Return what the groups of measures have to say in the summary: their variable `note`."""
    return [
        f"{name}: {sentence}"
        for name, group in groups.items()
        if "note" in group
        for sentence in group["note"].values
    ]


def along(
    name: str,
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
        if i and setting.monitor.stop_requested():
            break
        for column, values in zip(found, at(i) if i else first, strict=True):
            column[i] = values
        setting.monitor.report((i + 1) / count)
    columns = zip(told.items(), found, strict=True)
    return {
        "time": named(("time",), trajectory.times, TIME),
        **{key: named(dims[key], values, says) for (key, says), values in columns},
    }
