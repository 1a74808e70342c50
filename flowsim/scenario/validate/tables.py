"""One table: its valid values, and each error of pydantic as a sentence.

A sentence states what is wrong; what to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from flowsim.scenario.spec.claim import At
from flowsim.scenario.spec.errors import Mistake, alternatives, format_value
from flowsim.scenario.spec.forms import FORMS
from flowsim.scenario.spec.scenario import SECTIONS, Head, Scenario, options
from flowsim.scenario.spec.table import FROM_PYTHON, Table, kind_of
from flowsim.scenario.toml.writing import assignment, format_toml
from flowsim.scenario.validate.keys import not_known, unknown_key

MOST = 200
"""The largest number of mistakes reported per table."""

_TYPES = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SLUG = "letters, digits, dots, dashes and underscores, a letter or digit first"


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
    offered = [known for known in kinds if known != FROM_PYTHON]
    quoted = alternatives(f'"{known}"' for known in offered)
    text = not_known(kind, offered) if "kind" in data else f"is missing; write kind = {quoted}"
    return None, [Mistake(("kind",), text), *_mistakes_of_values(kinds, data, name)]


def _valid_part(
    model: type[Table], data: Mapping[str, Any], name: str
) -> tuple[Table, list[Mistake]]:
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        wrong = _describe(model, error, name)
    invalid = {str(mistake.path[0]) for mistake in wrong}
    kept = {key: data[key] for key in model.model_fields if key in data and key not in invalid}
    # pydantic returns nothing of an invalid table: validate it again with examples as stand-ins
    missing = {key for key, field in model.model_fields.items() if field.is_required()} - set(kept)
    whole = model.model_validate(kept | {key: _example(model, key) for key in missing})
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


def _example(model: type[Table], key: str) -> Any:
    """Return a valid value of a key, for advice."""
    return (model.model_fields[key].examples or [None])[0]


def _describe(model: type[Table], error: ValidationError, table: str) -> list[Mistake]:
    """Return the errors of pydantic in a table of this name, one mistake per key."""
    result: dict[tuple[str, ...], Mistake] = {}
    details = error.errors(include_url=False)
    for detail in details[:MOST]:
        path, place = _split(detail["loc"])
        # pydantic may report several errors at one key: the first is the most basic
        result.setdefault(path, Mistake(path, place + _text(model, table, path, detail)))
    if len(details) > MOST:
        more = f"is wrong, and so are {len(details) - MOST} further keys of this table"
        result[path] = Mistake(path, more)
    return list(result.values())


def _split(loc: tuple[int | str, ...]) -> tuple[tuple[str, ...], str]:
    """Split a location into the key's path and words for the place in its array."""
    # tags of unions, such as "<Spectrum>", are no keys of the file
    parts = [part for part in loc if not str(part).startswith("<")]
    keys: list[str] = []
    for part in parts:
        if isinstance(part, int):
            break
        keys.append(part)
    items = [str(part + 1) for part in parts[len(keys) :] if isinstance(part, int)]
    return tuple(keys), f"item {', '.join(items)} " if items else ""


def _text(model: type[Table], table: str, path: tuple[str, ...], detail: ErrorDetails) -> str:
    kind, value, key = detail["type"], detail["input"], path[-1]
    owner = _owner(model, detail["loc"])
    of_kind = f'kind = "{kind_of(model)}"' if len(SECTIONS.get(table, ())) > 1 else ""
    if kind == "extra_forbidden":
        inside = ".".join(part for part in (table, *path[:-1]) if part)
        if of_kind and len(path) == 1 and (users := _kinds_with(table, key)):
            return f"is not used by {of_kind}, only by {alternatives(users)}; remove it"
        return unknown_key(key, _siblings(owner, table, path), inside)
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    write = f"; write {assignment(key, _example(owner, key))}"
    if kind == "missing":
        needed = f", and {of_kind} needs it" if of_kind and len(path) == 1 else ""
        return f"is missing{needed}{write}"
    text = _sentence(kind, value, detail.get("ctx", {}), key)
    return text if ";" in text else text + write


def _owner(model: type[Table], loc: tuple[int | str, ...]) -> type[Table]:
    """Return the model that a location's last key belongs to."""
    if "at" in loc[:-1]:
        return At
    forms = {f"<{form.__name__}>": form for form in FORMS.values()}
    return next((forms[part] for part in loc[:-1] if part in forms), model)


def _siblings(owner: type[Table], table: str, path: tuple[str, ...]) -> list[str]:
    """Return the keys that can stand beside the last one of a path in a table."""
    if owner is Head:
        return list(Scenario.model_fields)
    return list(options(table) if table in SECTIONS and len(path) == 1 else owner.model_fields)


def _kinds_with(table: str, key: str) -> list[str]:
    """Return the kinds of a table that have a key, in quotation marks."""
    return [f'"{kind_of(model)}"' for model in SECTIONS[table] if key in model.model_fields]


def _sentence(kind: str, value: Any, context: dict[str, Any], key: str) -> str:
    """Return what is wrong with a value, by the kind of pydantic's error and its context."""
    match kind:
        case "finite_number":
            return f"is {format_value(value)}, but must be finite"
        case _ if kind in _TYPES:
            return f"is {format_value(value)}, but {_TYPES[kind]} is required"
        case _ if kind in _BOUNDS:
            words, name = _BOUNDS[kind]
            why = " (100 float64 eps, below which rounding makes the error)"
            reason = why if (key, name) == ("rtol", "ge") else ""
            return f"is {format_value(value)}, but must be {words} {context[name]}{reason}"
        case "literal_error":
            # pydantic lists literals in one string: 'a', 'b' or 'c'
            listed = context["expected"].replace(" or ", ", ").split(", ")
            names = [name.strip("'") for name in listed]
            return not_known(value, [name for name in names if name != FROM_PYTHON])
        case "union_tag_invalid" | "union_tag_not_found":
            names = [tag.strip("'<>") for tag in context.get("expected_tags", "").split(", ")]
            return f"is {format_value(value)} of no known form; write {alternatives(_forms(names))}"
        case "string_pattern_mismatch":
            return f"is {format_value(value)}; write {_SLUG}"
        case "too_short":
            return f"has {context['actual_length']} entries, but needs {context['min_length']}"
        case "too_long":
            return f"has more than {context['max_length']} entries"
        case "string_too_long":
            return f"is longer than {context['max_length']} characters"
    return f"is {format_value(value)}, which cannot be used"


def _forms(names: list[str]) -> list[str]:
    """Return how each form of a union is written."""
    models = {model.__name__: model for model in FORMS.values()}
    known = [models[name] for name in names if name in models]
    tables = [
        {key: _example(model, key) for key, f in model.model_fields.items() if f.is_required()}
        for model in known
    ]
    array = "an array of numbers" if "StepSizeRange" in names else "an array of rows"
    return [array, *map(format_toml, tables)]
