"""The input of a diagnostic, and its evaluation by the module `measure` of its subpackage.

A run stores no layers of descent: diagnostics that need them, or every step, compute the iterates
again (`replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import cast

import jax
import numpy as np

from flowsim.dynamics.accumulators import Accumulated, Accumulator
from flowsim.dynamics.descent import Descent, Iterates
from flowsim.problem.problem import Problem
from flowsim.problem.types import Layers
from flowsim.results.run import Group, group
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.iterate import (
    PLAIN,
    DescentOptions,
    initial_iterates,
    iterate,
    make_descent,
)
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.trajectory import Trajectory, reference
from flowsim.theory.registry import MEASURES

Arrays = Mapping[str, np.ndarray | float | Sequence[str]]
"""Values of a diagnostic's variables by name."""


@dataclass(frozen=True)
class Setting:
    """The input of a diagnostic: a scenario, its problem and its trajectories.

    Entries stay nan from a stop request of `monitor` on.
    """

    scenario: Scenario
    problem: Problem
    flows: Mapping[str, Trajectory]
    descent: DescentTrajectory | None
    monitor: Monitor

    @property
    def reference(self) -> Trajectory:
        """The flow that is measured: over the layers, else the first one."""
        return reference(self.flows)

    @property
    def layer_flow(self) -> Trajectory:
        """The flow over the layers."""
        return self.flows["layers"]

    def layers(self, i: int) -> Layers:
        """Return W_1, …, W_N of the layer flow at its i-th saved time."""
        series = self.layer_flow.layer_series
        assert series is not None
        return tuple(history[i] for history in series)

    def at_saved_times(
        self, flow: Trajectory, evaluate: Callable[[int], Mapping[str, np.ndarray | float]]
    ) -> dict[str, np.ndarray]:
        """Return `time` and the values of `evaluate(i)` at every saved time i of a flow.

        Values are nan from an interrupt on. The first time is always evaluated, since it determines
        the shapes.
        """
        count, first = flow.times.size, evaluate(0)
        arrays = {name: np.full((count, *np.shape(value)), np.nan) for name, value in first.items()}
        for i in range(count):
            if i and self.monitor.stop_requested():
                break
            for name, value in (evaluate(i) if i else first).items():
                arrays[name][i] = value
            self.monitor.report((i + 1) / count)
        return {"time": flow.times, **arrays}


def function(name: str) -> Callable[[Setting], Arrays]:
    """Return the function that computes a diagnostic."""
    if (own := MEASURES[name].function) is not None:
        return own
    module = import_module(f"{MEASURES[name].package}.measure")
    return cast("Callable[[Setting], Arrays]", module.measure)


def measure(name: str, setting: Setting) -> Group:
    """Return the group of a diagnostic: its arrays, named and checked by its declaration.

    Raises
    ------
    ValueError
        If the arrays are not those that the diagnostic declares.

    """
    arrays = {
        key: value
        for key, value in function(name)(setting).items()
        if key != "note" or len(np.atleast_1d(value))
    }
    found = group(MEASURES[name].stored, arrays)
    missing = [
        spec.name
        for spec in MEASURES[name].variables
        if spec.name not in found and (setting.descent or "step_size" not in spec.dims)
    ]
    if missing:
        raise ValueError(f"The diagnostic {name!r} left out {', '.join(missing)}.")
    return found


def notes(groups: Mapping[str, Group]) -> list[str]:
    """Return the sentences of the diagnostics for the summary, from their variables `note`."""
    return [
        f"{name}: {sentence}"
        for name, group in groups.items()
        if "note" in group
        for sentence in group["note"].values
    ]


def replay(
    problem: Problem,
    step_sizes: Sequence[float],
    count: np.ndarray,
    visit: Callable[[int, int, Layers, Accumulated], None],
    *,
    options: DescentOptions = PLAIN,
    accumulator: Accumulator | None = None,
    monitor: Monitor = SILENT,
) -> None:
    """Iterate to the counts of each recorded sample, and call `visit` there for every step size.

    The replay is in float64 and from the same initialization as the run. Its iterates are therefore
    those of the run bitwise where the run was in float64 too.

    `count` has shape (step_size, sample). `visit(k, sample, layers, accumulated)` receives the
    layers of step size k and what its accumulator holds; it is not called past divergence.
    """
    descent = make_descent(problem, step_sizes, options, accumulator)
    replay_descent(descent, problem, count, visit, monitor=monitor)


def replay_descent(
    descent: Descent,
    problem: Problem,
    count: np.ndarray,
    visit: Callable[[int, int, Layers, Accumulated], None],
    *,
    monitor: Monitor = SILENT,
) -> None:
    """Iterate a descent from the problem's layers, and visit its iterates as in `replay`."""

    def each(sample: int, iterates: Iterates) -> None:
        found = jax.tree.map(np.asarray, (iterates.layers, iterates.accumulated))
        for k in np.flatnonzero(np.asarray(iterates.alive)):
            visit(int(k), sample, *jax.tree.map(lambda A, k=k: A[k], found))

    iterate(descent, initial_iterates(descent, problem), count, each, monitor=monitor)
