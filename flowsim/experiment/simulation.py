"""Simulation of one scenario without variants: its plan, its flows, its descent, its groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from flowsim.dynamics.registry import FLOWS
from flowsim.experiment import groups, plane
from flowsim.experiment.plan.footprint import refuse_if_impossible
from flowsim.experiment.plan.memory import holds_layers, holds_matrices
from flowsim.experiment.step_sizes import (
    CriticalStepSize,
    NoCriticalStepSizeError,
    critical_step_size,
)
from flowsim.problem import network
from flowsim.results.run import Group
from flowsim.scenario.build.problem import (
    build_problem,
    held_out,
    kept_samples,
    noise_stream,
    saved_times,
    update_rule,
)
from flowsim.scenario.spec.errors import Mistake, UnplacedError, mistake_at
from flowsim.solvers.descend import descend
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.iterate import iterations
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory, reference
from flowsim.theory import setting as diagnostics
from flowsim.theory.exact.solutions import exact_solution

if TYPE_CHECKING:
    from flowsim.problem.problem import Problem
    from flowsim.scenario.spec.scenario import Scenario


METHOD = {"method", "rtol", "atol", "max_steps"}
"""Keys of `[flow]` that `solve` takes under the same names."""


@dataclass(frozen=True)
class Plan:
    """What will be simulated of a scenario without variants.

    Attributes
    ----------
    written
        The scenario as written, with step sizes in units of 2/λ_max if they are relative.
    scenario
        The same scenario with step sizes η.
    times
        The saved times.
    build
        Returns the problem, built at the first call and the same from then on.
    with_plane
        Whether the loss over a plane is asked for.
    unit
        2/λ_max, if step sizes are relative to it.

    """

    written: Scenario
    scenario: Scenario
    times: np.ndarray
    build: Callable[[], Problem]
    with_plane: bool = False
    unit: CriticalStepSize | None = None

    @classmethod
    def of(cls, scenario: Scenario, *, with_plane: bool = False) -> Plan:
        """Return the plan of a scenario, its step sizes as written."""
        # built on demand, so that of many variants only the problem being simulated is in memory
        build = cache(partial(build_problem, scenario))
        return cls(scenario, scenario, saved_times(scenario), build, with_plane)

    @property
    def problem(self) -> Problem:
        """The loss, the initial layers and the final time."""
        return self.build()

    @property
    def kept(self) -> np.ndarray:
        """Whether W is stored, for each saved time."""
        return kept_samples(self.scenario)

    def mistakes(self, *, keep: bool) -> list[Mistake]:
        """Return why there is no problem, or no flow or descent that is asked for.

        `keep` is whether the problem stays in memory until it is simulated.
        """
        conditional = [space for space in self.scenario.flow.spaces if FLOWS[space].requires]
        try:
            problem = self.problem if keep or conditional else build_problem(self.scenario)
        except UnplacedError as error:
            return list(error.found)
        spaces, descent = self.scenario.flow.spaces, self.scenario.descent
        reasons = [("flow.spaces", _missing(space, problem)) for space in spaces]
        if descent is not None:
            reasons.append(("descent.precision", _too_small(problem, descent.precision)))
            try:
                update_rule(self.scenario)
            except UnplacedError as error:
                return list(error.found)
        return [mistake_at(key, reason) for key, reason in reasons if reason]

    def unit_notes(self) -> list[str]:
        """Return where the minimum was found to which step sizes are relative, if they are."""
        note = self.unit.note() if self.unit else ""
        return [note] if note else []

    def with_absolute_step_sizes(self, monitor: Monitor) -> Plan:
        """Return the plan with step sizes η; without descent after a stop request.

        Raises
        ------
        ScenarioError
            If there is no sharpness to which step sizes are relative, or if the simulation would
            take too long at the resulting step sizes.

        """
        descent = self.scenario.descent
        if descent is None or descent.relative_to is None:
            return self
        options = self.scenario.flow.model_dump(include=METHOD)
        try:
            unit = critical_step_size(
                descent.relative_to, self.problem, self.times, monitor=monitor, **options
            )
        except NoCriticalStepSizeError as error:
            text = f"{error}; write absolute step sizes, or sizes relative to another place"
            raise UnplacedError(mistake_at("descent.step_sizes", text)) from None
        if unit is None:
            return replace(self, scenario=self.scenario.model_copy(update={"descent": None}))
        sizes = tuple(unit.step_size * multiple for multiple in descent.written)
        absolute = descent.model_copy(update={"step_sizes": sizes})
        scenario = self.scenario.model_copy(update={"descent": absolute})
        refuse_if_impossible(scenario)
        return replace(self, scenario=scenario, unit=unit)


def _missing(space: str, problem: Problem) -> str:
    """Return why a formulation has no flow of a problem, or ""."""
    try:
        FLOWS[space].build(problem)
    except ValueError as error:
        return str(error)
    return ""


def _too_small(problem: Problem, precision: str) -> str:
    """Return why layers are too small for descent in a precision, or ""."""
    try:
        network.check_sizes(problem.layers, precision)
    except ValueError as error:
        return str(error)
    return ""


@dataclass
class Outcome:
    """What a simulation has produced so far.

    Attributes
    ----------
    flows, descent
        The flow by formulation, and gradient descent.
    interrupted
        Groups that a stop request left out or incomplete, beside the flows and descent above, which
        have outcomes of their own.

    """

    flows: dict[str, Trajectory] = field(default_factory=dict)
    descent: DescentTrajectory | None = None
    interrupted: list[str] = field(default_factory=list)


def simulate(plan: Plan, monitor: Monitor) -> Outcome:
    """Return the flows and gradient descent of a plan, as far as they came before a stop request.

    The first flow is always there, if only with its initial time.
    """
    outcome = Outcome()
    for space in plan.scenario.flow.spaces:
        if outcome.flows and monitor.stop_requested():
            break
        monitor.named(f"{space} flow").report(0.0)
        outcome.flows[space] = _flow(plan, space, monitor.named(f"{space} flow"))
    if plan.written.descent is None:
        return outcome
    if monitor.stop_requested():
        outcome.interrupted.append("descent")
    else:
        outcome.descent = _descent(plan, outcome, monitor.named("descent"))
    return outcome


def _flow(plan: Plan, space: str, monitor: Monitor) -> Trajectory:
    spec, output = plan.scenario.flow, plan.scenario.output
    # several formulations are compared, and held-out samples scored, at every saved time
    all_needed = len(spec.spaces) > 1 or plan.scenario.holds_out or holds_matrices(output)
    return solve(
        plan.problem,
        space,
        times=plan.times,
        stop=spec.stop_values or ("converged" if spec.stop else None),
        stop_at_loss=spec.stop_at_loss,
        held_out=held_out(plan.scenario) if "held_out_loss" in spec.stop_values else None,
        between=_iterate_times(plan, space),
        keep=None if all_needed else plan.kept,
        keep_layers=holds_layers(output),
        monitor=monitor,
        **spec.model_dump(include=METHOD),
    )


def _iterate_times(plan: Plan, space: str) -> np.ndarray:
    """Return the times kη of the recorded iterates, for the flow that descent is compared with."""
    spaces, descent = plan.scenario.flow.spaces, plan.scenario.descent
    compared = "layers" if "layers" in spaces else spaces[0]
    if descent is None or not descent.follows_flow or space != compared:
        return np.zeros(0)
    # the flow is saved at exactly these times too: interpolation would limit the comparison
    iterates = iterations(plan.times, descent.sizes) * np.asarray(descent.sizes)[:, None]
    return np.setdiff1d(iterates, plan.times)


def _descent(plan: Plan, outcome: Outcome, monitor: Monitor) -> DescentTrajectory:
    spec = plan.scenario.descent
    assert spec is not None
    return descend(
        plan.problem,
        spec.sizes,
        plan.times,
        rule=update_rule(plan.scenario),
        precision=spec.precision,
        noise=noise_stream(plan.scenario),
        reference=reference(outcome.flows).matrices() if spec.follows_flow else None,
        keep=None if plan.scenario.holds_out else plan.kept,
        monitor=monitor,
    )


def trajectory_groups(plan: Plan, outcome: Outcome, monitor: Monitor) -> dict[str, Group]:
    """Return the groups of the flows, of descent, of their comparison and of the closed form."""
    problem, flows, descent = plan.problem, outcome.flows, outcome.descent
    test = held_out(plan.scenario) if plan.scenario.holds_out else None
    layers = plan.scenario.output.layers
    found: dict[str, Group] = {
        space: groups.flow_group(trajectory, test, plan.kept, layers=layers)
        for space, trajectory in flows.items()
    }
    if descent is not None:
        found["descent"] = groups.descent_group(descent, test, plan.kept)
        if plan.unit is not None:
            units = groups.step_size_units(plan.unit, plan.written)
            found["descent"] = {**found["descent"], **units}
    monitor.named("exact solution").report(0.0)
    exact = exact_solution(problem)
    comparison = groups.comparison_group(flows, descent, exact)
    if comparison:
        found["comparison"] = comparison
    if exact is not None:
        times = reference(flows).times
        found["exact"] = groups.exact_group(exact, problem, times, plan.kept)
    if target := groups.target_group(problem.loss):
        found["target"] = target
    return found


def plane_groups(
    plan: Plan, found: Mapping[str, Group], outcome: Outcome, monitor: Monitor
) -> dict[str, Group]:
    """Return the group of the loss over a plane; none where W is a single number."""
    if monitor.stop_requested():  # the loss over a plane is compiled, which takes a while
        outcome.interrupted.append("plane")
        return {}
    monitor.named("plane").report(0.0)
    group = plane.plane_group(plan.scenario, plan.problem.loss, found)
    return {"plane": group} if group else {}


def diagnostic_groups(plan: Plan, outcome: Outcome, monitor: Monitor) -> dict[str, Group]:
    """Return the groups of the diagnostics asked for, but for those after a stop request."""
    trajectories = plan.scenario, plan.problem, outcome.flows, outcome.descent
    found: dict[str, Group] = {}
    for name in plan.scenario.output.measures:
        watched, stop = monitor.named(name.replace("_", " ")).watched()
        if not stop():
            watched.report(0.0)
            found[name] = diagnostics.measure(name, diagnostics.Setting(*trajectories, watched))
        if stop.received:
            outcome.interrupted.append(name)
    return found
