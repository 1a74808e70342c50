"""Sharpness along the layer flow: λ_max and λ_min of the Hessian of φ over the layers."""

from __future__ import annotations

from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.sharpness.formulas import extremes_or_nan


def measure(setting: Setting) -> Arrays:
    """Return both extreme eigenvalues of the Hessian and a bound on their error over time.

    All three are nan where Lanczos' method did not converge or the Hessian is not finite.
    """
    return setting.at_saved_times(
        setting.layer_flow,
        lambda i: extremes_or_nan(setting.problem, setting.layers(i))._asdict(),
    )
