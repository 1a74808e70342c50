"""What a measure is, as data for checks, claims and predictions of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flowsim.dynamics.registry import ALGORITHMS

if TYPE_CHECKING:
    from flowsim.scenario.spec.descent import Descent
    from flowsim.scenario.spec.scenario import Scenario


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


def iterates(scenario: Scenario) -> int:
    """Return the copies of the layers that descent holds at each step size."""
    return ALGORITHMS[scenario.descent.algorithm if scenario.descent else "gradient"].copies


def not_plain_descent(scenario: Scenario) -> str:
    """Say why iterates cannot be computed again as plain gradient descent, or nothing."""
    return noisy_gradient(scenario) or not_gradient_descent(scenario)


def noisy_gradient(scenario: Scenario) -> str:
    """Say that descent goes by a noisy gradient, or nothing."""
    if scenario.descent is None or not scenario.descent.noisy:
        return ""
    return (
        "it is of descent by the whole gradient; remove descent.batch and descent.label_noise, "
        "or leave it out"
    )


def not_gradient_descent(scenario: Scenario) -> str:
    """Say why iterates cannot be computed again as gradient descent, noisy or not, or nothing."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes, or leave it out"
    if descent.algorithm != "gradient":
        return 'it is of gradient descent; write descent.algorithm = "gradient", or leave it out'
    if descent.momentum:
        return "its formula knows no momentum; remove descent.momentum, or leave it out"
    return single_precision(descent)


def single_precision(descent: Descent) -> str:
    """Say that iterates are computed again in double precision, or nothing."""
    if descent.precision == "float64":
        return ""
    return 'it is computed in float64; write descent.precision = "float64", or leave it out'
