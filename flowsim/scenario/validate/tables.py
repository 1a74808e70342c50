"""One table: every mistake in it, and the values that are valid nevertheless."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from flowsim.scenario.spec.errors import Mistake, alternatives, format_value
from flowsim.scenario.spec.scenario import options
from flowsim.scenario.spec.table import Table, kind_of
from flowsim.scenario.validate.keys import not_known, unknown_key
from flowsim.scenario.validate.wording import describe_errors, example


def validated(
    models: tuple[type[Table], ...], data: object, name: str
) -> tuple[Table | None, list[Mistake]]:
    """Return the valid part of a table, and what is wrong with the rest (paths within it).

    `models` are the table's one model, or those of its kinds. The valid part is None where the kind
    is not valid, because the kind determines the model.
    """
    if isinstance(data, models):
        return data, []
    blank = models[0].partial({}) if len(models) == 1 else None
    if not isinstance(data, Mapping):
        text = f"is {format_value(data)}, but a table is required; write {{ … }}, or [{name}]"
        return blank, [Mistake((), text)]
    if blank is not None:
        return _valid_part(models[0], data, name)
    # several models: `kind` decides which one applies
    kinds = {kind_of(model): model for model in models}
    kind = data.get("kind")
    if isinstance(kind, str) and kind in kinds:
        return _valid_part(kinds[kind], data, name)
    quoted = alternatives(f'"{known}"' for known in kinds)
    text = not_known(kind, kinds) if "kind" in data else f"is missing; write kind = {quoted}"
    return None, [Mistake(("kind",), text), *_mistakes_of_values(kinds, data, name)]


def _valid_part(
    model: type[Table], data: Mapping[str, Any], name: str
) -> tuple[Table, list[Mistake]]:
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        wrong = describe_errors(model, error, name)
    invalid = {str(mistake.path[0]) for mistake in wrong}
    kept = {key: data[key] for key in model.model_fields if key in data and key not in invalid}
    # pydantic returns nothing of an invalid table: validate it again with examples as stand-ins
    missing = {key for key, field in model.model_fields.items() if field.is_required()} - set(kept)
    whole = model.model_validate(kept | {key: example(model, key) for key in missing})
    return model.partial({k: v for k, v in whole if k not in invalid | missing}), wrong


def _mistakes_of_values(
    kinds: Mapping[str, type[Table]], data: Mapping[str, Any], name: str
) -> list[Mistake]:
    """Return what is wrong with the values of a table of unknown kind.

    Each is judged by the first kind that has its key.
    """
    wrong: list[Mistake] = []
    rest = {str(key): value for key, value in data.items() if key != "kind"}
    for kind, model in kinds.items():
        values = {key: rest.pop(key) for key in list(rest) if key in model.model_fields}
        _, found_wrong = _valid_part(model, {"kind": kind, **values}, name)
        wrong += [mistake for mistake in found_wrong if mistake.path[0] in values]
    siblings = list(options(name))
    return wrong + [Mistake((key,), unknown_key(key, siblings, name)) for key in rest]
