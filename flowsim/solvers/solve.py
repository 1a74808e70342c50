"""Solving a problem: from a problem and a few choices to a trajectory that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowsim.dynamics.registry import FLOWS
from flowsim.problem.problem import Problem
from flowsim.solvers import methods
from flowsim.solvers.accuracy import tightened
from flowsim.solvers.error_estimate import compared_times, with_error_estimate
from flowsim.solvers.integrate import follow
from flowsim.solvers.methods import AUTO, Tolerances
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.options import Task, Wanted, window_size
from flowsim.solvers.trajectory import Trajectory

DEFAULT_SAMPLES = 200


def solve(
    problem: Problem,
    space: str = "layers",
    *,
    times: Sequence[float] | np.ndarray | None = None,
    method: str = AUTO,
    rtol: float = 1e-8,
    atol: float | None = None,
    max_steps: int = 10_000_000,
    stop_at_loss: float | None = None,
    between: Sequence[float] | np.ndarray = (),
    keep: np.ndarray | None = None,
    keep_layers: bool = False,
    estimate_error: bool = True,
    monitor: Monitor = SILENT,
) -> Trajectory:
    """Follow the flow of a problem and say how far to trust the numbers.

    Parameters
    ----------
    problem
        What to simulate.
    space
        `"layers"`: Ẇ_j = -∂φ/∂W_j; `"end_to_end"`: Ẇ = -P_W[∇ℓ(W)], equal to it when balanced, as
        are `"spectral"`, where it keeps the sign and size of every singular value, and `"modes"`,
        where its singular vectors do not turn.
    times
        Saved times, increasing from 0; default: 200 equally spaced ones up to the horizon.
    method, rtol, atol, max_steps
        How to integrate: a name from `flowsim.solvers.methods.METHODS` or "auto"; the error allowed
        per step is rtol·|y| + atol, atol by default rtol times the scale of each starting matrix.
    stop_at_loss
        End where the loss reaches this; that time becomes the last saved one.
    between
        Further times at which W alone is wanted.
    keep
        Booleans over `times`: at which W is kept (default: all). The last one always is.
    keep_layers
        Whether to keep W_1, …, W_N at the saved times.
    estimate_error
        Solve once more at ten times the tolerance, in other ways too
        (`flowsim.solvers.error_estimate`): the difference estimates the error from above. Where it
        exceeds 1 % of ‖W‖, "auto" solves again at a tighter `rtol` (at most twice, `max_steps` for
        all), which the trajectory then bears.
    monitor
        Where progress is reported and stop requests come from.

    Returns
    -------
    Trajectory
        With a verdict; a failure is a verdict with the partial solution, not an exception.

    Raises
    ------
    ValueError
        If an argument is out of its range, with what was wanted.

    """
    tolerances = Tolerances(rtol, atol)
    chosen = methods.first_choice(method, rtol)
    saved = _checked_times(problem, times)
    if space not in FLOWS:
        raise ValueError(f"space must be one of {', '.join(FLOWS)}, but is {space!r}.")
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, but is {max_steps}.")
    kept = np.ones(saved.size, dtype=bool) if keep is None else np.array(keep, dtype=bool)
    kept[-1] = True
    held = kept | compared_times(saved.size, problem) if estimate_error else kept
    flow = FLOWS[space].build(problem)
    start = flow.initial_state(problem)
    wanted = Wanted(saved, np.asarray(between, dtype=float), held, layers=keep_layers)
    task = Task(
        problem=problem,
        flow=flow,
        method=chosen,
        adaptive_method=method == AUTO,
        tolerances=tolerances,
        max_steps=max_steps,
        stop_at_loss=stop_at_loss,
        wanted=wanted,
        start=start,
        window_size=window_size(start, wanted.times.size),
        monitor=monitor,
    )
    trajectory = follow(task)
    if estimate_error:
        trajectory = with_error_estimate(trajectory, task)
        if method == AUTO:
            trajectory = tightened(trajectory, task)
    return trajectory.thinned(kept)


def _checked_times(problem: Problem, times: Sequence[float] | np.ndarray | None) -> np.ndarray:
    if times is None:
        return np.linspace(0.0, problem.horizon, DEFAULT_SAMPLES)
    saved = np.asarray(times, dtype=float)
    if saved.ndim != 1 or saved.size < 1 or not np.isfinite(saved).all():
        raise ValueError("times must be a non-empty list of finite numbers.")
    if saved[0] != 0 or (np.diff(saved) <= 0).any():
        raise ValueError("times must increase strictly from 0, the time of the start.")
    return saved
