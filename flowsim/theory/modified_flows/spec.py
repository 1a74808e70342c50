"""Approximating flows: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.measure import not_plain_descent

MOST_WEIGHTS = 256
"""The Hessian over the layers is formed, and has the square of so many entries at most."""


DESCRIBING = ("flow", "modified", "principal", "central")


_AT_ITERATES = (
    *DESCRIBING, *(f"{name}_error" for name in DESCRIBING), "time",
    "sharpness_over_limit", "central_sharpness_over_limit",
    "variance_predicted", "variance_measured", "variance_ratio",
)  # fmt: skip


def _not_described(scenario: Scenario) -> str:
    """Say why no flow that describes descent is compared with it, or nothing."""
    weights = scenario.network.weights
    if scenario.flow.weight_decay:
        return "it knows no weight decay; remove flow.weight_decay, or leave it out"
    if weights > MOST_WEIGHTS:
        return (
            f"the Hessian over the layers has {weights}² entries; write network.widths with at "
            f"most {MOST_WEIGHTS} weights, or leave it out"
        )
    return not_plain_descent(scenario)


def _descriptions(scenario: Scenario) -> int:
    """Return the iterates and four descriptions of them, and a Hessian with its derivatives."""
    weights = scenario.network.weights
    return 16 * scenario.flow.samples * weights + 24 * weights**2


DESCRIPTIONS = Measure(
    says="how far flows that describe descent are from its iterates",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(_AT_ITERATES, ("step_size", "sample")),
        **dict.fromkeys((f"{name}_broken_at" for name in DESCRIBING), ("step_size",)),
    },
    unfit=_not_described,
    numbers=_descriptions,
)
