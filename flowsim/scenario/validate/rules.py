"""What the sections of a scenario must fit together; one small generator a rule.

A rule takes a scenario and yields what breaks it. It may be given a scenario of which only some
values are valid: it ends where it reads one that is not, and the other rules still apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowsim.scenario.spec.errors import Mistake
from flowsim.scenario.spec.table import InvalidValueError
from flowsim.scenario.validate import data, flow, init, loss, noise

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.scenario import Scenario

Rule = Callable[["Scenario"], Iterator[Mistake]]

RULES: tuple[Rule, ...] = (*loss.RULES, *data.RULES, *init.RULES, *flow.RULES, *noise.RULES)


ClaimRule = Callable[["Claim", Mapping[str, "Scenario"]], list[Mistake]]


@dataclass(frozen=True)
class Rules:
    """What a scenario must obey beyond the type and range of each key.

    `of_scenarios` are rules across tables; `of_claims`, where given, judges one claim about what
    will be run. Rules that need to know the diagnostics or the figures are added from above.
    """

    of_scenarios: tuple[Rule, ...] = RULES
    of_claims: ClaimRule | None = None


def apply_rules(scenario: Scenario, rules: tuple[Rule, ...]) -> list[Mistake]:
    """Return every mistake that the rules find in the valid part of a scenario."""
    mistakes: list[Mistake] = []
    for rule in rules:
        with suppress(InvalidValueError):
            for mistake in rule(scenario):
                mistakes.append(mistake)
    return mistakes
