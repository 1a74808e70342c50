"""Iterations of descent to target losses, at every step size.

The level ε is the target loss ℓ* + ε (ℓ(W(0)) - ℓ*), with ℓ* the global minimum over matrices of
the network's rank. Everything is nan where ℓ* is unknown. A target is reached once the loss stays
at or below it, since large steps may cross it and oscillate above it again. Every step size takes
as many iterations as the smallest one takes to the final time T.
"""

from __future__ import annotations

import numpy as np

from flowsim.scenario.build.problem import noise_stream, update_rule
from flowsim.solvers.iterate import DescentOptions, iterations_to
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.global_minimum import global_minimum
from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.speed.spec import LEVELS


def measure(setting: Setting) -> Arrays:
    """Return the iterations to each target loss, the fewest of them, and the flow's time."""
    problem, spec = setting.problem, setting.scenario.descent
    assert spec is not None
    rows, columns = problem.initial.shape
    least = global_minimum(problem.loss, (rows, columns), min(problem.widths), setting.monitor)
    start = float(problem.loss.value(problem.initial))
    levels = np.array(LEVELS)
    losses = least.value + levels * (start - least.value)
    reached = iterations_to(
        list(losses),
        problem,
        spec.sizes,
        spec.most_iterations(setting.scenario.flow.horizon),
        options=DescentOptions(
            update_rule(setting.scenario),
            spec.precision,
            noise_stream(setting.scenario),
        ),
        monitor=setting.monitor,
    )
    unknown = np.where(np.isfinite(losses), 0.0, np.nan)
    first, lasting = reached.first + unknown, reached.lasting + unknown
    best, best_step_size = best_of(lasting, np.array(spec.sizes))
    return {
        "level": levels,
        "loss": losses,
        "step_size": np.array(spec.sizes),
        "first": first,
        "iterations": lasting,
        "best_iterations": best,
        "best_step_size": best_step_size,
        "flow_time": np.array([flow_time(setting.reference, loss, least.value) for loss in losses]),
        "minimum": least.value,
        "minimum_error": least.error,
    }


def best_of(count: np.ndarray, step_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest iterations to each level, and the smallest step size that needs no more.

    `count` has shape (step_size, level). Where no step size reaches a level the results are inf and
    nan. Where an interrupt left some undecided, both are nan.
    """
    order = np.argsort(step_sizes)
    fewest = count.min(axis=0)  # nan if any entry is
    first = step_sizes[order][np.argmin(count[order], axis=0)]
    return np.asarray(fewest), np.asarray(np.where(np.isfinite(fewest), first, np.nan))


def flow_time(flow: Trajectory, loss: float, least: float) -> float:
    """Return the time at which the flow reaches a loss, or nan.

    Between saved times the excess loss is interpolated as an exponential, which a quadratic loss
    follows near its minimum.
    """
    low = np.flatnonzero(flow.loss <= loss)
    if not low.size:
        return float("nan")
    k = int(low[0])
    if k == 0:
        return float(flow.times[0])
    before, after = np.log(np.maximum(flow.loss[k - 1 : k + 1] - least, np.finfo(float).tiny))
    fraction = (before - np.log(loss - least)) / (before - after)
    return float(flow.times[k - 1] + fraction * (flow.times[k] - flow.times[k - 1]))
