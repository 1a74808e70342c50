"""How descent loses balancedness: the sum of the changes of each step, and the measured change."""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Layers
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import iterations
from flowsim.theory.drift_budget.formulas import Budget, Budgeting, compared
from flowsim.theory.setting import Arrays, Setting, replay

OF_PAIRS = ("accumulated", "measured", "difference", "error")


def measure(setting: Setting) -> Arrays:
    """Return the imbalance drift and its effect on W at the recorded iterates of descent.

    Values are nan where descent has diverged, and after an interrupt.
    """
    scenario, problem = setting.scenario, setting.problem
    assert scenario.descent is not None
    sizes = np.asarray(scenario.descent.sizes)
    count = iterations(saved_times(scenario), sizes.tolist())
    pairs = np.full((len(OF_PAIRS), *count.shape, problem.depth - 1), np.nan)
    cost, rebalanced = np.full((2, *count.shape), np.nan)

    def visit(k: int, sample: int, layers: Layers, budget: Budget) -> None:
        matrices, start = ([np.asarray(W) for W in each] for each in (layers, problem.layers))
        pairs[:, k, sample] = compared(matrices, start, budget)
        difference = np.asarray(network.end_to_end(layers)) - np.asarray(budget.rebalanced)
        cost[k, sample], rebalanced[k, sample] = float(budget.cost), np.linalg.norm(difference)

    replay(
        problem,
        sizes.tolist(),
        count,
        visit,
        accumulator=Budgeting(network.rank_bound(problem.layers)),
        monitor=setting.monitor,
    )
    return {
        "step_size": sizes,
        "time": count * sizes[:, None],
        "cost": cost,
        "rebalanced": rebalanced,
        **dict(zip(OF_PAIRS, pairs, strict=True)),
    }
