"""Run of a scenario: its formulations, step sizes and variants, compared, and its claims."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from flowsim.experiment import claims, plane
from flowsim.experiment.provenance import provenance
from flowsim.experiment.repetition import checksums
from flowsim.experiment.simulation import (
    Plan,
    diagnostic_groups,
    plane_groups,
    simulate,
    trajectory_groups,
)
from flowsim.experiment.summary import (
    Summary,
    concluded,
    form_verdicts,
    summarize,
    summarize_variants,
)
from flowsim.process.environment import computing, threads_for
from flowsim.results.run import Run
from flowsim.scenario.build.problem import standardization_notes
from flowsim.scenario.overrides import variants
from flowsim.scenario.spec.errors import UnplacedError
from flowsim.scenario.validate.examine import in_variant
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.programs import free_programs
from flowsim.theory import setting as diagnostics

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


@computing()
def run(scenario: Scenario, name: str = "scenario", *, monitor: Monitor = SILENT) -> Run:
    """Return the run of a scenario, with one run per variant if it has any; check its claims.

    After a stop request or a failed flow the run contains what was reached. Its summary has the
    outcome `"interrupted"` or `"failed"` for each flow and step size that did not reach its end.
    Any other group that an interrupt left out or incomplete has the outcome `"interrupted"` too.

    Raises
    ------
    ScenarioError
        If a formulation asked for has no flow, with the condition that fails, or if there is no
        sharpness to which step sizes are relative.
    SettingError
        If JAX cannot compute in double precision with its present settings.

    """
    started = time.perf_counter()
    monitor, _ = monitor.watched()  # a stop request stays made
    members = variants(scenario)
    plans = _plans(scenario, members, monitor)
    if not members:
        return _run_plan(plans[""], name, monitor, started)
    runs: dict[str, Run] = {}
    widths = scenario.network.widths
    for variant, resolved in members.items():
        if runs and resolved.network.widths != widths:
            # programs compiled for other shapes are not used again and only take memory
            free_programs()
        widths = resolved.network.widths
        plan = plans.pop(variant)  # its problem is freed after its run
        runs[variant] = _run_plan(plan, variant, monitor.named(variant), time.perf_counter())
        if monitor.stop_requested():
            break
    whole = Run(name, scenario, {}, {}, runs)
    return _concluded(whole, summarize_variants(scenario, runs), started)


def _plans(
    scenario: Scenario, members: Mapping[str, Scenario], monitor: Monitor
) -> dict[str, Plan]:
    """Return the plan of each variant; all mistakes are raised before anything is simulated."""
    plans = {
        variant: Plan.of(member, with_plane=plane.asked_for(member, scenario.claims, variant))
        for variant, member in (members or {"": scenario}).items()
    }
    monitor.named("loss and initialization").report(0.0)
    mistakes = [] if members else plans[""].mistakes(keep=True)
    for i, variant in enumerate(scenario.variant):
        for mistake in plans[variant.name].mistakes(keep=False):
            mistakes.append(in_variant(mistake, variant.name, ("variant", i), variant.set))
    if mistakes:
        raise UnplacedError(*mistakes)
    return {
        variant: plan.with_absolute_step_sizes(monitor.named(variant).named("sharpness"))
        for variant, plan in plans.items()
    }


def _run_plan(plan: Plan, name: str, monitor: Monitor, started: float) -> Run:
    with threads_for(plan.scenario.network.widths):
        return _simulated(plan, name, monitor, started)


def _simulated(plan: Plan, name: str, monitor: Monitor, started: float) -> Run:
    outcome = simulate(plan, monitor)
    form_verdicts(outcome.flows, outcome.descent, monitor)
    groups = trajectory_groups(plan, outcome, monitor)
    if plan.with_plane:
        groups |= plane_groups(plan, groups, outcome, monitor)
    measured = diagnostic_groups(plan, outcome, monitor)
    notes = [
        *standardization_notes(plan.scenario),
        *plan.unit_notes(),
        *diagnostics.notes(measured),
    ]
    summary = summarize(
        plan.scenario,
        plan.problem,
        outcome.flows,
        outcome.descent,
        interrupted=outcome.interrupted,
        notes=notes,
    )
    summary["drawn"] = checksums(plan.scenario, plan.problem.loss, plan.problem.layers)
    if plan.unit is not None and outcome.descent is not None and plan.written.descent is not None:
        sizes = (repr(float(eta)) for eta in outcome.descent.step_sizes)
        multiples = zip(sizes, plan.written.descent.written, strict=True)
        summary["relative_step_sizes"] = dict(multiples)
        summary["relative_to"] = plan.unit.record(str(plan.written.descent.relative_to))
    return _concluded(Run(name, plan.written, {**groups, **measured}, {}), summary, started)


def _concluded(run: Run, summary: Summary, started: float) -> Run:
    """Return the run with its summary, its claims checked."""
    checked = claims.check(run.scenario, run)
    summary = concluded(summary, checked, time.perf_counter() - started)
    return replace(run, summary={**summary, "provenance": provenance()})
