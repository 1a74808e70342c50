"""The law of singular values along the layer flow, beside the layers' own velocities."""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.results.run import Group
from flowsim.theory.setting import Setting, along
from flowsim.theory.singular_value_law.formulas import rates

TOLD = {
    "velocity": "u_rᵀẆv_r of the layers' own velocities: σ̇_r where σ_r is apart from the others",
    "law": "the law -N σ_r^{2-2/N} ⟨∇ℓ, u_r v_rᵀ⟩ - λNσ_r",
    "difference": "|velocity - law|",
    "error": "bound on the difference: defects of balance, and rounding",
}


def measure(setting: Setting) -> Group:
    """Return velocity, law, their difference in size and its bound, of every mode at every time."""
    problem, trajectory = setting.problem, setting.flows["layers"]
    rank, series = network.rank_bound(problem.layers), trajectory.layer_series
    assert series is not None

    def at(i: int) -> list[np.ndarray]:
        layers = tuple(history[i] for history in series)
        found = rates(problem.loss, layers, rank, problem.weight_decay)
        velocity, law, error = (np.asarray(values) for values in found)
        return [velocity, law, np.abs(velocity - law), error]

    return along("singular_value_law", setting, trajectory, TOLD, at)
