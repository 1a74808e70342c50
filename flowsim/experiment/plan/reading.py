"""Reading scenarios with every rule: those of tables, of diagnostics, of figures and of claims."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.experiment.figures import FIGURES
from flowsim.experiment.plan import measures
from flowsim.experiment.plan.claims import broken_claim
from flowsim.scenario import reading, schema
from flowsim.scenario.validate.examine import RULES, Rules
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

ALL_RULES = Rules((*RULES, *measures.RULES), broken_claim)
"""All rules that a scenario must satisfy."""

from_toml = partial(reading.from_toml, rules=ALL_RULES)
check = partial(reading.check, rules=ALL_RULES)


def read(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Return the scenario of a file, checked by all rules.

    >>> scenario = flowsim.read("two-modes.toml", {"network.widths": [4, 5, 5, 3], "seed": 3})
    >>> scenario.network.depth, scenario.flow.rtol
    >>> flowsim.run(scenario)

    A `Scenario` is frozen data, with attributes named as the keys of the file. The variants of a
    scenario are scenarios too: `flowsim.scenario.overrides.variants(scenario)`.

    Parameters
    ----------
    path
        A scenario file; data files in it are relative to its folder.
    overrides
        Values that replace those of the file, by dotted key, as `--set` does.

    Raises
    ------
    ScenarioError
        If the file cannot be read or has mistakes. `error.mistakes` lists all of them as
        `file:line: key: what is wrong; what to write`.

    """
    return reading.read(path, overrides, ALL_RULES)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files, with the names of diagnostics and figures.

    It accepts every file that `read` accepts. It contains the type and range of each key, but no
    rule that involves several keys.
    """
    questions = {name: measure.question for name, measure in MEASURES.items()}
    return schema.json_schema(questions, list(FIGURES))
