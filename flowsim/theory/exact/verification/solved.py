"""Checks of every formulation and method against the exact solutions of the cases."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby

import numpy as np

from flowsim.dynamics.registry import FLOWS
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory, Verdict
from flowsim.theory.exact.verification.cases import Case
from flowsim.theory.exact.verification.check import Check

RTOL = 1e-9
MOST_STEPS = 200_000


def flows(known: Sequence[Case], spaces: Sequence[str], methods: Sequence[str]) -> Iterator[Check]:
    """Yield the checks of all cases in all spaces by all methods, in order, as they are done.

    Cases of one shape share a compiled program and are solved one after the other; different
    programs run in parallel. A formulation that applies to no case fails.
    """
    solved = dict.fromkeys(spaces, 0)
    jobs = []
    for space in spaces:
        for _, shape in groupby(known, key=lambda case: case.problem.widths):
            reasons = {case: _rejection(case, space) for case in shape}
            yield from (
                Check(case.name, space, note=reason, refused=True)
                for case, reason in reasons.items()
                if reason
            )
            applicable = [case for case, reason in reasons.items() if not reason]
            solved[space] += len(applicable)
            jobs += [partial(_solved, applicable, space, method) for method in methods]
    yield from (Check("any", s, note="refused in every case") for s in spaces if not solved[s])
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for results in pool.map(lambda job: job(), jobs):
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _rejection(case: Case, space: str) -> str:
    """Return the reason why a formulation does not yield the layer flow of a case, or ""."""
    if space != "layers" and not case.balanced:
        return "the start is not balanced; only the layers follow the exact solution"
    try:
        FLOWS[space].build(case.problem)
    except ValueError as error:
        return str(error)
    return ""


def _solved(alike: Sequence[Case], space: str, method: str) -> list[Check]:
    """Return the checks of cases of one shape."""
    return [_checked(case, space, method) for case in alike]


def _checked(case: Case, space: str, method: str) -> Check:
    try:
        trajectory = solve(
            case.problem,
            space,
            times=case.times,
            method=method,
            rtol=RTOL,
            max_steps=MOST_STEPS,
            estimate_error=False,
        )
    except ValueError as error:
        return Check(case.name, space, method, note=str(error), refused=True)
    except Exception as error:  # whatever fails in a broken installation is reported as a check
        return Check(case.name, space, method, note=f"{type(error).__name__}: {error}")
    return _compared(case, space, method, trajectory)


def _compared(case: Case, space: str, method: str, trajectory: Trajectory) -> Check:
    costs = trajectory.statistics
    steps, seconds = costs.accepted + costs.rejected, costs.integration + costs.compile
    if trajectory.verdict is not Verdict.REACHED_HORIZON:
        note = f"{trajectory.verdict.name.lower()} at t = {trajectory.stopped_at:g}"
        return Check(case.name, space, method, steps=steps, seconds=seconds, note=note)
    W = trajectory.end_to_end
    error = max(np.linalg.norm(W - exact, axis=(1, 2)).max() for exact in case.exact)
    tolerance = max(1, steps) * RTOL * case.magnification
    return Check(case.name, space, method, float(error), tolerance, steps, seconds)
