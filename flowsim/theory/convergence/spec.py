"""Convergence: declaration."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


SOLVED = 1000
"""Up to so many entries of W a convex solve is made, as in `flowsim.theory.global_minimum`."""


PIECE = 1 << 19
"""Numbers of a piece of a series, as in `flowsim.solvers.storage`."""


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
    return 4 * times * (network.weights + rows * columns) + minimum_floats(scenario)


def minimum_floats(scenario: Scenario) -> int:
    """Count a Hessian with its factors where the global minimum takes a convex solve."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return 4 * entries**2 if entries <= SOLVED and scenario.data else 0


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
