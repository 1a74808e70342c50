"""Error estimates by a second solve of the same flow at ten times the tolerance.

If the error is proportional to the tolerance, the two solutions differ by about ten times the error
of the first one. The solves differ in three more respects, so that their errors are independent:

- The second solve uses other coordinates where the flow has some (`Flow.second_solve`).
- Its initialization is perturbed by one rounding. Where rounding decides the continuation, as at
  the exit from a saddle, the estimate therefore becomes large.
- Its steps end on every other saved time, or on the midpoint between two that the first solve steps
  to. The two solves thus share no step, even where the saved times limit the steps.

The difference also vanishes where the error changes its sign, at which the error of the first solve
alone does not. Such dips are filled (`_without_dips`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np

from flowsim.dynamics.flow import State
from flowsim.problem.losses import Loss, values
from flowsim.problem.problem import Problem
from flowsim.solvers.integrate import integrate
from flowsim.solvers.methods.method import Method
from flowsim.solvers.options import SaveAt, Task, window_size
from flowsim.solvers.storage import Series, in_batches
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.verdict import Verdict

LOOSENING = 10.0
"""Tolerance of the second solve over that of the first.

A larger factor would overestimate more; with a smaller one, errors that both solutions share would
cancel. The largest error was at most 3 times its estimate in all of 200 random runs, and the error
at single times at 99 % of them (`benchmarks/error_estimates.py`)."""

EPSILON = float(np.finfo(np.float64).eps)

LARGEST_COMPARISON = 1 << 28
"""Largest number of bytes of end-to-end matrices that are compared."""


def compared_times(count: int, problem: Problem) -> np.ndarray:
    """Return a mask over the saved times: those compared, evenly thinned out where W is large."""
    most = max(2, LARGEST_COMPARISON // (8 * problem.initial.size))
    stride = -(-count // most)
    marked = np.zeros(count, dtype=bool)
    marked[::stride] = True
    marked[-1] = True
    return marked


def with_error_estimate(main: Trajectory, task: Task) -> Trajectory:
    """Return the trajectory of a task with the estimated errors of W and ℓ(W) at its times.

    Estimates are nan after the time at which the second solve ended, if that was before the first
    one. A stop request makes the verdict `INTERRUPTED`; after one in the first solve nothing is
    estimated.
    """
    if main.times.size == 1:
        return main.with_error_estimate(np.zeros(1), np.zeros(1), 0.0)  # W(0) is exact
    if main.stopped is Verdict.INTERRUPTED:
        return main
    started = time.perf_counter()
    marked = compared_times(main.times.size, task.problem)
    chosen = np.intersect1d(np.flatnonzero(marked), main.kept)
    W = main.end_to_end_series.take(np.searchsorted(main.kept, chosen))
    rounding, known = _rounding(W, main.statistics.accepted), chosen.size
    distances = np.stack([rounding, np.zeros(chosen.size)], axis=1)

    # the difference cannot resolve an error below the rounding that accumulates over the steps
    differences = partial(_differences, task.problem.loss)
    compared, losses = main.times[chosen], main.loss[chosen]
    for seen, landings in _divided(chosen.size, task.method):
        check = integrate(_second_task(task, compared, seen, landings))
        times, other, other_losses = _matrices(check)
        reached = seen[: times.size]
        apart = in_batches(differences, W.take(reached), other)
        if task.problem.loss.on_layers:  # no function of W
            apart[:, 1] = np.abs(losses[reached] - other_losses)
        distances[reached] = np.maximum(distances[reached], apart)
        known = min(known, int(reached[-1]) + 1)
        if check.stopped is Verdict.INTERRUPTED:
            main = replace(main, stopped=Verdict.INTERRUPTED)
            break
    distances[:known] = _without_dips(distances[:known])
    estimate, loss_error = np.full((2, main.times.size), np.nan)
    estimate[: chosen[known - 1] + 1] = _spread(chosen[:known], distances[:known, 0])
    loss_error[: chosen[known - 1] + 1] = _spread(chosen[:known], distances[:known, 1])
    estimate = np.maximum(estimate, main.proven_error)
    if main.decided_by_rounding_from is not None:
        unknown = main.times >= main.decided_by_rounding_from
        estimate[unknown] = loss_error[unknown] = np.inf
    return main.with_error_estimate(estimate, loss_error, time.perf_counter() - started)


def _divided(count: int, method: Method) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, per second solve, the indices of the times it yields, and of those that end steps.

    With accurate dense output one solve steps on the even times and yields all. Without it, one
    yields the even and another the odd times. The first and the last are always among them.
    """
    every, ends = np.arange(count), np.array([0, count - 1])
    even, odd = np.union1d(every[::2], ends), np.union1d(every[1::2], ends)
    if method.interpolates:
        return [(every, even)]
    return [(even, even), *([(odd, odd)] if count > 2 else [])]


