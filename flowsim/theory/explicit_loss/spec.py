"""Whether an explicit loss exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

ON_TRAJECTORY = 6
"""How many points of a trajectory an explicit loss is asked for at; as many more are random."""

POINTS = 2 * ON_TRAJECTORY

LOOPS = POINTS + 1
"""A circle about each point, after the loop of Arora, Cohen & Hazan."""

MOST_ENTRIES = 64
"""The Jacobian of the end-to-end field has the square of so many entries at most."""

DERIVATIVES = 20
"""Copies of what a derivative of P_W works in, for each entry of W."""

_OF_POINTS = ("time", "asymmetry", "asymmetry_bound")

_POTENTIAL = (
    "potential", "potential_error", "potential_apart", "closed_form", "closed_form_apart",
)  # fmt: skip

_OF_LOOPS = ("loop_integral", "loop_error", "circulation", "circulation_error")


def _no_explicit_loss(scenario: Scenario) -> str:
    """Say why it cannot be asked of a scenario whether an explicit loss exists, or nothing."""
    network = scenario.network
    rows, columns = network.shape
    entries = rows * columns
    if entries == 1:
        return "W is a single number, and on a line every field is a gradient; leave it out"
    if entries > MOST_ENTRIES:
        return (
            f"the Jacobian of its end-to-end field has {entries}² entries; write network.widths "
            f"with d_0 d_N of at most {MOST_ENTRIES}, or leave it out"
        )
    if min(network.widths) < network.modes:
        return (
            f"it is asked where W has full rank, {network.modes}, which a layer of width "
            f"{min(network.widths)} prevents; write wider layers, or leave it out"
        )
    return ""


def _derivatives(scenario: Scenario) -> int:
    """Return how many numbers the derivative of P_W works in, along every entry of W at once."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return DERIVATIVES * entries * (entries + rows**2 + columns**2)


EXPLICIT_LOSS = Measure(
    says="whether the end-to-end field is the gradient of an explicit loss",
    variables={
        "conservative": (),
        "points": ("point", "output", "input"),
        **dict.fromkeys((*_OF_POINTS, *_POTENTIAL), ("point",)),
        **dict.fromkeys(_OF_LOOPS, ("loop",)),
    },
    needs="matrices",
    unfit=_no_explicit_loss,
    numbers=_derivatives,
)
