"""What a measure is, as data for checks, claims and predictions of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario


def always(scenario: Scenario) -> str:  # noqa: ARG001
    """Refuse no scenario."""
    return ""


def nothing(scenario: Scenario) -> int:  # noqa: ARG001
    """Work in no memory worth counting."""
    return 0


def no_levels(scenario: Scenario) -> tuple[float, ...]:  # noqa: ARG001
    """Have no dimension `level`."""
    return ()


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
    levels
        What is counted along the dimension `level` of its variables.

    """

    says: str
    variables: Mapping[str, tuple[str, ...]]
    needs: Literal["layers", "matrices", ""] = ""
    unfit: Callable[[Scenario], str] = always
    numbers: Callable[[Scenario], int] = nothing
    levels: Callable[[Scenario], tuple[float, ...]] = no_levels
