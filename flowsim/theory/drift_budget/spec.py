"""The imbalance drift: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.measure import not_plain_descent


def _no_drift(scenario: Scenario) -> str:
    """Say why the drift of balance cannot be added up step by step, or nothing."""
    if scenario.network.depth == 1:
        return "one layer has no balance to leave; write more network.widths, or leave it out"
    if scenario.flow.weight_decay:
        return "its formula knows no weight decay; remove flow.weight_decay, or leave it out"
    return not_plain_descent(scenario)


def _drifting(scenario: Scenario) -> int:
    """Return layers, gradients, products and imbalances, at every step size, as they are moved."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    products = sum(d * (rows + columns) for d in network.widths)
    squares = sum(d**2 for d in network.widths[1:-1])
    steps = len(scenario.descent.written) if scenario.descent else 0
    return steps * (8 * network.weights + 2 * products + 4 * squares)


DRIFT_BUDGET = Measure(
    says="how descent leaves balance, step by step, and what that costs",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(("time", "cost", "rebalanced"), ("step_size", "sample")),
        **dict.fromkeys(
            ("accumulated", "measured", "difference", "error"), ("step_size", "sample", "pair")
        ),
    },
    unfit=_no_drift,
    numbers=_drifting,
)
