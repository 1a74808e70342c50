"""The neural tangent kernel along the layer flow and its initial value: lazy or rich learning."""

from __future__ import annotations

from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.tangent_kernel.formulas import change


def measure(setting: Setting) -> Arrays:
    """Return the kernel's norm, and its distance and angle to the kernel at initialization."""
    start = setting.layers(0)
    return setting.at_saved_times(
        setting.layer_flow, lambda i: change(setting.layers(i), start)._asdict()
    )
