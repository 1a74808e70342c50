"""Margin of the classifier W along a flow, and its angle to the maximum-margin classifier."""

from __future__ import annotations

import numpy as np

from flowsim.problem.losses import Classifier
from flowsim.theory.margin.formulas import LargestMargin, angle, largest_margin, margin
from flowsim.theory.setting import Arrays, Setting


def measure(setting: Setting) -> Arrays:
    """Return ‖W‖_F, the margin of W/‖W‖_F and its angle to the maximum-margin classifier.

    The angle and the maximum margin are nan where no classifier separates the data, or where its
    search fails.
    """
    loss, flow = setting.problem.loss, setting.reference
    assert isinstance(loss, Classifier)
    best = _best(loss, setting.problem.initial.shape)

    def evaluate(i: int) -> dict[str, float]:
        W = flow.end_to_end_series[i]
        return {
            "norm": float(np.linalg.norm(W)),
            "margin": margin(loss, W),
            "angle": float("nan") if best is None else angle(W, best.W),
        }

    return {
        **setting.at_saved_times(flow, evaluate),
        "largest_margin": best.margin if best else np.nan,
        "error": best.error if best else np.nan,
    }


def _best(loss: Classifier, shape: tuple[int, ...]) -> LargestMargin | None:
    try:
        return largest_margin(loss, shape)
    except RuntimeError:  # SciPy's non-negative least squares reached its limit of iterations
        return None
