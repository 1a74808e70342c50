"""The summary of a run: outcomes, numbers worth reading first, and what a reader should know."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
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
    from flowsim.scenario import Scenario

DONE, CLAIM_FAILED, NOT_FINISHED = 0, 1, 3
OVER_VARIANTS = (
    "outcome", "verdict", "final_loss", "error_estimate", "method", "steps", "invariants",
)  # fmt: skip
MOST_ALIKE = 4
"""Of more step sizes that break one invariant, one is told of."""

LIBRARIES = ("flowsim", "jax", "jaxlib", "diffrax", "numpy", "scipy")


def of(
    scenario: Scenario,
    problem: Problem,
    flows: Mapping[str, Trajectory],
    descent: DescentTrajectory | None,
) -> dict[str, Any]:
    """Return the summary of a plain run, all but its claims and total time."""
    outcome: dict[str, Any] = dict.fromkeys(scenario.flow.spaces, "interrupted")
    outcome |= {space: t.verdict.outcome for space, t in flows.items()}
    final_loss: dict[str, Any] = {space: float(t.loss[-1]) for space, t in flows.items()}
    if descent is not None:
        labels = [repr(float(eta)) for eta in descent.step_sizes]
        outcome["descent"] = dict(zip(labels, descent.outcome, strict=True))
        last = [float(losses[~np.isnan(losses)][-1]) for losses in descent.loss]
        final_loss["descent"] = dict(zip(labels, last, strict=True))
    watched = _watched(problem, flows, descent)
    return {
        "scenario": scenario.title,
        "outcome": outcome,
        "verdict": {space: _verdict(t) for space, t in flows.items()},
        "final_loss": final_loss,
        "error_estimate": {space: t.largest_error for space, t in flows.items()},
        "method": {space: t.method for space, t in flows.items()},
        "method_choices": {space: _choices(t) for space, t in flows.items()},
        "steps": {
            space: {"accepted": t.statistics.accepted, "rejected": t.statistics.rejected}
            for space, t in flows.items()
        },
        "invariants": _tree(watched),
        "notes": [
            *(note for t in flows.values() for note in _notes(t, problem, scenario.flow.rtol)),
            *_broken(watched),
        ],
        "seconds": _seconds(flows, descent),
        "versions": _versions([scenario]),
    }


def over_variants(scenario: Scenario, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Return the summary above the variants: each entry holds every variant's own."""
    collected = {
        key: {name: run.summary[key] for name, run in runs.items()} for key in OVER_VARIANTS
    }
    for name in variants(scenario).keys() - runs.keys():
        collected["outcome"][name] = "interrupted"
    return {
        "scenario": scenario.title,
        **collected,
        "notes": [f"{name}: {note}" for name, run in runs.items() for note in run.summary["notes"]],
        "seconds": {name: run.summary["seconds"] for name, run in runs.items()},
        "versions": _versions([run.scenario for run in runs.values()]),
    }


def exit_code(summary: Mapping[str, Any]) -> int:
    """Return 3 if a flow could not be finished, else 1 if a claim fails, else 0."""
    outcomes = list(_leaves(summary["outcome"]))
    if any(outcome in ("failed", "interrupted") for outcome in outcomes):
        return NOT_FINISHED
    return DONE if all(claim["holds"] for claim in summary["claims"]) else CLAIM_FAILED


def _leaves(tree: Mapping[str, Any] | str) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    return [leaf for branch in tree.values() for leaf in _leaves(branch)]


def _watched(
    problem: Problem, flows: Mapping[str, Trajectory], descent: DescentTrajectory | None
) -> dict[str, list[Invariant]]:
    """Return the invariants that were watched, by space or by step size of descent."""
    watched = {space: invariants.of_flow(t, problem) for space, t in flows.items()}
    if descent is not None:
        for eta, each in zip(
            descent.step_sizes, invariants.of_descent(descent, problem), strict=True
        ):
            watched[f"descent, step {float(eta)!r}"] = each
    return watched


def _tree(watched: Mapping[str, list[Invariant]]) -> dict[str, Any]:
    return {who: {each.name: each.record() for each in kept} for who, kept in watched.items()}


