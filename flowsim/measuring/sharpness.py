"""Sharpness along the layer flow: λ_max and λ_min of the Hessian of φ over the layers."""

from __future__ import annotations

from flowsim.measuring import Setting
from flowsim.results import Group, named
from flowsim.theory.sharpness import along

VARIABLES = {
    "smallest": "smallest eigenvalue λ_min of the Hessian over the layers",
    "largest": "sharpness λ_max: the largest eigenvalue of the Hessian over the layers",
    "error": "bound on the error of both eigenvalues",
}


def measure(setting: Setting) -> Group:
    """Return the extreme eigenvalues of the Hessian, and a bound on their error, at every time."""
    problem, trajectory = setting.problem, setting.flows["layers"]
    assert trajectory.layer_series is not None
    found = along(
        problem.loss,
        trajectory.layer_series,
        problem.weight_decay,
        setting.watch,
        setting.interrupted,
    )
    columns = zip(VARIABLES.items(), found.T, strict=True)
    return {
        "time": named(("time",), trajectory.times, "time t of the flow"),
        **{name: named(("time",), values, told) for (name, told), values in columns},
    }
