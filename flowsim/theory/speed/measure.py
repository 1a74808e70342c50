"""Speed: the iterations that descent takes to shares of the excess loss, at every step size.

The level ε stands for the loss ℓ* + ε (ℓ(W(0)) - ℓ*), ℓ* the global minimum over matrices of the
network's rank; where ℓ* is not known, all is nan. It is reached once the
loss stays at or below it: large steps may fall below in passing, and swing above again. Every step
size takes as many iterations as the smallest does to the horizon.
"""

from __future__ import annotations

import numpy as np

from flowsim.results.run import Group, named
from flowsim.scenario.build import gradient_noise
from flowsim.solvers.descend import iterations_to
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.global_minimum import global_minimum
from flowsim.theory.setting import Setting
from flowsim.theory.speed.spec import LEVELS


def measure(setting: Setting) -> Group:
    """Return the iterations to each level at every step size, the fewest, and the flow's time."""
    problem, spec = setting.problem, setting.scenario.descent
    assert spec is not None
    rows, columns = problem.start.shape
    least = global_minimum(problem.loss, (rows, columns), min(problem.widths))
    start = float(problem.loss.value(problem.start))
    levels = np.array(LEVELS)
    losses = least.value + levels * (start - least.value)
    reached = iterations_to(
        list(losses),
        problem,
        spec.sizes,
        spec.most_iterations(setting.scenario.flow.horizon),
        algorithm=spec.algorithm,
        momentum=spec.momentum,
        precision=spec.precision,
        noise=gradient_noise.stream(setting.scenario),
        monitor=setting.monitor,
    )
    unknown = np.where(np.isfinite(losses), 0.0, np.nan)
    first, lasting = reached.first + unknown, reached.lasting + unknown
    best, at = best_of(lasting, np.array(spec.sizes))
    flow = np.array([flow_time(setting.reference, loss, least.value) for loss in losses])
    by, grid = ("level",), ("step_size", "level")
    return {
        "level": named(by, levels, "level: share of the excess loss at the start"),
        "loss": named(by, losses, "loss ℓ* + level · (ℓ(W(0)) − ℓ*)"),
        "step_size": named(("step_size",), np.array(spec.sizes), "step size η"),
        "first": named(grid, first, "first iteration at or below the level, inf: none"),
        "iterations": named(grid, lasting, "iteration from which ℓ stays there, inf: none"),
        "best_iterations": named(by, best, "fewest iterations to the level over step sizes"),
        "best_step_size": named(by, at, "the step size that takes fewest"),
        "flow_time": named(by, flow, "time at which the flow reaches the level"),
        "minimum": named((), np.array(least.value), "the global minimum ℓ*"),
        "minimum_error": named((), np.array(least.error), "bound on the error of ℓ*"),
    }


def best_of(count: np.ndarray, step_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest iterations at each level, and the smallest step size that takes so many.

    Where no step size reaches a level they are inf and nan; where some were interrupted before it,
    nan both.
    """
    order = np.argsort(step_sizes)
    fewest = count.min(axis=0)  # nan if any is
    first = step_sizes[order][np.argmin(count[order], axis=0)]
    return np.asarray(fewest), np.asarray(np.where(np.isfinite(fewest), first, np.nan))


def flow_time(flow: Trajectory, loss: float, least: float) -> float:
    """Return when the flow reaches a loss, the excess exponential between saved times; else nan."""
    low = np.flatnonzero(flow.loss <= loss)
    if not low.size:
        return float("nan")
    k = int(low[0])
    if k == 0:
        return float(flow.times[0])
    before, after = np.log(np.maximum(flow.loss[k - 1 : k + 1] - least, np.finfo(float).tiny))
    share = (before - np.log(loss - least)) / (before - after)
    return float(flow.times[k - 1] + share * (flow.times[k] - flow.times[k - 1]))
