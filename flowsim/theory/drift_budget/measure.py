"""How descent leaves balance: the change of each step added up, beside the change measured."""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Layers
from flowsim.results.run import Group, named
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import iterations
from flowsim.theory.drift_budget.formulas import Budget, Budgeting, compared
from flowsim.theory.iterates import revisit
from flowsim.theory.registry import MEASURES
from flowsim.theory.setting import Setting

OF_PAIRS = {
    "accumulated": "‖Σ η²(g_{j+1}ᵀg_{j+1} − g_jg_jᵀ)‖_F over the steps so far",
    "measured": "‖D_j − D_j(0)‖_F of the layers, D_j = W_{j+1}ᵀW_{j+1} − W_jW_jᵀ",
    "difference": "norm of the difference between the two changes of D_j",
    "error": "bound on the difference: rounding",
}
OF_W = {
    "cost": "Σ η ‖Θ[∇ℓ] − P_W[∇ℓ]‖_F over the steps so far",
    "rebalanced": "‖W − Ŵ‖_F to descent that is balanced anew before every step",
}


def measure(setting: Setting) -> Group:
    """Return the drift of balance and its cost at every step size, at the samples of descent.

    Nan where descent has diverged, and after an interrupt.
    """
    scenario, problem = setting.scenario, setting.problem
    assert scenario.descent is not None
    sizes = np.asarray(scenario.descent.sizes)
    count = iterations(saved_times(scenario), sizes.tolist())
    pairs = np.full((len(OF_PAIRS), *count.shape, problem.depth - 1), np.nan)
    of_W = np.full((len(OF_W), *count.shape), np.nan)

    def visit(k: int, sample: int, layers: Layers, budget: Budget) -> None:
        matrices, start = ([np.asarray(W) for W in each] for each in (layers, problem.layers))
        pairs[:, k, sample] = compared(matrices, start, budget)
        apart = np.asarray(network.end_to_end(layers)) - np.asarray(budget.rebalanced)
        of_W[:, k, sample] = float(budget.cost), np.linalg.norm(apart)

    revisit(
        problem,
        sizes.tolist(),
        count,
        visit,
        tally=Budgeting(network.rank_bound(problem.layers)),
        monitor=setting.monitor,
    )
    dims, told = MEASURES["drift_budget"].variables, OF_PAIRS | OF_W
    return {
        "step_size": named(("step_size",), sizes, "step size η"),
        "time": named(dims["time"], count * sizes[:, None], "time t = kη"),
        **{
            name: named(dims[name], values, told[name])
            for name, values in zip(told, [*pairs, *of_W], strict=True)
        },
    }
