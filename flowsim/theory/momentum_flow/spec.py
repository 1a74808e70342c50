"""Approximating flows of momentum: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.measure import noisy_gradient, single_precision

WITH_MOMENTUM = ("flow", "inertia", "high_resolution")


def _no_momentum(scenario: Scenario) -> str:
    """Say why there is no momentum to describe, or nothing."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes and momentum, or leave it out"
    if not descent.momentum:
        return "descent has no momentum; write descent.momentum = 0.9, or leave it out"
    return noisy_gradient(scenario) or single_precision(descent)


def _with_momentum(scenario: Scenario) -> int:
    """Return the iterates at every step size and three flows at one, with what solving them holds.

    A flow of second order has twice as many entries, at two tolerances and seven stages.
    """
    steps = len(scenario.descent.written) if scenario.descent else 0
    return ((steps + 10) * scenario.flow.samples + 40) * scenario.network.weights


MOMENTUM_FLOW = Measure(
    says="how far flows that describe momentum are from the iterates",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(
            (
                "time",
                "strength",
                *(
                    f"{name}{part}"
                    for name in WITH_MOMENTUM
                    for part in ("", "_error", "_strength")
                ),
            ),
            ("step_size", "sample"),
        ),
    },
    unfit=_no_momentum,
    numbers=_with_momentum,
)