def _second_task(task: Task, times: np.ndarray, seen: np.ndarray, landings: np.ndarray) -> Task:
    """Return the task of a second solve that yields W at `times[seen]`.

    Its steps end on `times[landings]`, and halve each interval that is one of the first solve too.
    """
    flow, start = task.flow.second_solve(task.problem)
    shared = landings[:-1][np.diff(landings) == 1]
    halves = (times[shared] + times[shared + 1]) / 2
    ends = np.union1d(times[landings], halves)
    keep = np.isin(ends, times[landings])
    return replace(
        task,
        flow=flow,
        tolerances=task.tolerances.loosened(LOOSENING),
        # unarmed criteria, rather than none, reuse the program compiled before
        armed=False,
        save=SaveAt(ends, np.setdiff1d(times[seen], ends), keep, measures=False),
        start=_perturbed(start),
        window_size=window_size(start, task.save.times.size),
        monitor=task.monitor.named("error estimate"),
    )


def _perturbed(state: State) -> State:
    """Return the state with every entry changed by a random relative rounding."""
    rng = np.random.default_rng(0)
    return tuple(y * (1 + EPSILON * rng.choice([-1.0, 1.0], y.shape)) for y in state)


def _rounding(W: Series, steps: int) -> np.ndarray:
    """Return the error of each W from one random rounding per step, ε √steps ‖W‖_F."""
    return in_batches(lambda W: EPSILON * np.sqrt(steps) * np.linalg.norm(W, axis=(1, 2)), W)


def _differences(loss: Loss, W: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return ‖W - W'‖_F and |ℓ(W) - ℓ(W')|, ℓ the part of W, of matrices along the leading axis."""
    of_loss = np.abs(np.subtract(*(np.asarray(values(loss.of_matrix, M)) for M in (W, other))))
    return np.stack([np.linalg.norm(W - other, axis=(1, 2)), of_loss], axis=1)


def _matrices(check: Trajectory) -> tuple[np.ndarray, Series, np.ndarray]:
    """Return all saved times of a solution in order, its W and its loss there."""
    landed, passed = check.times[check.kept], check.between[0]
    order = np.argsort(np.concatenate([landed, passed]))
    rows = np.concatenate([check.end_to_end_series.rows, check.between[1].rows])[order]
    losses = np.concatenate([check.loss[check.kept], check.between_loss])[order]
    times = np.concatenate([landed, passed])[order]
    return times, Series(check.end_to_end_series.store, rows), losses


def _without_dips(distances: np.ndarray) -> np.ndarray:
    """Return the distances, raised where they are smaller than before and after.

    Up to two times in a row take the smaller of the values around them; the last time takes at
    least the value before it. A maximum over neighbours would do more than fill dips: it would
    carry the error after the exit from a plateau back into the plateau, where it is far smaller.
    """
    from scipy.ndimage import grey_closing

    # errors start at 0: without the zeros the first times would take the values after them
    padded = np.pad(distances, ((2, 0), (0, 0)))
    return np.asarray(grey_closing(padded, size=(3, 1), mode="nearest")[2:])


def _spread(indices: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the values at every index up to the last; between two, the larger neighbour's."""
    every = np.arange(indices[-1] + 1)
    right = np.searchsorted(indices, every)
    left = np.searchsorted(indices, every, side="right") - 1
    return np.asarray(np.maximum(known[left], known[right]))
