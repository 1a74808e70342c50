"""The summary of a run: outcomes, numbers worth reading first, and notes to the reader.

It is collected as dataclasses; `to_json` gives what `summary.json` and `run.summary` contain.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim.dynamics.registry import ALGORITHMS
from flowsim.problem.problem import Problem
from flowsim.results.run import Run
from flowsim.scenario.variants import variants
from flowsim.solvers import accuracy
from flowsim.solvers.descend import DescentTrajectory
from flowsim.solvers.trajectory import Trajectory, Verdict
from flowsim.theory import invariants
from flowsim.theory.invariants import Invariant

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

DONE, CLAIM_FAILED, NOT_FINISHED = 0, 1, 3
"""Exit codes of the command line."""

OVER_VARIANTS = (
    "outcome", "verdict", "final_loss", "error_estimate", "method", "steps", "invariants",
)  # fmt: skip
"""Entries of the summary above variants, by variant."""

MOST_ALIKE = 4
"""If more step sizes than this violate one invariant, only the first is reported."""

LIBRARIES = ("flowsim", "jax", "jaxlib", "diffrax", "numpy", "scipy")


@dataclass(frozen=True)
class FlowSummary:
    """The flow in one formulation: how it ended, its cost, and the invariants along it."""

    trajectory: Trajectory
    invariants: list[Invariant]

    def to_json(self) -> dict[str, Any]:
        """Return the entries of this flow, by their key in the summary."""
        flow = self.trajectory
        return {
            "outcome": flow.verdict.outcome,
            "verdict": {
                "name": flow.verdict.name.lower(),
                "time": flow.stopped_at,
                "advice": flow.verdict.value,
            },
            "final_loss": float(flow.loss[-1]),
            "error_estimate": flow.largest_error,
            "method": flow.method,
            "method_choices": [
                {"method": choice.method.name, "from": choice.since, "why": choice.why}
                for choice in flow.choices
            ],
            "steps": {"accepted": flow.statistics.accepted, "rejected": flow.statistics.rejected},
            "invariants": _records(self.invariants),
        }


@dataclass(frozen=True)
class DescentSummary:
    """Gradient descent at one step size: how it ended, and the invariants along it."""

    step_size: str
    outcome: str
    final_loss: float
    invariants: list[Invariant]


@dataclass(frozen=True)
class Summary:
    """The summary of a run without variants."""

    scenario: Scenario
    flows: Mapping[str, FlowSummary]
    descent: Sequence[DescentSummary] | None
    notes: Sequence[str]
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the summary, each entry by formulation; of descent by step size."""
        by_space = {space: flow.to_json() for space, flow in self.flows.items()}
        entries: dict[str, dict[str, Any]] = {
            key: {space: found[key] for space, found in by_space.items()}
            for key in next(iter(by_space.values()))
        }
        unreached = dict.fromkeys(self.scenario.flow.spaces, "interrupted")
        entries["outcome"] = unreached | entries["outcome"]
        if self.descent is not None:
            for each in self.descent:
                entries["invariants"][f"descent, step {each.step_size}"] = _records(each.invariants)
            entries["outcome"]["descent"] = {s.step_size: s.outcome for s in self.descent}
            entries["final_loss"]["descent"] = {s.step_size: s.final_loss for s in self.descent}
        return {
            "scenario": self.scenario.title,
            **entries,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
            "versions": _versions([self.scenario]),
        }


@dataclass(frozen=True)
class VariantsSummary:
    """The summary above the variants of a scenario: each entry by variant."""

    scenario: Scenario
    runs: Mapping[str, Run]

    def to_json(self) -> dict[str, Any]:
        """Return the summary; variants that were not reached are interrupted."""
        found = {name: run.summary for name, run in self.runs.items()}
        entries = {key: {name: s[key] for name, s in found.items()} for key in OVER_VARIANTS}
        for name in variants(self.scenario).keys() - self.runs.keys():
            entries["outcome"][name] = "interrupted"
        return {
            "scenario": self.scenario.title,
            **entries,
            "notes": [f"{name}: {note}" for name, s in found.items() for note in s["notes"]],
            "seconds": {name: s["seconds"] for name, s in found.items()},
            "versions": _versions([run.scenario for run in self.runs.values()]),
        }


