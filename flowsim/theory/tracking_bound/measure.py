"""Distance of gradient descent from the layer flow over time, and a bound on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flowsim.dynamics.accumulators import Accumulated
from flowsim.problem.types import Layers
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import iterations
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.setting import Arrays, Setting, replay
from flowsim.theory.sharpness.measure import extremes_or_nan
from flowsim.theory.tracking_bound.formulas import (
    amplification,
    bound,
    derivatives,
    norm,
    shortly_after,
)

HALF, EPS = 0.5, float(np.finfo(float).eps)
SAME_TIME = 1e-13
"""Relative difference below which two times are equal."""


def measure(setting: Setting) -> Arrays:
    """Return local error density and λ_min along the flow, and distance and bound by step size.

    Values are nan where the flow was not reached, where descent has diverged, and after an
    interrupt.
    """
    flow = setting.layer_flow
    first = replace(setting, monitor=setting.monitor.part(0.0, HALF))
    over_time = first.at_saved_times(flow, lambda i: _at_time(setting, i))
    density, lowest = over_time["density"], over_time["smallest"] - over_time["error"]
    assert setting.scenario.descent is not None
    sizes = np.asarray(setting.scenario.descent.sizes)
    saved = saved_times(setting.scenario)
    count = iterations(saved, sizes.tolist())
    times = count * sizes[:, None]
    distance, distance_error = _distances(setting, flow, sizes, count)
    limit = bound(flow.times, density, lowest, times)
    reached = np.arange(saved.size) < flow.times.size
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = np.where(reached, sizes[:, None] * limit.above, np.nan)
        width = np.where(reached, sizes[:, None] * (limit.above - limit.below), np.nan)
        ratio = np.where(distance > distance_error, upper / distance, np.nan)
    return {
        **over_time,
        "amplification": amplification(flow.times, lowest),
        "step_size": sizes,
        "iterate_time": times,
        "distance": distance,
        "distance_error": distance_error,
        "bound": upper,
        "bound_error": width,
        "ratio": ratio,
    }


def _at_time(setting: Setting, i: int) -> dict[str, float]:
    """Return ½‖∇²φ∇φ‖, λ_min and its error at one saved time."""
    problem, layers = setting.problem, setting.layers(i)
    moving = derivatives(problem.loss, layers, problem.weight_decay)
    ends = extremes_or_nan(problem, layers)
    return {"density": 0.5 * norm(moving.second), "smallest": ends.smallest, "error": ends.error}


def _distances(
    setting: Setting, flow: Trajectory, sizes: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ‖θ_k - θ(kη)‖ and its error, by step size and recorded iterate.

    Where kη differs from the saved time, a Taylor polynomial takes the flow to kη. The error is the
    sum of its remainder, the error of the flow, and rounding. The relative error of the flow is
    assumed to be the same in the layers as in W.
    """
    problem = setting.problem
    distance, error = np.full((2, *count.shape), np.nan)
    sigma = np.linalg.norm(flow.singular_values, axis=1)
    relative = flow.error_estimate / np.where(sigma > 0, sigma, np.nan)

    def visit(k: int, sample: int, layers: Layers, sums: Accumulated) -> None:  # noqa: ARG001
        if sample >= flow.times.size:
            return
        there, remainder = setting.layers(sample), 0.0
        own = float(relative[sample] + EPS) * norm(there)
        delay = float(count[k, sample] * sizes[k] - flow.times[sample])
        if abs(delay) > SAME_TIME * flow.times[sample]:
            moving = derivatives(problem.loss, there, problem.weight_decay)
            moved, remainder = shortly_after(there, moving, delay)
            there = tuple(moved)
        apart = [np.asarray(W) - V for W, V in zip(layers, there, strict=True)]
        distance[k, sample], error[k, sample] = norm(apart), remainder + own

    replay(
        problem,
        sizes.tolist(),
        count,
        visit,
        monitor=setting.monitor.part(HALF, 1.0),
    )
    return distance, error
