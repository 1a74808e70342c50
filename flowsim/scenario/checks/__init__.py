"""What the sections of a scenario must fit together; one small generator a rule.

A rule takes a scenario and yields what breaks it. It may be given a scenario of which only some
values are valid: it ends where it reaches for one that is not, and the other rules go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from flowsim.scenario.checks import data, flow, init, loss, noise
from flowsim.scenario.errors import Mistake
from flowsim.scenario.partial import Unknown, View

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

Rule = Callable[["Scenario"], Iterator[Mistake]]

RULES: tuple[Rule, ...] = (*loss.RULES, *data.RULES, *init.RULES, *flow.RULES, *noise.RULES)


def broken(scenario: View) -> list[Mistake]:
    """Return every mistake that the rules find in what is known of a scenario."""
    mistakes: list[Mistake] = []
    for rule in RULES:
        with suppress(Unknown):
            for mistake in rule(cast("Scenario", scenario)):
                mistakes.append(mistake)
    return mistakes
