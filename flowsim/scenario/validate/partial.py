"""Tables of which only some values are valid, so that every other mistake is still found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from flowsim.scenario.spec.errors import Mistake, found
from flowsim.scenario.validate.wording import example, mistakes


class Unknown(Exception):  # noqa: N818  (a signal between checks, not an error)
    """A value that a rule needs is itself mistaken, so the rule cannot be applied."""


class View:
    """A table, or a whole scenario, that raises `Unknown` where a value is not valid.

    `instance` holds stand-ins for the values named in `unknown`; `parts` are views that stand for
    the tables of a scenario.
    """

    def __init__(
        self,
        instance: BaseModel,
        unknown: frozenset[str] = frozenset(),
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        self.instance = instance
        self.unknown = unknown
        self.parts = parts or {}

    def __getattr__(self, name: str) -> Any:
        if name in self.unknown:
            raise Unknown(name)
        if name in self.parts:
            return self.parts[name]
        if name in type(self.instance).model_fields:
            return getattr(self.instance, name)
        return getattr(type(self.instance), name).fget(self)


def known(section: object, name: str) -> bool:
    """Say whether a value of a section is valid, so that a rule may use it."""
    try:
        getattr(section, name)
    except Unknown:
        return False
    return True


def validated(model: type[BaseModel], data: object, table: str) -> tuple[View, list[Mistake]]:
    """Return what is valid of a table, and what is wrong with the rest (paths within it)."""
    if isinstance(data, model):
        return View(data), []
    if not isinstance(data, Mapping):
        text = f"is {found(data)}, but a table is wanted; write {{ … }} or a header for {table}"
        return View(model.model_construct(), frozenset(model.model_fields)), [Mistake((), text)]
    try:
        return View(model.model_validate(data)), []
    except ValidationError as error:
        wrong = mistakes(model, error, table)
    unknown = {str(mistake.path[0]) for mistake in wrong}
    kept = {key: data[key] for key in model.model_fields if key in data and key not in unknown}
    missing = {key for key, field in model.model_fields.items() if field.is_required()} - set(kept)
    stand_ins = {key: example(model, key) for key in missing}
    whole = model.model_validate(kept | stand_ins)
    return View(whole, frozenset(unknown | missing)), wrong