BROKEN = {
    "det_sign": (
        "det W, as computed, has another sign than at the start, which the exact flow never "
        "changes: the smallest singular value fell below the rounding of W's entries, and what "
        "depends on it is not to be trusted after that. The spectral space keeps it."
    ),
    "det_sign of descent": (
        "det W, as computed, has another sign than at the start, which the exact flow never "
        "changes: a step was too large to stay on one side of 0, or the smallest singular value "
        "fell below rounding."
    ),
    "loss": (
        "the loss rises by more than its estimated error, which the exact flow never does; "
        "take a smaller flow.rtol."
    ),
    "imbalance": (
        "the imbalance of the layers changes by more than the error estimate explains, which the "
        "exact flow keeps; take a smaller flow.rtol."
    ),
}


def _broken(watched: Mapping[str, list[Invariant]]) -> list[str]:
    """Return a note on each broken invariant; where many step sizes break one, on the first."""
    notes: dict[str, list[str]] = {}
    for who, kept in watched.items():
        for each in kept:
            if each.broken_at is not None:
                place = each.name if who.startswith("descent") else f"{each.name} of {who}"
                notes.setdefault(place, []).append(f"{who}: {_told(each, who)}")
    told = []
    for alike in notes.values():
        few = len(alike) <= MOST_ALIKE
        told += alike if few else [f"{alike[0]} So it is at {len(alike) - 1} more step sizes."]
    return told


def _told(broken: Invariant, who: str) -> str:
    name = f"{broken.name} of descent" if who.startswith("descent") else broken.name
    return f"from t = {broken.broken_at:.4g} {BROKEN[name]}"


def _choices(trajectory: Trajectory) -> list[dict[str, Any]]:
    return [
        {"method": choice.method.name, "from": choice.since, "why": choice.why}
        for choice in trajectory.choices
    ]


def _verdict(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "name": trajectory.verdict.name.lower(),
        "time": trajectory.stopped_at,
        "advice": trajectory.verdict.value,
    }


def _notes(trajectory: Trajectory, problem: Problem, rtol: float) -> list[str]:
    notes = []
    if trajectory.rtol < rtol:
        notes.append(
            f"{trajectory.space}: rtol was tightened from {rtol:g} to {trajectory.rtol:g}, since "
            f"the estimated error had been more than {accuracy.WANTED:.0%} of ‖W‖."
        )
    if trajectory.verdict not in (Verdict.REACHED_HORIZON, Verdict.STOPPED_AT_LOSS):
        notes.append(
            f"{trajectory.space}: at t = {trajectory.stopped_at:.6g}, {trajectory.verdict.value}."
        )
    if accuracy.missed(trajectory):
        notes.append(_inaccurate(trajectory, problem))
    if problem.loss.separates(trajectory.end_to_end_series[-1]):
        notes.append(
            f"{trajectory.space}: every sample is classified correctly, so the loss has no finite "
            "minimizer: it falls towards 0 while ‖W‖ grows for ever, and only the direction of W "
            "settles."
        )
    return notes


def _inaccurate(trajectory: Trajectory, problem: Problem) -> str:
    """Say from when on the wanted accuracy is missed, and what would reach it."""
    size, remedy = accuracy.size(trajectory), accuracy.remedy(trajectory, problem)
    first = trajectory.times[np.argmax(trajectory.error_estimate > accuracy.WANTED * size)]
    said = (
        f"{trajectory.space}: from t = {first:.4g} the estimated error "
        f"({trajectory.largest_error:.2g}) is more than {accuracy.WANTED:.0%} of ‖W‖ ({size:.2g}); "
    )
    if remedy.space != trajectory.space:
        return said + (
            "small singular values of W may be lost in the rounding of its entries, where no rtol "
            f'brings them back: go by flow.spaces = ["{remedy.space}"], the same flow, which has '
            f"them, with flow.rtol = {remedy.rtol:.0e}."
        )
    return said + (
        f"take flow.rtol = {remedy.rtol:.0e}. If that does not help, the flow passes a saddle so "
        "closely that rounding decides how it goes on."
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
    """Return the versions of the libraries that had a part in it."""
    adaptive = any(s.descent and ALGORITHMS[s.descent.algorithm].adaptive for s in scenarios)
    libraries = (*LIBRARIES, *(["optax"] if adaptive else []))
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}
