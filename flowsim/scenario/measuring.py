"""What can be measured of a run beside its flows: a group each, where `[output] measures` asks.

A measure is told here as data, for checks, claims and predictions of memory; how it is computed is
in the module of its name in `flowsim.measuring`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

MeasureName = Literal["sharpness"]
"""The name of a measure: of its group, of its figure and of its module."""


def always(scenario: Scenario) -> str:  # noqa: ARG001
    """Refuse no scenario."""
    return ""


def nothing(scenario: Scenario) -> int:  # noqa: ARG001
    """Work in no memory worth counting."""
    return 0


@dataclass(frozen=True)
class Measure:
    """What a measure is taken of, what it leaves, and what it costs.

    Attributes
    ----------
    says
        What it is, as the end of "what else is measured: …".
    variables
        The numbers in its group, with their dimensions.
    needs
        What has to be kept of the flow at every saved time: its "layers", the "matrices" W, or
        neither.
    unfit
        Why it cannot be taken in a scenario, with what to write instead; "" where it can.
    numbers
        How many float64 it works in.

    """

    says: str
    variables: Mapping[str, tuple[str, ...]]
    needs: Literal["layers", "matrices", ""] = ""
    unfit: Callable[[Scenario], str] = always
    numbers: Callable[[Scenario], int] = nothing


LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors, and what it works in."""

MEASURES: Mapping[MeasureName, Measure] = {
    "sharpness": Measure(
        says="the extreme eigenvalues of the Hessian over the layers",
        variables=dict.fromkeys(("time", "smallest", "largest", "error"), ("time",)),
        needs="layers",
        numbers=lambda scenario: LANCZOS * scenario.network.weights,
    ),
}
"""Every measure by name."""
