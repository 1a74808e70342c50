"""Where along the trajectory descent comes away from the layer flow, and how far it can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flowsim.dynamics.accumulators import Sums
from flowsim.problem.types import Layers
from flowsim.results.run import Group, named
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import iterations
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.iterates import revisit
from flowsim.theory.registry import MEASURES
from flowsim.theory.setting import Setting, along
from flowsim.theory.sharpness.measure import settled
from flowsim.theory.tracking_bound.formulas import (
    amplification,
    bound,
    derivatives,
    norm,
    shortly_after,
)

OVER_TIME = {
    "density": "½‖∇²φ∇φ‖: the local error of descent in a unit of time, over η",
    "smallest": "smallest eigenvalue λ_min of the Hessian over the layers",
    "error": "bound on the error of λ_min",
}
OF_STEPS = {
    "iterate_time": "time t = kη",
    "distance": "‖θ_k − θ(kη)‖ of descent from the layer flow, over all layers",
    "distance_error": "estimated error of the distance",
    "bound": "η ∫ ½‖∇²φ∇φ‖ exp(∫ max(0, −λ_min)) ds: bound on the distance to first order in η",
    "bound_error": "how far below the bound the same integral may be, by its saved times",
    "ratio": "bound over distance; nan where the distance is no larger than its error",
}
HALF, EPS = 0.5, float(np.finfo(float).eps)
SAME_TIME = 1e-13
"""Times apart by this share are one."""


def measure(setting: Setting) -> Group:
    """Return the local error and λ_min along the flow, and the distance and its bound by step size.

    Nan where the flow was not reached, where descent has diverged, and after an interrupt.
    """
    flow = setting.flows["layers"]
    first = replace(setting, monitor=setting.monitor.part(0.0, HALF))
    over_time = along("tracking_bound", first, flow, OVER_TIME, lambda i: _at(setting, flow, i))
    density, smallest, error = (over_time[name].values for name in OVER_TIME)
    lowest = smallest - error
    assert setting.scenario.descent is not None
    sizes = np.asarray(setting.scenario.descent.sizes)
    saved = saved_times(setting.scenario)
    count = iterations(saved, sizes.tolist())
    found = {
        "iterate_time": count * sizes[:, None],
        **_distances(setting, flow, sizes, count),
    }
    limit = bound(flow.times, density, lowest, found["iterate_time"])
    reached = np.arange(saved.size) < flow.times.size
    with np.errstate(divide="ignore", invalid="ignore"):
        found["bound"] = np.where(reached, sizes[:, None] * limit.above, np.nan)
        found["bound_error"] = sizes[:, None] * (limit.above - limit.below)
        found["bound_error"] = np.where(reached, found["bound_error"], np.nan)
        known = found["distance"] > found["distance_error"]
        found["ratio"] = np.where(known, found["bound"] / found["distance"], np.nan)
    dims = MEASURES["tracking_bound"].variables
    return {
        **over_time,
        "amplification": named(
            dims["amplification"], amplification(flow.times, lowest), "exp ∫ max(0, −λ_min) ds"
        ),
        "step_size": named(("step_size",), sizes, "step size η"),
        **{name: named(dims[name], found[name], told) for name, told in OF_STEPS.items()},
    }


def _layers(flow: Trajectory, i: int) -> tuple[np.ndarray, ...]:
    assert flow.layer_series is not None
    return tuple(history[i] for history in flow.layer_series)


def _at(setting: Setting, flow: Trajectory, i: int) -> list[float]:
    """Return ½‖∇²φ∇φ‖, λ_min and its error at one time."""
    problem, layers = setting.problem, _layers(flow, i)
    moving = derivatives(problem.loss, layers, problem.weight_decay)
    ends = settled(problem, layers)
    return [0.5 * norm(moving.second), ends.smallest, ends.error]


def _distances(
    setting: Setting, flow: Trajectory, sizes: np.ndarray, count: np.ndarray
) -> dict[str, np.ndarray]:
    """Return ‖θ_k - θ(kη)‖ and its error: Taylor's from the saved time, the flow's and rounding.

    The flow's relative error is taken to be the same in the layers as in W.
    """
    problem = setting.problem
    distance, error = np.full((2, *count.shape), np.nan)
    sigma = np.linalg.norm(flow.singular_values, axis=1)
    relative = flow.error_estimate / np.where(sigma > 0, sigma, np.nan)

    def visit(k: int, sample: int, layers: Layers, sums: Sums) -> None:  # noqa: ARG001
        if sample >= flow.times.size:
            return
        there, lacking = _layers(flow, sample), 0.0
        own = float(relative[sample] + EPS) * norm(there)
        delay = float(count[k, sample] * sizes[k] - flow.times[sample])
        if abs(delay) > SAME_TIME * flow.times[sample]:
            moving = derivatives(problem.loss, there, problem.weight_decay)
            moved, lacking = shortly_after(there, moving, delay)
            there = tuple(moved)
        apart = [np.asarray(W) - V for W, V in zip(layers, there, strict=True)]
        distance[k, sample], error[k, sample] = norm(apart), lacking + own

    revisit(
        problem,
        sizes.tolist(),
        count,
        visit,
        monitor=setting.monitor.part(HALF, 1.0),
    )
    return {"distance": distance, "distance_error": error}
