"""The summary of a run: outcomes, numbers worth reading first, and what a reader should know."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim import network
from flowsim.descending import DescentTrajectory
from flowsim.problem import Problem
from flowsim.results import Run
from flowsim.trajectory import Trajectory, Verdict

if TYPE_CHECKING:
    from flowsim.scenario import Scenario

UNTRUSTED = 0.01
"""An estimated error above this share of ‖W‖ is said aloud."""

DONE, CLAIM_FAILED, NOT_FINISHED = 0, 1, 3
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
    return {
        "scenario": scenario.title,
        "outcome": outcome,
        "verdict": {space: _verdict(t) for space, t in flows.items()},
        "final_loss": final_loss,
        "error_estimate": {space: t.largest_error for space, t in flows.items()},
        "method": {space: t.method for space, t in flows.items()},
        "steps": {
            space: {"accepted": t.statistics.accepted, "rejected": t.statistics.rejected}
            for space, t in flows.items()
        },
        "notes": [note for t in flows.values() for note in _notes(t, problem)],
        "seconds": _seconds(flows, descent),
        "versions": _versions(),
    }


def over_variants(scenario: Scenario, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Return the summary above the variants: each entry holds every variant's own."""
    collected = {
        key: {name: run.summary[key] for name, run in runs.items()}
        for key in ("outcome", "verdict", "final_loss", "error_estimate", "method", "steps")
    }
    for name in scenario.expanded().keys() - runs.keys():
        collected["outcome"][name] = "interrupted"
    return {
        "scenario": scenario.title,
        **collected,
        "notes": [f"{name}: {note}" for name, run in runs.items() for note in run.summary["notes"]],
        "seconds": {name: run.summary["seconds"] for name, run in runs.items()},
        "versions": _versions(),
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


def _verdict(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "name": trajectory.verdict.name.lower(),
        "time": trajectory.stopped_at,
        "advice": trajectory.verdict.value,
    }


def _notes(trajectory: Trajectory, problem: Problem) -> list[str]:
    notes = []
    if trajectory.verdict not in (Verdict.REACHED_HORIZON, Verdict.STOPPED_AT_LOSS):
        notes.append(
            f"{trajectory.space}: at t = {trajectory.stopped_at:.6g}, {trajectory.verdict.value}."
        )
    size = float(np.linalg.norm(trajectory.end_to_end, axis=(1, 2)).max())
    if trajectory.largest_error > UNTRUSTED * size:
        first = trajectory.times[np.argmax(trajectory.error_estimate > UNTRUSTED * size)]
        notes.append(
            f"{trajectory.space}: from t = {first:.4g} the estimated error "
            f"({trajectory.largest_error:.2g}) is more than {UNTRUSTED:.0%} of ‖W‖ ({size:.2g}); "
            f"take flow.rtol = {_suggested_rtol(trajectory, size):.0e}. If that does not help, "
            "the flow passes a saddle so closely that rounding decides how it goes on."
        )
    lost = _sign_lost_at(trajectory, problem)
    if lost is not None:
        notes.append(
            f"{trajectory.space}: from t = {lost:.4g} det W has another sign than at the start, "
            "which the exact flow never changes: its smallest singular value fell below what the "
            "numbers can hold, and what depends on that sign is not to be trusted after it."
        )
    if problem.loss.separates(trajectory.end_to_end[-1]):
        notes.append(
            f"{trajectory.space}: every sample is classified correctly, so the loss has no finite "
            "minimizer: it falls towards 0 while ‖W‖ grows for ever, and only the direction of W "
            "settles."
        )
    return notes


def _sign_lost_at(trajectory: Trajectory, problem: Problem) -> float | None:
    """Return when det W changes its sign, an invariant from a balanced start at N ≥ 2, or None.

    A start of lower rank has determinant 0, whose sign says nothing.
    """
    rows, columns = problem.start.shape
    if rows != columns or problem.depth < 2 or not network.is_balanced(problem.layers):
        return None
    if network.rank_bound(problem.layers) < rows:
        return None
    sign = np.linalg.slogdet(trajectory.end_to_end).sign
    changed = np.flatnonzero(sign * sign[0] < 0)
    return float(trajectory.times[trajectory.kept[changed[0]]]) if changed.size else None


def _suggested_rtol(trajectory: Trajectory, size: float) -> float:
    """Return a power of ten: the error falls in proportion to the tolerance."""
    wanted = trajectory.rtol * UNTRUSTED * size / trajectory.largest_error
    return float(max(10.0 ** np.floor(np.log10(wanted)), 1e-13))


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


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
