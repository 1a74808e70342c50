"""Convergence beside its bounds, and the iterations that descent takes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from flowsim.scenario.measuring.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

SOLVED = 1000
"""Up to so many entries of W a convex solve is made, as in `flowsim.theory.minimum`."""

PIECE = 1 << 19
"""Numbers of a piece of a series, as in `flowsim.series`."""

BOUNDED = (
    "time", "loss", "excess_loss", "error", "bound", "bound_ratio", "running_bound",
    "running_ratio", "decrease", "rate", "smallest_eigenvalue", "distance_to_minimum",
)  # fmt: skip

CERTIFIED = (
    "minimum", "minimum_error", "polyak_lojasiewicz", "deficiency_margin", "rate_bound",
    "largest_imbalance", "admitted_imbalance", "largest_step_size", "fewest_iterations",
)  # fmt: skip

COUNTED = ("step_size", "iterations_bound", "iterations_above", "iterations_measured")
"""What is measured of convergence: over time, as single numbers, and at each step size."""


def _decays(scenario: Scenario) -> str:
    """Refuse weight decay, under which the loss may rise."""
    if not scenario.flow.weight_decay:
        return ""
    return "no bound on it allows for flow.weight_decay; leave one of them out"


def _of_convergence(scenario: Scenario) -> int:
    """Count pieces of the layers and of their products, and a Hessian with its factors."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    widest = max(a * b for a, b in pairwise(network.widths))
    times = min(scenario.flow.samples, max(1, PIECE // widest))
    return 4 * times * (network.weights + rows * columns) + _of_minimum(scenario)


def _of_minimum(scenario: Scenario) -> int:
    """Count a Hessian with its factors where the global minimum takes a convex solve."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return 4 * entries**2 if entries <= SOLVED and scenario.data else 0


LEVELS = (1e-1, 1e-2, 1e-3, 1e-4)
"""Shares of the excess loss at the start, to which `speed` counts iterations."""

ITERATES, MORE_ITERATES = 11, 9
"""What descent holds with one copy remembered, as velocities are; and more with a second one."""

REMEMBERING = ("adadelta", "rk4")
"""Algorithms that hold more than one copy of the layers, remembered or within a step."""


def _without_speed(scenario: Scenario) -> str:
    """Say why iterations to a share of the excess loss cannot be counted, or nothing."""
    if scenario.descent is None:
        return "there is no descent; write [descent] with step_sizes"
    if scenario.loss.kind == "linear":
        return "a linear loss has no minimum to count from; leave speed out"
    if scenario.loss.power == 1:
        return "the minimum at p = 1 is not computed; leave speed out, or write a larger loss.p"
    if scenario.flow.weight_decay:
        return "with weight decay the loss does not fall to its minimum; leave speed out"
    return ""


def _descending(scenario: Scenario) -> int:
    """Count what descent at all step sizes works in."""
    sizes = scenario.descent.written if scenario.descent else ()
    return len(sizes) * iterates(scenario) * scenario.network.weights + _of_minimum(scenario)


def iterates(scenario: Scenario) -> int:
    """Return the copies of the layers that descent holds at each step size."""
    more = scenario.descent is not None and scenario.descent.algorithm in REMEMBERING
    return ITERATES + (MORE_ITERATES if more else 0)


CONVERGENCE = Measure(
    says="loss, rate and distance to the global minimum beside the bounds of theorems",
    variables={
        **dict.fromkeys(BOUNDED, ("time",)),
        **dict.fromkeys(CERTIFIED, ()),
        **dict.fromkeys(COUNTED, ("step_size",)),
        "holds": ("hypothesis",),
    },
    needs="layers",
    unfit=_decays,
    numbers=_of_convergence,
)

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
