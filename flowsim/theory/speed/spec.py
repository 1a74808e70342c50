"""Iterations to a target loss: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.convergence.spec import minimum_floats
from flowsim.theory.measure import iterates

LEVELS = (1e-1, 1e-2, 1e-3, 1e-4)
"""Shares of the excess loss at the start, to which `speed` counts iterations."""


def _without_speed(scenario: Scenario) -> str:
    """Say why iterations to a share of the excess loss cannot be counted, or nothing."""
    if scenario.descent is None:
        return "there is no descent; write [descent] with step_sizes"
    if not scenario.loss.bounded_below:
        return "a linear loss has no minimum to count from; leave speed out"
    if not scenario.loss.differentiable:
        return "the minimum at p = 1 is not computed; leave speed out, or write a larger loss.p"
    if scenario.flow.weight_decay:
        return "with weight decay the loss does not fall to its minimum; leave speed out"
    return ""


def _descending(scenario: Scenario) -> int:
    """Count what descent at all step sizes works in."""
    sizes = scenario.descent.written if scenario.descent else ()
    return len(sizes) * iterates(scenario) * scenario.network.weights + minimum_floats(scenario)


SPEED = Measure(
    says="the iterations that descent takes to shares of the excess loss",
    variables={
        "level": ("level",),
        "loss": ("level",),
        "step_size": ("step_size",),
        "first": ("step_size", "level"),
        "iterations": ("step_size", "level"),
        "best_iterations": ("level",),
        "best_step_size": ("level",),
        "flow_time": ("level",),
        "minimum": (),
        "minimum_error": (),
    },
    unfit=_without_speed,
    numbers=_descending,
    levels=lambda scenario: LEVELS,  # noqa: ARG005
)
