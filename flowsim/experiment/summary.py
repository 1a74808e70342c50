"""The summary of a run: outcomes, numbers worth reading first, and notes to the reader.

It is what `summary.json` and `run.summary` contain.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim.problem.problem import Problem
from flowsim.results.run import Run
from flowsim.scenario.overrides import variants
from flowsim.solvers import accuracy, invariants
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.trajectory import NOT_CONSERVED, Trajectory
from flowsim.solvers.verdict import Invariant, Verdict

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

DONE, CLAIM_FAILED, NOT_FINISHED, INTERRUPTED = 0, 1, 3, 130
"""Exit codes of the command line."""

OVER_VARIANTS = (
    "outcome", "verdict", "final_loss", "error_estimate", "method", "steps", "invariants",
)  # fmt: skip
"""Entries of the summary above variants, by variant."""

MOST_ALIKE = 4
"""If more step sizes than this violate one invariant, only the first is reported."""

LIBRARIES = ("flowsim", "jax", "jaxlib", "diffrax", "numpy", "scipy")


Summary = dict[str, Any]
"""Entries by their key in `summary.json`."""


def summarize(
    scenario: Scenario,
    problem: Problem,
    flows: Mapping[str, Trajectory],
    descent: DescentTrajectory | None,
    *,
    interrupted: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Summary:
    """Return the summary of a run without variants, `notes` of its diagnostics after its own.

    Each entry is by formulation; that of descent is by step size. Flows that were not reached are
    interrupted, and so are further groups named in `interrupted`.
    """
    watched = {space: flow.invariants for space, flow in flows.items()}
    by_space = {space: _flow_entries(flow, watched[space]) for space, flow in flows.items()}
    entries: dict[str, dict[str, Any]] = {
        key: {space: each[key] for space, each in by_space.items()}
        for key in next(iter(by_space.values()))
    }
    entries["outcome"] = dict.fromkeys(scenario.flow.spaces, "interrupted") | entries["outcome"]
    watched_sizes: dict[str, list[Invariant]] = {}
    if descent is not None:
        sizes = [repr(float(eta)) for eta in descent.step_sizes]
        watched_sizes = dict(zip(sizes, invariants.of_descent(descent, problem), strict=True))
        for size, each in watched_sizes.items():
            entries["invariants"][f"descent, step {size}"] = _records(each)
        # nan are samples that an interrupt left out; after divergence the loss is inf
        last = [float(losses[~np.isnan(losses)][-1]) for losses in descent.loss]
        entries["outcome"]["descent"] = dict(zip(sizes, descent.outcome, strict=True))
        records = [ending.record("iteration") for ending in descent.endings]
        entries["verdict"]["descent"] = dict(zip(sizes, records, strict=True))
        entries["final_loss"]["descent"] = dict(zip(sizes, last, strict=True))
    for name in interrupted:
        entries["outcome"][name] = "interrupted"
    if "descent" in interrupted and scenario.descent is not None:
        sizes = [repr(float(eta)) for eta in scenario.descent.sizes]
        entries["outcome"]["descent"] = dict.fromkeys(sizes, "interrupted")
    all_notes = [
        *(note for flow in flows.values() for note in _notes(flow, problem, scenario.flow.rtol)),
        *(descent.notes if descent is not None else ()),
        *_violations(watched, watched_sizes),
        *notes,
    ]
    return {
        "scenario": scenario.title,
        **entries,
        "notes": all_notes,
        "seconds": _seconds(flows, descent),
        "versions": _versions([scenario]),
    }


def form_verdicts(
    flows: Mapping[str, Trajectory], descent: DescentTrajectory | None, monitor: Monitor
) -> None:
    """Form all verdicts, which the trajectories keep; stop where a stop is requested.

    They take seconds to compile. The summary needs them, so that a stop request during later
    diagnostics would otherwise be answered late.
    """
    monitor = monitor.named("verdict")
    solved: list[Trajectory | DescentTrajectory] = list(flows.values())
    solved += [] if descent is None else [descent]
    for k, each in enumerate(solved):
        monitor.report(k / len(solved))
        if monitor.stop_requested():
            return
        _ = each.ending if isinstance(each, Trajectory) else each.endings


def _flow_entries(flow: Trajectory, watched: Iterable[Invariant]) -> Summary:
    """Return how the flow in one formulation ended, its cost, and the invariants along it."""
    return {
        "outcome": flow.verdict.outcome,
        "verdict": flow.ending.record(),
        "final_loss": float(flow.loss[-1]),
        "error_estimate": flow.largest_error,
        "method": flow.method,
        "method_choices": [
            {"method": choice.method.name, "from": choice.since, "why": choice.why}
            for choice in flow.choices
        ],
        "steps": {"accepted": flow.statistics.accepted, "rejected": flow.statistics.rejected},
        "invariants": _records(watched),
    }


def _records(watched: Iterable[Invariant]) -> Summary:
    return {each.name: each.record() for each in watched}


def summarize_variants(scenario: Scenario, runs: Mapping[str, Run]) -> Summary:
    """Return the summary above the runs of variants; variants not reached are interrupted."""
    summaries = {name: run.summary for name, run in runs.items()}
    entries = {key: {name: s[key] for name, s in summaries.items()} for key in OVER_VARIANTS}
    for name in variants(scenario).keys() - runs.keys():
        entries["outcome"][name] = "interrupted"
    return {
        "scenario": scenario.title,
        **entries,
        "notes": [f"{name}: {note}" for name, s in summaries.items() for note in s["notes"]],
        "seconds": {name: s["seconds"] for name, s in summaries.items()},
        "versions": _versions([run.scenario for run in runs.values()]),
    }


def concluded(summary: Summary, claims: list[dict[str, Any]], seconds: float) -> Summary:
    """Return what `summary.json` contains: a summary with claims, total time and exit code."""
    entries = {**summary, "claims": claims, "seconds": {**summary["seconds"], "total": seconds}}
    return {**entries, "exit_code": _exit_code(entries)}


def _exit_code(summary: Mapping[str, Any]) -> int:
    """Return 130 after an interrupt, 3 if a flow failed, else 1 if a claim fails, else 0."""
    outcomes = _leaves(summary["outcome"])
    if "interrupted" in outcomes:
        return INTERRUPTED
    if "failed" in outcomes:
        return NOT_FINISHED
    return DONE if all(claim["holds"] for claim in summary["claims"]) else CLAIM_FAILED


def _leaves(tree: Mapping[str, Any] | str) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    return [leaf for branch in tree.values() for leaf in _leaves(branch)]


VIOLATED = {
    "det_sign": (
        "det W, as computed, has another sign than at initialization, which the exact flow never "
        "changes: the smallest singular value fell below the rounding errors of W's entries. Do "
        'not rely on it after that time, or set flow.spaces = ["spectral"], which preserves it.'
    ),
    "det_sign of descent": (
        "det W, as computed, has another sign than at initialization, which the exact flow never "
        "changes: a step was too large to stay on one side of 0, or the smallest singular value "
        "fell below rounding errors."
    ),
    "loss": (
        "the loss increases by more than its estimated error, which the exact flow never does; "
        "reduce flow.rtol."
    ),
    "imbalance": (
        "the imbalance of the layers changes by more than the error estimate explains, but the "
        "exact flow conserves it; reduce flow.rtol."
    ),
}
"""Notes on a violated invariant, from the time of the violation on."""


def _violations(
    flows: Mapping[str, Iterable[Invariant]], descent: Mapping[str, Iterable[Invariant]]
) -> Iterable[str]:
    """Yield a note per violated invariant; one note if many step sizes violate the same one."""
    for space, watched in flows.items():
        for each in watched:
            if each.broken_at is not None:
                yield f"{space}: from t = {each.broken_at:.4g} {VIOLATED[each.name]}"
    alike = [
        f"descent, step {size}: from t = {each.broken_at:.4g} {VIOLATED[f'{each.name} of descent']}"
        for size, watched in descent.items()
        for each in watched
        if each.broken_at is not None
    ]
    # hundreds of step sizes would fill the summary with the same sentence
    if len(alike) > MOST_ALIKE:
        alike = [f"{alike[0]} The same holds at {len(alike) - 1} more step sizes."]
    yield from alike


def _notes(trajectory: Trajectory, problem: Problem, rtol: float) -> Iterable[str]:
    """Yield the notes on one flow: its tolerance, its end, its accuracy, its limit."""
    space = trajectory.space
    if trajectory.rtol < rtol:
        yield (
            f"{space}: rtol was reduced from {rtol:g} to {trajectory.rtol:g}, because the "
            f"estimated error exceeded {accuracy.ALLOWED_ERROR:.0%} of ‖W‖."
        )
    caveats = {choice.method.caveat for choice in trajectory.choices} - {""}
    yield from (f"{space}: {caveat}." for caveat in sorted(caveats))
    yield from (f"{space}: {note}" for note in trajectory.notes)
    if problem.loss.on_layers:
        yield f"{space}: {NOT_CONSERVED}."
    ending = trajectory.ending
    if ending.verdict is Verdict.SADDLE or ending.verdict.outcome != "completed":
        yield f"{space}: at t = {ending.at:.6g}, {ending.verdict.value}."
    decided = trajectory.decided_by_rounding_from
    if decided is not None:
        yield f"{space}: at t = {decided:.6g}, {Verdict.DECIDED_BY_ROUNDING.value}."
    elif accuracy.is_inaccurate(trajectory):
        yield _inaccurate(trajectory, problem)
    if problem.loss.separates(trajectory.end_to_end_series[-1]):
        yield (
            f"{space}: every sample is classified correctly, so the loss has no finite minimizer: "
            "it decreases to 0 while ‖W‖ grows without bound, and only the direction of W "
            "converges."
        )


def _inaccurate(trajectory: Trajectory, problem: Problem) -> str:
    """Return from which time on the required accuracy is missed, and what would reach it."""
    size, remedy = accuracy.largest_norm(trajectory), accuracy.remedy(trajectory, problem)
    first = trajectory.times[np.argmax(trajectory.error_estimate > accuracy.ALLOWED_ERROR * size)]
    missed = (
        f"{trajectory.space}: from t = {first:.4g} the estimated error "
        f"({trajectory.largest_error:.2g}) exceeds {accuracy.ALLOWED_ERROR:.0%} of "
        f"‖W‖ ({size:.2g}). "
    )
    if remedy.space != trajectory.space:
        return missed + (
            "Small singular values of W may be lost in the rounding errors of its entries at any "
            f'rtol. Set flow.spaces = ["{remedy.space}"], the same flow in a formulation that '
            f"preserves them, and flow.rtol = {remedy.rtol:.0e}."
        )
    return missed + (
        f"Set flow.rtol = {remedy.rtol:.0e}. If that does not help, the flow passes so close to a "
        "saddle that rounding errors determine its path from there."
    )


def _seconds(
    flows: Mapping[str, Trajectory], descent: DescentTrajectory | None
) -> dict[str, float]:
    seconds = {space: t.statistics.integration for space, t in flows.items()}
    compiling = sum(t.statistics.compile for t in flows.values())
    if descent is not None:
        seconds["descent"] = descent.seconds
        compiling += descent.compile
    estimating = sum(t.statistics.error_estimate for t in flows.values())
    return {**seconds, "compile": compiling, "error_estimate": estimating}


def _versions(scenarios: Iterable[Scenario]) -> dict[str, str]:
    """Return the versions of the libraries that took part."""
    of_optax = any(s.descent and s.descent.traits.of_optax for s in scenarios)
    libraries = (*LIBRARIES, *(["optax"] if of_optax else []))
    return {"python": platform.python_version(), **{name: _version(name) for name in libraries}}


@cache
def _version(library: str) -> str:
    """Return an installed version, which takes 1 ms to read."""
    return version(library)
