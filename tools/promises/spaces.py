"""Balanced initializations: the end-to-end flow against the flow of the layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.solvers.solve import solve
from promises.part import Part, Record, Verdict, generator

RTOL, LARGEST_DISTANCE = 1e-10, 1e-9
DEEPEST = 20
TOGETHER = 5
"""Consecutive cases of the same widths, for which programs are compiled once."""


def case(seed: int, k: int) -> Record:
    """Return the largest distance of the two flows for a random balanced initialization."""
    block = generator("spaces", seed, 0, k // TOGETHER)
    depth = 1 + (k // TOGETHER) % DEEPEST
    widths = [int(d) for d in block.integers(1, 7, depth + 1)]
    rng = generator("spaces", seed, 1, k)
    layers = initialization.balanced(widths, rng.uniform(0.3, 1.0), rng)
    Phi = rng.standard_normal((widths[-1], widths[0]))
    # σ_1 = 1, so that errors are relative and absolute at once; 2/N, as the speed grows with N
    Phi /= np.linalg.norm(Phi, 2)
    problem = Problem(losses.Squared(Phi), layers, 4.0 / depth)
    times = np.linspace(0.0, problem.horizon, 9)
    one, other = (
        solve(problem, space, times=times, rtol=RTOL, estimate_error=False)
        for space in ("layers", "end_to_end")
    )
    distance = np.linalg.norm(one.end_to_end - other.end_to_end, axis=(1, 2))
    outcomes = {one.verdict.outcome, other.verdict.outcome}
    return {"widths": widths, "distance": float(distance.max()), "outcomes": sorted(outcomes)}


def judge(records: Sequence[Record]) -> Verdict:
    """Return the largest distance."""
    largest = max(record["distance"] for record in records)
    finished = all(record["outcomes"] == ["completed"] for record in records)
    deepest = max(len(record["widths"]) - 1 for record in records)
    return Verdict(
        f"depths up to {deepest}, largest distance {largest:.2e} at rtol {RTOL:g}",
        finished and largest <= LARGEST_DISTANCE,
    )


PART = Part(
    "From balanced layers the end-to-end flow is within 1e-9 of the layer flow at rtol 1e-10.",
    500,
    case,
    judge,
)
