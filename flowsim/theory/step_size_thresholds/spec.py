"""The step sizes at which descent leaves the flow, stops converging, oscillates and diverges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure, iterates, not_plain_descent
from flowsim.theory.sharpness.spec import LANCZOS

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

TRACK_WITHIN = (0.1, 0.01)
"""Shares of the flow's largest ‖W‖_F within which descent may be asked to track it."""

BLOCK, COEFFICIENTS, DERIVATIVES, TAILS = 64, 6, 9, 128
"""As in `flowsim.theory.step_size_thresholds.scanning`: step sizes walked at once, and what is kept
of each."""

LIMITS = ("critical_start", "critical_end", "critical_flow")
THRESHOLDS = ("convergence_lost", "oscillation", "divergence")
ORDER = ("order", "low", "high", "factor", "bend", "smallest", "largest", "count")
OF_STEPS = ("fate", "distance", "final_loss", "period")


def levels(scenario: Scenario) -> tuple[float, ...]:
    """Return the shares of the flow's largest ‖W‖_F within which descent is asked to track it."""
    return scenario.output.track_within or TRACK_WITHIN


def _numbers(scenario: Scenario) -> int:
    """Count a block of descents with their tails, the flow's course, and what Lanczos holds."""
    network, samples = scenario.network, scenario.flow.samples
    rows, columns = network.shape
    walked = BLOCK * (iterates(scenario) * network.weights + TAILS * (network.modes + 1))
    course = (COEFFICIENTS + DERIVATIVES) * samples + COEFFICIENTS * BLOCK
    return walked + course * rows * columns + LANCZOS * network.weights


STEP_SIZE_THRESHOLDS = Measure(
    says="the step sizes at which descent leaves the flow, oscillates and diverges",
    variables={
        "level": ("level",),
        **dict.fromkeys(("allowed", "tracking", "tracking_error"), ("level",)),
        **dict.fromkeys((*LIMITS, *THRESHOLDS, *(f"{name}_error" for name in THRESHOLDS)), ()),
        **dict.fromkeys(("order", *(f"order_{name}" for name in ORDER if name != "order")), ()),
        "distance_error": (),
        "step_size": ("step_size",),
        **dict.fromkeys(OF_STEPS, ("step_size",)),
        "scanned": ("scanned",),
        **dict.fromkeys((f"scanned_{name}" for name in OF_STEPS), ("scanned",)),
    },
    needs="layers",
    unfit=not_plain_descent,
    numbers=_numbers,
    levels=levels,
)
