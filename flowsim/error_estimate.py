"""An error estimate from the solution itself: two looser solutions of the same flow.

They take ten times the tolerance, land on every other time (so that they share no step with the
first even where the saved times limit the steps), one on the even and one on the odd times (so that
no time goes unseen), and start from layers changed by one rounding (so that a continuation which
rounding decides shows as an error). If the error is proportional to the tolerance, the difference
exceeds the first solution's error about tenfold.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from flowsim.dynamics import State
from flowsim.integration import follow
from flowsim.problem import Problem
from flowsim.task import Task, Wanted, unwatched
from flowsim.trajectory import Trajectory, Verdict

LOOSENING = 10.0
LARGEST_COMPARISON = 1 << 28
"""Bytes of end-to-end matrices that are compared, at most."""


def compared_times(count: int, problem: Problem) -> np.ndarray:
    """Mark every saved time, or fewer where the matrices would be too many to hold."""
    most = max(2, LARGEST_COMPARISON // (8 * problem.start.size))
    stride = -(-count // most)
    marked = np.zeros(count, dtype=bool)
    marked[::stride] = True
    marked[-1] = True
    return marked


def with_error_estimate(main: Trajectory, task: Task) -> Trajectory:
    """Return the trajectory of a task with the estimated Frobenius error of W at its times."""
    if main.times.size == 1:
        return main.with_error_estimate(np.zeros(1), 0.0)  # the start is exact
    if main.verdict is Verdict.INTERRUPTED:
        return main
    started = time.perf_counter()
    marked = compared_times(main.times.size, task.problem)
    chosen = np.intersect1d(np.flatnonzero(marked), main.kept)
    gaps, known = np.zeros(chosen.size), chosen.size
    for half in _halves(chosen.size):
        check = follow(_loosened(task, main.times[chosen[half]]))
        reached = half[: check.times.size]
        W = main.end_to_end[np.searchsorted(main.kept, chosen[reached])]
        gaps[reached] = np.maximum(gaps[reached], np.linalg.norm(W - check.end_to_end, axis=(1, 2)))
        known = min(known, int(reached[-1]) + 1)
    estimate = np.full(main.times.size, np.nan)
    estimate[: chosen[known - 1] + 1] = _spread(chosen[:known], gaps[:known])
    return main.with_error_estimate(estimate, time.perf_counter() - started)


def _halves(count: int) -> list[np.ndarray]:
    """Return the even and the odd of `count` indices, each with the first and the last."""
    ends = np.array([0, count - 1])
    odd = np.union1d(np.arange(1, count, 2), ends)
    return [np.union1d(np.arange(0, count, 2), ends), *([odd] if count > 2 else [])]


def _loosened(task: Task, times: np.ndarray) -> Task:
    """Return the task of the second solution."""
    return replace(
        task,
        tolerances=task.tolerances.loosened(LOOSENING),
        # a level that no loss reaches: what is compiled serves all three solutions
        stop_at_loss=None if task.stop_at_loss is None else -np.inf,
        wanted=Wanted(times, np.zeros(0), np.ones(times.size, dtype=bool), measures=False),
        start=_rounded(task.start),
        watch=unwatched,
    )


def _rounded(state: State) -> State:
    """Return the state with every entry changed by a random relative rounding."""
    rng = np.random.default_rng(0)
    epsilon = float(np.finfo(np.float64).eps)
    return tuple(y * (1 + epsilon * rng.choice([-1.0, 1.0], y.shape)) for y in state)


def _spread(indices: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return the estimate at every index up to the last: between two, the larger neighbour's."""
    every = np.arange(indices[-1] + 1)
    right = np.searchsorted(indices, every)
    left = np.searchsorted(indices, every, side="right") - 1
    return np.asarray(np.maximum(gaps[left], gaps[right]))
