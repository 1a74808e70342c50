"""Random scenarios against an independent solver: true errors, and estimates of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowsim.experiment.plan.reading import from_toml
from flowsim.problem.problem import Problem
from flowsim.scenario.build.problem import build_problem, saved_times
from flowsim.solvers.solve import solve
from promises import draws, reference
from promises.part import Part, Record, Verdict, generator

TOGETHER = 5
"""Consecutive cases of one shape, for which programs are compiled once."""

ERROR_FACTOR = 10.0
"""Largest true error, in units of rtol times the scale of W."""

ESTIMATE_FACTOR = 3.0
"""Largest true error of most runs, in units of its estimate."""

LEAST_FRACTION = 0.99
"""Fraction of runs whose error is within `ESTIMATE_FACTOR` of the estimate."""

LARGEST_AMPLIFICATION = 10.0
"""Largest amplification of relative perturbations of the layers by a well-posed flow."""

PERTURBATION = 1e-6


def case(seed: int, k: int) -> Record:
    """Return the errors of one random well-posed scenario in every space, and their estimates."""
    shape = draws.shape(generator("scenarios", seed, 0, k // TOGETHER))
    rng = generator("scenarios", seed, 1, k)
    rejected = 0
    while True:
        drawn = draws.scenario(shape, rng)
        scenario = from_toml(drawn.text)
        problem, times = build_problem(scenario), saved_times(scenario)
        solution = _well_posed_solution(drawn, problem, times)
        if solution is not None:
            break
        rejected += 1
    errors = {
        space: _errors(problem, space, times, shape.rtol, solution[space])
        for space in scenario.flow.spaces
    }
    init = drawn.tables["init"]["kind"]
    about = {"kind": shape.kind, "widths": shape.widths, "init": init, "rejected": rejected}
    return {**about, "rtol": shape.rtol, "spaces": errors}


def _well_posed_solution(
    drawn: draws.Drawn, problem: Problem, times: np.ndarray
) -> dict[str, np.ndarray] | None:
    """Return W(t) by space from the independent solver, or None if the flow is not well posed."""
    data, kind = dict(drawn.data), drawn.tables["loss"]["kind"]
    if kind == "sensing":
        data["A"] = np.asarray(problem.loss.A)  # type: ignore[attr-defined]
    loss_gradient = reference.gradient(kind, data)
    layers, decay = [np.asarray(W) for W in problem.layers], problem.weight_decay
    rng = np.random.default_rng(0)
    moved = [W * (1 + PERTURBATION * rng.choice([-1, 1], W.shape)) for W in layers]
    try:
        of_layers = reference.layer_flow(times, layers, loss_gradient, decay)
        other = reference.layer_flow(times, moved, loss_gradient, decay, rtol=1e-10)
        if drawn.tables["init"]["kind"] in draws.BALANCED:
            closed = of_layers
        else:
            W, rank = reference.end_to_end(layers), min(problem.widths)
            substitute = reference.balanced_layers(W, problem.depth, rank)
            closed = reference.layer_flow(times, substitute, loss_gradient, decay)
    except reference.StiffError:
        return None
    amplification = _norms(other - of_layers).max() / (PERTURBATION * _norms(of_layers).max())
    if not amplification <= LARGEST_AMPLIFICATION:
        return None
    return {"layers": of_layers, "end_to_end": closed, "spectral": closed, "modes": closed}


def _errors(
    problem: Problem, space: str, times: np.ndarray, rtol: float, solution: np.ndarray
) -> dict[str, Any]:
    """Return the largest error over rtol × scale, over its estimate, and honest single times."""
    trajectory = solve(problem, space, times=times, rtol=rtol)
    errors = _norms(trajectory.end_to_end - solution)
    estimates, scale = trajectory.error_estimate, float(_norms(solution).max())
    # what the independent solution itself resolves
    resolved = 100 * reference.RTOL * scale
    within = errors <= ESTIMATE_FACTOR * estimates + resolved
    return {
        "outcome": trajectory.verdict.outcome,
        "error": float(errors.max() / (rtol * scale)),
        "estimate": float(estimates.max() / (rtol * scale)),
        "honest": bool(errors.max() <= ESTIMATE_FACTOR * estimates.max() + resolved),
        "times_honest": int(within.sum()),
        "times": int(within.size),
    }


def _norms(W: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(W, axis=(1, 2)))


def judge(records: Sequence[Record]) -> Verdict:
    """Return the largest error, and the fraction of runs and times with an honest estimate."""
    runs = [run for record in records for run in record["spaces"].values()]
    finished = all(run["outcome"] == "completed" for run in runs)
    largest = max(run["error"] for run in runs)
    honest = sum(run["honest"] for run in runs) / len(runs)
    times = sum(run["times_honest"] for run in runs) / sum(run["times"] for run in runs)
    line = (
        f"{len(runs)} runs, largest error {largest:.3g} rtol × scale, error ≤ "
        f"{ESTIMATE_FACTOR:g} × estimate in {honest:.2%} of runs and {times:.2%} of times"
    )
    kept = finished and largest <= ERROR_FACTOR and honest >= LEAST_FRACTION
    return Verdict(line if finished else f"{line}; some did not reach the final time", kept)


PART = Part(
    "The error of W is at most 10 rtol × scale, and at most 3 times its estimate in 99 % of runs.",
    1000,
    case,
    judge,
)
