"""Running a scenario: every space, every step size, their comparison, and the claims."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from flowsim.dynamics.registry import FLOWS
from flowsim.experiment import claims
from flowsim.experiment import groups as tables
from flowsim.experiment import summary as summarizing
from flowsim.experiment.plan.measures import holds_layers, holds_matrices
from flowsim.experiment.step_sizes import Absolute, absolute
from flowsim.results.run import Group, Run
from flowsim.scenario.build import gradient_noise
from flowsim.scenario.build.problem import build_problem, held_out, kept_samples, saved_times
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.variants import variants
from flowsim.solvers.descend import DescentTrajectory, descend
from flowsim.solvers.iterate import iterations
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory, reference
from flowsim.theory import setting as measuring
from flowsim.theory.exact.solutions import exact_solution

if TYPE_CHECKING:
    from flowsim.problem.losses import Loss
    from flowsim.problem.problem import Problem
    from flowsim.scenario import Scenario


@dataclass
class Outcome:
    """What a plain run has produced so far."""

    problem: Problem
    flows: dict[str, Trajectory] = field(default_factory=dict)
    descent: DescentTrajectory | None = None


def run(
    scenario: Scenario,
    name: str = "scenario",
    *,
    monitor: Monitor = SILENT,
) -> Run:
    """Run a scenario, each of its variants if it has any, and check its claims.

    An interrupt or a failed flow ends in a run whose summary says so, with what was reached.

    Raises
    ------
    ScenarioError
        If a flow does not exist in a space that is asked for, saying which condition fails.

    """
    started = time.perf_counter()
    members = variants(scenario)
    wanted = members or {"": scenario}
    _refuse_missing_spaces(wanted)
    plans = {
        variant: absolute(each, monitor.named(variant).named("sharpness"))
        for variant, each in wanted.items()
    }
    if not members:
        plain = _run_plain(plans[""], name, monitor)
        return _concluded(plain, scenario, started)
    runs: dict[str, Run] = {}
    shapes = None
    for variant, resolved in members.items():
        if shapes not in (None, resolved.network.widths):
            # programs compiled for other shapes only take memory
            jax.clear_caches()  # type: ignore[no-untyped-call]
        shapes = resolved.network.widths
        begun = time.perf_counter()
        plain = _run_plain(plans[variant], variant, monitor.named(variant))
        runs[variant] = _concluded(plain, resolved, begun)
        if monitor.stop_requested():
            break
    whole = Run(name, scenario, {}, summarizing.over_variants(scenario, runs), runs)
    return _concluded(whole, scenario, started)


def _refuse_missing_spaces(runs: Mapping[str, Scenario]) -> None:
    """Raise, before anything is simulated, where a flow does not exist in a space asked for."""
    mistakes = []
    for variant, scenario in runs.items():
        where = f"variant {variant}: " if variant else ""
        for space in {space for space in scenario.flow.spaces if FLOWS[space].requires}:
            try:
                FLOWS[space].build(build_problem(scenario))
            except ValueError as error:
                mistakes.append(f"{where}flow.spaces: {error}")
    if mistakes:
        raise ScenarioError(mistakes)


def _concluded(run: Run, scenario: Scenario, started: float) -> Run:
    """Add what is known last: the claims, the exit code, and the time it all took."""
    checked = claims.check(scenario, run)
    seconds = {**run.summary["seconds"], "total": time.perf_counter() - started}
    summary = {**run.summary, "claims": checked, "seconds": seconds}
    return replace(run, summary={**summary, "exit_code": summarizing.exit_code(summary)})


def _run_plain(plan: Absolute, name: str, monitor: Monitor) -> Run:
    scenario = plan.scenario
    problem, times = build_problem(scenario), saved_times(scenario)
    outcome = Outcome(problem)
    for space in scenario.flow.spaces:
        if outcome.flows and monitor.stop_requested():
            break
        outcome.flows[space] = _flow(scenario, problem, space, times, monitor)
    if scenario.descent is not None and not monitor.stop_requested():
        outcome.descent = _descent(scenario, outcome, times, monitor)
    groups = _groups(scenario, outcome)
    if plan.unit is not None and "descent" in groups:
        of_units = tables.relative(plan.unit, plan.written)
        groups["descent"] = {**groups["descent"], **of_units}
    if (
        not monitor.stop_requested()
    ):  # compiling the loss over a plane would keep an interrupt waiting
        plane = tables.plane(scenario.output.plane, problem, outcome.flows, outcome.descent)
        groups = {**groups, **({"plane": plane} if plane else {})}
    measured = _measured(scenario, outcome, monitor)
    summary = summarizing.of(scenario, problem, outcome.flows, outcome.descent)
    summary["notes"] += measuring.notes(measured)
    return Run(name, plan.written, {**groups, **measured}, summary)


def _measured(scenario: Scenario, outcome: Outcome, monitor: Monitor) -> dict[str, Group]:
    """Return the groups of the measures asked for, of the flow as far as it was reached."""
    found: dict[str, Group] = {}
    for name in scenario.output.measures:
        if measuring.possible(name, outcome.flows):
            setting = measuring.Setting(
                scenario,
                outcome.problem,
                outcome.flows,
                outcome.descent,
                monitor.named(name.replace("_", " ")),
            )
            found[name] = measuring.measure(name, setting)
    return found


def _flow(
    scenario: Scenario,
    problem: Problem,
    space: str,
    times: np.ndarray,
    monitor: Monitor,
) -> Trajectory:
    spec = scenario.flow
    all_needed = len(spec.spaces) > 1 or _held_out(scenario) or holds_matrices(scenario.output)
    return solve(
        problem,
        space,
        times=times,
        method=spec.method,
        rtol=spec.rtol,
        atol=spec.atol,
        max_steps=spec.max_steps,
        stop_at_loss=spec.stop_at_loss,
        between=_iterate_times(scenario, space, times),
        keep=None if all_needed else kept_samples(scenario),
        keep_layers=holds_layers(scenario.output),
        monitor=monitor.named(f"{space} flow"),
    )


def _held_out(scenario: Scenario) -> bool:
    return scenario.data is not None and scenario.data.held_out > 0


def _iterate_times(scenario: Scenario, space: str, times: np.ndarray) -> np.ndarray:
    """Return the times kη of the recorded iterates, for the flow that descent is compared with."""
    reference = "layers" if "layers" in scenario.flow.spaces else scenario.flow.spaces[0]
    descent = scenario.descent
    if descent is None or not descent.follows_flow or space != reference:
        return np.zeros(0)
    step_sizes = descent.sizes
    iterates = iterations(times, step_sizes) * np.asarray(step_sizes)[:, None]
    return np.setdiff1d(iterates, times)


def _descent(
    scenario: Scenario,
    outcome: Outcome,
    times: np.ndarray,
    monitor: Monitor,
) -> DescentTrajectory:
    spec = scenario.descent
    assert spec is not None
    keep = None if _held_out(scenario) else kept_samples(scenario)
    return descend(
        outcome.problem,
        spec.sizes,
        times,
        algorithm=spec.algorithm,
        momentum=spec.momentum,
        precision=spec.precision,
        noise=gradient_noise.stream(scenario),
        reference=reference(outcome.flows).matrices() if spec.follows_flow else None,
        keep=keep,
        monitor=monitor.named("descent"),
    )


def _groups(scenario: Scenario, outcome: Outcome) -> dict[str, Group]:
    problem, flows = outcome.problem, outcome.flows
    test: Loss | None = held_out(scenario) if _held_out(scenario) else None
    kept = kept_samples(scenario)
    layers = scenario.output.layers
    groups: dict[str, Any] = {
        space: tables.flow(trajectory, problem, test, kept, layers=layers)
        for space, trajectory in flows.items()
    }
    if outcome.descent is not None:
        groups["descent"] = tables.descent(outcome.descent, problem, test, kept)
    exact = exact_solution(problem)
    comparison = tables.comparison(flows, outcome.descent, exact)
    if comparison:
        groups["comparison"] = comparison
    if exact is not None:
        groups["exact"] = tables.exact(exact, problem, reference(flows).times, kept)
    return groups
