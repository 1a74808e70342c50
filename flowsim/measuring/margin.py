"""Margins along a flow that classifies: its direction against the classifier of largest margin."""

from __future__ import annotations

import numpy as np

from flowsim.losses import CrossEntropy, Logistic
from flowsim.measuring import Setting
from flowsim.results import Group, named
from flowsim.theory.margin import LargestMargin, angle, largest_margin, margin


def measure(setting: Setting) -> Group:
    """Return ‖W‖_F, the margin of W/‖W‖_F and its angle to the largest one's, at every time."""
    loss, trajectory = setting.problem.loss, setting.reference
    assert isinstance(loss, Logistic | CrossEntropy)
    best = _best(loss, setting.problem.start.shape)
    W = trajectory.end_to_end_series
    found = np.full((len(W), 3), np.nan)
    for i in range(len(W)):
        if setting.interrupted():
            break
        turned = np.nan if best is None else angle(W[i], best.W)
        found[i] = np.linalg.norm(W[i]), margin(loss, W[i]), turned
        setting.watch((i + 1) / len(W))
    at = ("time",)
    return {
        "time": named(at, trajectory.times[trajectory.kept], "time t of the flow"),
        "norm": named(at, found[:, 0], "norm ‖W‖_F"),
        "margin": named(at, found[:, 1], "margin: the smallest slack of W/‖W‖_F"),
        "angle": named(at, found[:, 2], "angle to the classifier of largest margin, in radians"),
        "largest_margin": named(
            (), np.array(best.margin if best else np.nan), "largest margin of any classifier"
        ),
        "error": named((), np.array(best.error if best else np.nan), "error of the largest margin"),
    }


def _best(loss: Logistic | CrossEntropy, shape: tuple[int, ...]) -> LargestMargin | None:
    try:
        return largest_margin(loss, shape)
    except RuntimeError:
        return None
