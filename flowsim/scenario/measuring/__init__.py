"""What can be measured of a run beside its flows: a group each, where `[output] measures` asks.

A measure is told here as data, for checks, claims and predictions of memory; how it is computed is
in the module of its name in `flowsim.measuring`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from flowsim.scenario.measuring import (
    beyond,
    convergence,
    descent,
    explicit_loss,
    landscape,
    margin,
    noise,
    singular_values,
    thresholds,
)
from flowsim.scenario.measuring.measure import Measure

MeasureName = Literal[
    "sharpness",
    "tangent_kernel",
    "margin",
    "convergence",
    "preconditioner",
    "singular_value_law",
    "explicit_loss",
    "norms",
    "minimum_nuclear_norm",
    "speed",
    "drift_budget",
    "tracking_bound",
    "descriptions",
    "step_size_thresholds",
    "oscillation",
    "momentum_flow",
    "sgd_noise",
]
"""The name of a measure: of its group, of its figure and of its module."""

MEASURES: Mapping[MeasureName, Measure] = {
    "sharpness": landscape.SHARPNESS,
    "tangent_kernel": landscape.TANGENT_KERNEL,
    "margin": margin.MARGIN,
    "convergence": convergence.CONVERGENCE,
    "preconditioner": singular_values.PRECONDITIONER,
    "singular_value_law": singular_values.SINGULAR_VALUE_LAW,
    "explicit_loss": explicit_loss.EXPLICIT_LOSS,
    "norms": singular_values.NORMS,
    "minimum_nuclear_norm": singular_values.MINIMUM_NUCLEAR_NORM,
    "speed": convergence.SPEED,
    "drift_budget": descent.DRIFT_BUDGET,
    "tracking_bound": descent.TRACKING_BOUND,
    "descriptions": descent.DESCRIPTIONS,
    "step_size_thresholds": thresholds.STEP_SIZE_THRESHOLDS,
    "oscillation": beyond.OSCILLATION,
    "momentum_flow": descent.MOMENTUM_FLOW,
    "sgd_noise": noise.SGD_NOISE,
}
"""Every measure by name."""
