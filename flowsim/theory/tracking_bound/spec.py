"""The bound on the discretization error: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure
from flowsim.theory.sharpness.spec import LANCZOS

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.measure import not_plain_descent

TRACKED = ("iterate_time", "distance", "distance_error", "bound", "bound_error", "ratio")


def _tracking(scenario: Scenario) -> int:
    """Return what Lanczos' method holds, three derivatives, and the layers at every step size."""
    steps = len(scenario.descent.written) if scenario.descent else 0
    return (LANCZOS + 8 + 6 * steps) * scenario.network.weights


TRACKING_BOUND = Measure(
    says="where descent comes away from the layer flow, and a bound on how far",
    variables={
        **dict.fromkeys(("time", "density", "smallest", "error", "amplification"), ("time",)),
        "step_size": ("step_size",),
        **dict.fromkeys(TRACKED, ("step_size", "sample")),
    },
    needs="layers",
    unfit=not_plain_descent,
    numbers=_tracking,
)
