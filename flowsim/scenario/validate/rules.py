"""Rules across the tables of a scenario, one small generator per rule.

A rule takes a scenario and yields the mistakes that it finds. Some values of that scenario may be
invalid: a rule ends where it reads one of these, and the other rules still apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowsim.scenario.spec.errors import Mistake
from flowsim.scenario.spec.table import InvalidValueError
from flowsim.scenario.validate import data, flow, init, loss

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.scenario import Scenario

Rule = Callable[["Scenario"], Iterator[Mistake]]

RULES: tuple[Rule, ...] = (*loss.RULES, *data.RULES, *init.RULES, *flow.RULES)


ClaimRule = Callable[["Claim", Mapping[str, "Scenario"]], list[Mistake]]


@dataclass(frozen=True)
class Rules:
    """What a scenario must obey beyond the type and range of each key.

    `of_scenarios` are rules across tables; `of_claims`, where given, judges one claim about what
    will be run. `experiment` adds rules that need the registries of diagnostics and figures.
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
