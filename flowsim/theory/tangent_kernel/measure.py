"""The neural tangent kernel along the layer flow, against its start: lazy or rich learning."""

from __future__ import annotations

from flowsim.results.run import Group
from flowsim.theory.setting import Setting, along
from flowsim.theory.tangent_kernel.formulas import Change, change

TOLD = {
    "norm": "norm ‖Θ‖_F of the neural tangent kernel",
    "distance": "distance ‖Θ − Θ(0)‖_F / ‖Θ(0)‖_F of the neural tangent kernel to its start",
    "angle": "angle between the neural tangent kernel and its start, in radians",
}


def measure(setting: Setting) -> Group:
    """Return the kernel's norm, and its distance and angle to the kernel at the start."""
    trajectory = setting.flows["layers"]
    series = trajectory.layer_series
    assert series is not None
    start = [history[0] for history in series]

    def at(i: int) -> Change:
        return change([history[i] for history in series], start)

    return along("tangent_kernel", setting, trajectory, TOLD, at)
