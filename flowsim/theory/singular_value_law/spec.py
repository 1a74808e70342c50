"""Singular-value dynamics: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def _law(scenario: Scenario) -> int:
    """Return the products of layers above and below each layer, and W's basis carried there."""
    rows, columns = scenario.network.shape
    products = sum(d * (rows + columns) for d in scenario.network.widths)
    return 3 * scenario.network.weights + products + 12 * rows * columns


SINGULAR_VALUE_LAW = Measure(
    says="how the layers move the singular values, beside the law that says so",
    variables={
        "time": ("time",),
        **dict.fromkeys(("velocity", "law", "difference", "error"), ("time", "mode")),
    },
    needs="layers",
    numbers=_law,
)
