"""Singular-value dynamics along the layer flow: the balanced equation and what the layers do."""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.singular_value_law.formulas import rates


def measure(setting: Setting) -> Arrays:
    """Return velocity, law, their absolute difference and its bound, for every mode over time."""
    problem = setting.problem
    rank = network.rank_bound(problem.layers)

    def evaluate(i: int) -> dict[str, np.ndarray]:
        found = rates(problem.loss, setting.layers(i), rank, problem.weight_decay)
        velocity, law, error = (np.asarray(values) for values in found)
        difference = np.abs(velocity - law)
        return {"velocity": velocity, "law": law, "difference": difference, "error": error}

    return setting.at_saved_times(setting.layer_flow, evaluate)
