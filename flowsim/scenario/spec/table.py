"""The base of every table of a scenario: strict, frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast, get_args

from pydantic import BaseModel, ConfigDict


class InvalidValueError(AttributeError):
    """A value was read that is not valid, or missing though required."""


class Table(BaseModel):
    """One table of a scenario: strict types, finite numbers, no unknown keys, frozen."""

    model_config = ConfigDict(
        strict=True, allow_inf_nan=False, extra="forbid", frozen=True, defer_build=True
    )

    @classmethod
    def partial(cls, values: Mapping[str, Any]) -> Self:
        """Return a table that has only these valid values.

        Reading any other key raises `InvalidValueError`, so that a rule which needs it ends there,
        while all other rules still apply.
        """
        table = cast("Self", cls.model_construct())  # mypy's plugin for pydantic loses Self
        # model_construct sets defaults, which must not stand for values that are invalid
        vars(table).clear()
        vars(table).update(values)
        return table

    if not TYPE_CHECKING:  # a declared __getattr__ would hide misspelt attributes from mypy

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise InvalidValueError(name)
            return super().__getattr__(name)


FROM_PYTHON = "python"
"""The kind that stands for what no file can hold, which no message advises to write."""


def by_kind(union: Any) -> dict[str, type[Any]]:
    """Return the models of a union that is discriminated by `kind`, by their kinds."""
    models = get_args(get_args(union)[0])
    return {kind_of(model): model for model in models}


def kind_of(model: type[BaseModel]) -> str:
    """Return the one value that `kind` has in a model."""
    (kind,) = get_args(model.model_fields["kind"].annotation)
    return str(kind)
