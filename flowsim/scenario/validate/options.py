"""The rule for options that only some kinds take: wanted there, refused elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowsim.scenario.spec.errors import Mistake, listed, wrong
from flowsim.scenario.toml.writing import assignment
from flowsim.scenario.validate.partial import known

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Option:
    """A key that only the kinds in `kinds` use; `needed` says whether these cannot do without."""

    key: str
    kinds: tuple[str, ...]
    needed: bool = True


def fitting(
    table: str, section: BaseModel, kind: str, options: tuple[Option, ...]
) -> Iterator[Mistake]:
    """Yield each option that `kind` lacks, and each that it does not use."""
    for option in options:
        if not known(section, option.key):
            continue
        given = getattr(section, option.key) is not None
        place = f"{table}.{option.key}"
        if given and kind not in option.kinds:
            users = listed(f'"{name}"' for name in option.kinds)
            yield wrong(place, f'is not used by kind = "{kind}", only by {users}; remove it')
        if option.needed and not given and kind in option.kinds:
            value = example(table, option.key)
            yield wrong(place, f'is missing, and kind = "{kind}" needs it; write {value}')


def example(table: str, key: str) -> str:
    """Return how a key can be written."""
    from flowsim.scenario.spec.scenario import SECTIONS

    return assignment(key, (SECTIONS[table].model_fields[key].examples or [None])[0])
