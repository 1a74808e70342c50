"""Reading scenarios with every rule: those of tables, of diagnostics, of figures and of claims."""

from __future__ import annotations

from functools import partial
from typing import Any

from flowsim.experiment.figures import FIGURES
from flowsim.experiment.plan import measures
from flowsim.experiment.plan.claims import broken_claim
from flowsim.scenario import reading, schema
from flowsim.scenario.validate.rules import RULES, Rules
from flowsim.theory.registry import MEASURES

ALL = Rules((*RULES, *measures.RULES), broken_claim)
"""All that a scenario must obey."""

read = partial(reading.read, rules=ALL)
from_toml = partial(reading.from_toml, rules=ALL)
check = partial(reading.check, rules=ALL)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files, with the names of diagnostics and figures.

    It accepts every file that `read` accepts. It says the type and range of each key; what keys
    must fit together is beyond it.
    """
    questions = {name: measure.question for name, measure in MEASURES.items()}
    return schema.json_schema(questions, list(FIGURES))
