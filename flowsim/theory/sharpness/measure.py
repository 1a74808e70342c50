"""Sharpness along the layer flow: λ_max and λ_min of the Hessian of φ over the layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowsim.problem.problem import Problem
from flowsim.problem.types import Array
from flowsim.results.run import Group
from flowsim.theory.setting import Setting, along
from flowsim.theory.sharpness.formulas import Extremes, extremes

TOLD = {
    "smallest": "smallest eigenvalue λ_min of the Hessian over the layers",
    "largest": "sharpness λ_max: the largest eigenvalue of the Hessian over the layers",
    "error": "bound on the error of both eigenvalues",
}


def measure(setting: Setting) -> Group:
    """Return the extreme eigenvalues of the Hessian, and a bound on their error, at every time."""
    trajectory = setting.flows["layers"]
    series = trajectory.layer_series
    assert series is not None
    return along(
        "sharpness",
        setting,
        trajectory,
        TOLD,
        lambda i: settled(setting.problem, [history[i] for history in series]),
    )


def settled(problem: Problem, layers: Sequence[Array]) -> Extremes:
    """Return the extremes, nan where an eigenvalue does not settle or the Hessian is not finite."""
    from scipy.sparse.linalg import ArpackError

    try:
        return extremes(problem.loss, layers, problem.weight_decay)
    except (ArpackError, np.linalg.LinAlgError):
        return Extremes(np.nan, np.nan, np.nan)
