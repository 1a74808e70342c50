"""Beyond the edge of stability: which modes of descent swing, in what orbit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure, not_plain_descent

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

VISITS = 128
"""Iterates in a row of which every mode is looked at, half-way and at the end."""

_BY_MODE = ("step_size", "mode")


def _looking(scenario: Scenario) -> int:
    """Return the orbits early and late, and what descent holds at every step size."""
    steps = len(scenario.descent.written) if scenario.descent else 0
    network = scenario.network
    return steps * (2 * VISITS * network.modes + 8 * network.weights)


OSCILLATION = Measure(
    says="which modes of descent swing for ever, with what period and amplitude",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(
            ("period", "amplitude", "centre", "predicted_low", "predicted_high"), _BY_MODE
        ),
        "orbit": (*_BY_MODE, "visit"),
        **dict.fromkeys(
            (
                "target",
                "critical",
                "second_doubling",
                "turning",
                "sign_change",
                "onset",
                "onset_above",
            ),
            ("mode",),
        ),
        **dict.fromkeys(("highest_loss", "catapult", "sharpness_over_limit"), ("step_size",)),
    },
    unfit=not_plain_descent,
    numbers=_looking,
)
