"""The minimum nuclear norm: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.norms.spec import EVERY_NORM

CONIC, SENSED = 230, 14
"""Copies of the cone's triangle, and of the measurements, that the convex solver holds."""


def needs_measurements(scenario: Scenario) -> str:
    """Refuse losses that do not measure a target."""
    if scenario.loss.partial_target:
        return ""
    return (
        f'a loss of kind "{scenario.loss.kind}" does not measure a target in part; leave it out, '
        'or write loss.kind = "completion" or "sensing"'
    )


def conic(scenario: Scenario) -> int:
    """Return how many numbers the semidefinite program of the minimum nuclear norm works in."""
    rows, columns = scenario.network.shape
    order = rows + columns
    measured = scenario.loss.sensing_matrices * rows * columns
    return CONIC * order * (order + 1) // 2 + SENSED * measured


MINIMUM_NUCLEAR_NORM = Measure(
    says="the matrix of least nuclear norm that meets the measurements",
    variables={
        **dict.fromkeys((*EVERY_NORM, "lower_bound", "residual", "distance_to_target"), ()),
        "singular_values": ("mode",),
        "end_to_end": ("output", "input"),
    },
    unfit=needs_measurements,
    numbers=conic,
)
