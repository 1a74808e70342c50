"""The keys of a scenario, and the nearest one to an unknown key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, get_args

from flowsim.scenario.former import present
from flowsim.scenario.spec.errors import alternatives, format_value
from flowsim.scenario.spec.scenario import SECTIONS, Scenario, options
from flowsim.scenario.spec.table import Table


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like `name`, if any is."""
    from difflib import get_close_matches

    if len(name) > 100:
        return None
    close = get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def not_known(value: object, names: Iterable[str]) -> str:
    """Return the message for a value that is none of the names, with the nearest of them."""
    near = nearest(str(value), names)
    hint = f'; did you mean "{near}"? Known are ' if near else "; write one of "
    return f"is {format_value(value)}, which is not known{hint}{alternatives(names)}"


def unknown_key(key: str, siblings: list[str], table: str) -> str:
    """Return the message for an unknown key of `table`, with the nearest known key."""
    former = f"{table}.{key}"
    if (new := present(former)) != former:
        return f"is the former name of {new}; write that one alone"
    elsewhere = [known for known in known_keys() if known.rpartition(".")[2] == key]
    if elsewhere:
        return f"unknown key here; did you mean {alternatives(elsewhere)}"
    prefix = f"{table}." if table else ""
    near = nearest(key, siblings)
    if near:
        return f"unknown key; did you mean {prefix}{near}"
    return f"unknown key; known here are {alternatives(siblings)}"


def nearest_key(key: str) -> str | None:
    """Return a known dotted key with the last part of `key`, or else the one most like it."""
    last = key.rpartition(".")[2]
    same = (name for name in known_keys() if name.rpartition(".")[2] == last)
    return next(same, None) or nearest(key, known_keys())


@cache
def known_keys() -> tuple[str, ...]:
    """Return every dotted key of a scenario, those of tables in place of arrays included."""
    fields = {f"{name}.{key}": field for name in SECTIONS for key, field in options(name).items()}
    forms = [
        f"{key}.{inner}"
        for key, field in fields.items()
        for form in _tables(field.annotation)
        for inner in form.model_fields
    ]
    return tuple(dict.fromkeys([*Scenario.model_fields, *fields, *forms]))


def _tables(annotation: Any) -> Iterator[type[Table]]:
    """Yield the models in an annotation, which are the forms of a table in place of an array."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for part in get_args(annotation):
        yield from _tables(part)
