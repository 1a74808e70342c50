"""Scenario texts to spoil, and what is then said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario.spec.errors import ScenarioError

SQUARED = """title = "Spoilt in tests"
seed = 3

[network]
widths = [4, 6, 5, 3]

[loss]
kind = "squared"
target = { spectrum = [3, 2, 1] }

[init]
kind = "balanced"
scale = 1e-3

[flow]
horizon = 6.0

[descent]
step_sizes = [0.4, 0.1]
"""

REGRESSION = """title = "On data"

[network]
widths = [2, 3, 1]

[loss]
kind = "regression"

[data]
inputs = [[1, 2, 3], [0, 1, 0]]
targets = [[1, -1, 1]]

[init]
kind = "xavier"

[flow]
horizon = 1
"""


def told(text: str, base: Path | None = None, **overrides: Any) -> tuple[str, ...]:
    """Return every mistake of a text."""
    try:
        from_toml(text, "s.toml", base, overrides)
    except ScenarioError as error:
        return error.mistakes
    return ()


def spoilt(old: str, new: str, text: str = SQUARED) -> str:
    """Return a text with one part replaced; the line with `#!` in it is where to complain."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def marked(text: str) -> int:
    """Return the line of the mark `#!`."""
    return text[: text.index("#!")].count("\n") + 1


def the_mistake(text: str, base: Path | None = None) -> str:
    """Return the only mistake of a text, without the place, which is checked."""
    mistakes = told(text, base)
    assert len(mistakes) == 1, mistakes
    place = f"s.toml:{marked(text)}: "
    assert mistakes[0].startswith(place), mistakes[0]
    return mistakes[0].removeprefix(place)