def summarize(
    scenario: Scenario,
    problem: Problem,
    flows: Mapping[str, Trajectory],
    descent: DescentTrajectory | None,
    notes: Sequence[str] = (),
) -> Summary:
    """Return the summary of a plain run, `notes` of its diagnostics after its own."""
    of_flows = {
        space: FlowSummary(flow, invariants.of_flow(flow, problem)) for space, flow in flows.items()
    }
    of_descent = None if descent is None else list(_step_sizes(descent, problem))
    all_notes = [
        *(note for flow in flows.values() for note in _notes(flow, problem, scenario.flow.rtol)),
        *_violations(of_flows, of_descent or ()),
        *notes,
    ]
    return Summary(scenario, of_flows, of_descent, all_notes, _seconds(flows, descent))


def concluded(
    summary: Summary | VariantsSummary, claims: list[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Return what `summary.json` contains: a summary with claims, total time and exit code."""
    entries = {**summary.to_json(), "claims": claims}
    entries["seconds"]["total"] = seconds
    return {**entries, "exit_code": _exit_code(entries)}


def _exit_code(summary: Mapping[str, Any]) -> int:
    """Return 3 if a flow could not be finished, else 1 if a claim fails, else 0."""
    outcomes = list(_leaves(summary["outcome"]))
    if any(outcome in ("failed", "interrupted") for outcome in outcomes):
        return NOT_FINISHED
    return DONE if all(claim["holds"] for claim in summary["claims"]) else CLAIM_FAILED


def _leaves(tree: Mapping[str, Any] | str) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    return [leaf for branch in tree.values() for leaf in _leaves(branch)]


def _step_sizes(descent: DescentTrajectory, problem: Problem) -> Iterable[DescentSummary]:
    each = invariants.of_descent(descent, problem)
    for eta, outcome, losses, kept in zip(
        descent.step_sizes, descent.outcome, descent.loss, each, strict=True
    ):
        # nan are samples that an interrupt left out; after divergence the loss is inf
        last = float(losses[~np.isnan(losses)][-1])
        yield DescentSummary(repr(float(eta)), outcome, last, kept)


def _records(kept: Iterable[Invariant]) -> dict[str, Any]:
    return {each.name: each.record() for each in kept}


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
    flows: Mapping[str, FlowSummary], descent: Sequence[DescentSummary]
) -> Iterable[str]:
    """Yield a note per violated invariant; one note if many step sizes violate the same one."""
    for space, flow in flows.items():
        for broken in flow.invariants:
            if broken.broken_at is not None:
                yield f"{space}: from t = {broken.broken_at:.4g} {VIOLATED[broken.name]}"
    alike = [
        f"descent, step {each.step_size}: from t = {broken.broken_at:.4g} "
        f"{VIOLATED[f'{broken.name} of descent']}"
        for each in descent
        for broken in each.invariants
        if broken.broken_at is not None
    ]
    # hundreds of step sizes would fill the summary with the same sentence
    if len(alike) <= MOST_ALIKE:
        yield from alike
    else:
        yield f"{alike[0]} The same holds at {len(alike) - 1} more step sizes."


def _notes(trajectory: Trajectory, problem: Problem, rtol: float) -> Iterable[str]:
    """Yield the notes on one flow: its tolerance, its end, its accuracy, its limit."""
    space = trajectory.space
    if trajectory.rtol < rtol:
        yield (
            f"{space}: rtol was reduced from {rtol:g} to {trajectory.rtol:g}, because the "
            f"estimated error exceeded {accuracy.ALLOWED_ERROR:.0%} of ‖W‖."
        )
    if trajectory.verdict not in (Verdict.REACHED_HORIZON, Verdict.STOPPED_AT_LOSS):
        yield f"{space}: at t = {trajectory.stopped_at:.6g}, {trajectory.verdict.value}."
    if accuracy.is_inaccurate(trajectory):
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
    adaptive = any(s.descent and ALGORITHMS[s.descent.algorithm].adaptive for s in scenarios)
    libraries = (*LIBRARIES, *(["optax"] if adaptive else []))
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}
