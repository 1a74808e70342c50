"""Trajectories that were solved one by one, as the run that a scenario of theirs gives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowsim.dynamics.update_rules import Rule
from flowsim.experiment import groups
from flowsim.experiment.plan.posing import pose
from flowsim.experiment.summary import concluded, summarize, summarize_variants
from flowsim.problem import arguments
from flowsim.problem.problem import Problem
from flowsim.results import archive
from flowsim.results.run import Group, Run
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.monitor import SILENT
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory, reference
from flowsim.theory import setting
from flowsim.theory.exact.solutions import exact_solution
from flowsim.theory.registry import MEASURES

Solved = Trajectory | DescentTrajectory


@dataclass(frozen=True)
class Assembled:
    """Flows of one problem by their formulation, and descent of it, if any.

    Raises
    ------
    ValueError
        If two of them are of one formulation or both descent, or they are of several problems.

    """

    flows: Mapping[str, Trajectory]
    descent: DescentTrajectory | None

    @classmethod
    def of(cls, solved: Sequence[Solved]) -> Assembled:
        """Return trajectories by what they are."""
        flows = [each for each in solved if isinstance(each, Trajectory)]
        descents = [each for each in solved if isinstance(each, DescentTrajectory)]
        spaces = [flow.space for flow in flows]
        if len(set(spaces)) < len(spaces) or len(descents) > 1:
            raise ValueError(
                "Trajectories drawn together are one per formulation and one of descent; give a "
                "mapping from names to trajectories to compare several of a kind."
            )
        if not flows:
            raise ValueError("A flow is required beside gradient descent; solve the problem too.")
        if any(each.problem is not flows[0].problem for each in solved):
            raise ValueError(
                "Trajectories drawn together are of one problem; give a mapping from names to "
                "trajectories to compare problems."
            )
        return cls(dict(zip(spaces, flows, strict=True)), descents[0] if descents else None)

    @property
    def problem(self) -> Problem:
        """What was solved."""
        return self.reference.problem

    @property
    def reference(self) -> Trajectory:
        """The flow over the layers, else the first one."""
        return reference(self.flows)

    @property
    def _rule(self) -> Rule | None:
        """The update rule of descent, if any."""
        last = self.descent.last if self.descent is not None else None
        return last.descent.rule if last is not None else None

    def scenario(self, overrides: Mapping[str, Any]) -> Scenario:
        """Return the scenario of these trajectories, with further keys."""
        flow = self.reference
        known: dict[str, Any] = {"flow.spaces": list(self.flows), "flow.rtol": flow.rtol}
        known |= _saved(flow.times, self.problem.horizon)
        if self.descent is not None:
            assert self.descent.last is not None
            precision = str(self.descent.last.iterates.layers[0].dtype)
            known |= {"descent.step_sizes": self.descent.step_sizes.tolist()}
            known |= {"descent.precision": precision}
        return pose(self.problem, {**known, **overrides}, self._rule)

    def run(self, name: str = "problem") -> Run:
        """Return the run with the variables of the trajectories, without diagnostics."""
        scenario, problem, exact = self.scenario({}), self.problem, exact_solution(self.problem)
        found: dict[str, Group] = {
            space: groups.flow_group(flow, None, _kept(flow), layers=flow.layer_series is not None)
            for space, flow in self.flows.items()
        }
        if self.descent is not None:
            kept = _mask(self.descent.kept, self.descent.iteration.shape[1])
            found["descent"] = groups.descent_group(self.descent, None, kept)
        if comparison := groups.comparison_group(self.flows, self.descent, exact):
            found["comparison"] = comparison
        if exact is not None:
            flow = self.reference
            found["exact"] = groups.exact_group(exact, problem, flow.times, _kept(flow))
        if target := groups.target_group(problem.loss):
            found["target"] = target
        summary = summarize(scenario, problem, self.flows, self.descent)
        return Run(name, scenario, found, concluded(summary, [], sum(summary["seconds"].values())))

    def measure(self, name: str, options: Mapping[str, Any]) -> Group:
        """Return the variables of a diagnostic of the trajectories.

        Raises
        ------
        ValueError
            If the diagnostic is not defined for them, with the reason.

        """
        output = {f"output.{key}": value for key, value in options.items()}
        if reason := MEASURES[name].why_unavailable(self.scenario({})):
            raise ValueError(f"{name} cannot be measured: {reason}.")
        if self.descent is not None and self.descent.noisy:
            raise ValueError(
                f"{name} cannot be measured with this descent, whose iterates are computed again: "
                "its noise is your own; leave out descent."
            )
        able = self._with_states(MEASURES[name].needs)
        scenario = able.scenario({"output.measures": [name], **output})
        given = setting.Setting(scenario, able.problem, able.flows, able.descent, SILENT)
        return setting.measure(name, given)

    def _with_states(self, needs: str) -> Assembled:
        """Return the same with a flow that has the layers, or W, at every saved time."""
        flow = self.reference
        layers = needs == "layers" and (flow.space != "layers" or flow.layer_series is None)
        matrices = needs == "matrices" and flow.kept.size < flow.times.size
        if not (layers or matrices):
            return self
        again = solve(
            flow.problem,
            "layers" if layers else flow.space,
            times=flow.times,
            rtol=flow.rtol,
            keep_layers=layers,
        )
        return Assembled({again.space: again, **_others(self.flows, again.space)}, self.descent)


def as_run(given: object) -> Run:
    """Return the run that a run, its directory, trajectories or a mapping from names to these give.

    Raises
    ------
    ValueError
        If it is none of these.
    ArchiveError
        If the directory contains no intact run.

    """
    if isinstance(given, Run):
        return given
    if isinstance(given, str | os.PathLike):
        return archive.read(given)
    if isinstance(given, Trajectory | DescentTrajectory):
        return Assembled.of([given]).run()
    if isinstance(given, Mapping) and given:
        return _compared({str(name): as_run(each) for name, each in given.items()})
    if isinstance(given, Sequence) and given:
        solved = [each for each in given if isinstance(each, Trajectory | DescentTrajectory)]
        if len(solved) == len(given):
            return Assembled.of(solved).run()
    required = "a Run, its directory, trajectories, or a mapping from names to these"
    raise ValueError(f"run must be {required}, but is {arguments.shown(given)}.")


def _compared(runs: Mapping[str, Run]) -> Run:
    """Return a run whose variants are these runs."""
    first = next(iter(runs.values()))
    scenario = first.scenario.model_copy(update={"title": ", ".join(runs)})
    summary = summarize_variants(scenario, runs)
    return Run("comparison", scenario, {}, {**summary, "claims": []}, runs)


def _others(flows: Mapping[str, Trajectory], space: str) -> dict[str, Trajectory]:
    return {name: flow for name, flow in flows.items() if name != space}


def _kept(flow: Trajectory) -> np.ndarray:
    """Return at which saved times W is stored."""
    return _mask(flow.kept, flow.times.size)


def _mask(indices: np.ndarray, count: int) -> np.ndarray:
    """Return booleans that are true at these indices."""
    mask = np.zeros(count, dtype=bool)
    mask[indices] = True
    return mask


def _saved(times: np.ndarray, horizon: float) -> dict[str, Any]:
    """Return the keys of the saved times."""
    if np.array_equal(times, np.linspace(0.0, horizon, times.size)):
        return {"flow.samples": times.size}
    return {"flow.times": times.tolist()}
