"""The neural tangent kernel along the layer flow, against its start: lazy or rich learning."""

from __future__ import annotations

from flowsim.measuring import Setting
from flowsim.results import Group, named
from flowsim.theory.tangent_kernel import along

VARIABLES = {
    "norm": "norm ‖Θ‖_F of the neural tangent kernel",
    "distance": "distance ‖Θ − Θ(0)‖_F / ‖Θ(0)‖_F of the neural tangent kernel to its start",
    "angle": "angle between the neural tangent kernel and its start, in radians",
}


def measure(setting: Setting) -> Group:
    """Return the kernel's norm, and its distance and angle to the kernel at the start."""
    trajectory = setting.flows["layers"]
    assert trajectory.layer_series is not None
    found = along(trajectory.layer_series, setting.watch, setting.interrupted)
    columns = zip(VARIABLES.items(), found.T, strict=True)
    return {
        "time": named(("time",), trajectory.times, "time t of the flow"),
        **{name: named(("time",), values, told) for (name, told), values in columns},
    }
