"""Margins along a flow that classifies: its direction against the classifier of largest margin."""

from __future__ import annotations

import numpy as np

from flowsim.problem.losses import CrossEntropy, Logistic
from flowsim.results.run import Group, named
from flowsim.theory.margin.formulas import LargestMargin, angle, largest_margin, margin
from flowsim.theory.setting import Setting, along

TOLD = {
    "norm": "norm ‖W‖_F",
    "margin": "margin: the smallest slack of W/‖W‖_F",
    "angle": "angle to the classifier of largest margin, in radians",
}


def measure(setting: Setting) -> Group:
    """Return ‖W‖_F, the margin of W/‖W‖_F and its angle to the largest one's, at every time."""
    loss, trajectory = setting.problem.loss, setting.reference
    assert isinstance(loss, Logistic | CrossEntropy)
    best, series = _best(loss, setting.problem.start.shape), trajectory.end_to_end_series

    def at(i: int) -> list[float]:
        W = series[i]
        turned = float("nan") if best is None else angle(W, best.W)
        return [float(np.linalg.norm(W)), margin(loss, W), turned]

    reached = (best.margin, best.error) if best else (np.nan, np.nan)
    return {
        **along("margin", setting, trajectory, TOLD, at),
        "largest_margin": named((), np.array(reached[0]), "largest margin of any classifier"),
        "error": named((), np.array(reached[1]), "error of the largest margin"),
    }


def _best(loss: Logistic | CrossEntropy, shape: tuple[int, ...]) -> LargestMargin | None:
    try:
        return largest_margin(loss, shape)
    except RuntimeError:
        return None
