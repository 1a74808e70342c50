"""The JSON Schema accepts what is read, describes every key, and refuses plain errors."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from scenario_texts import REGRESSION, SQUARED, spoilt

from flowsim.experiment.plan.reading import from_toml, json_schema
from flowsim.scenario.spec.claim import At
from flowsim.scenario.spec.forms import FORMS
from flowsim.scenario.spec.scenario import ITEMS, SECTIONS, Head
from flowsim.scenario.toml.writing import dumps

SCHEMA = json_schema()
SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.toml"))
KINDS = {
    "object": lambda x: isinstance(x, dict),
    "array": lambda x: isinstance(x, list),
    "string": lambda x: isinstance(x, str),
    "boolean": lambda x: isinstance(x, bool),
    "null": lambda x: x is None,
    "integer": lambda x: isinstance(x, int) and not isinstance(x, bool),
    "number": lambda x: isinstance(x, int | float) and not isinstance(x, bool),
}
KNOWN = {
    "type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems",
    "maxItems", "enum", "const", "anyOf", "oneOf", "$ref", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "pattern", "maxLength", "description", "title",
    "default", "examples", "$defs", "$schema", "format", "discriminator",
}  # fmt: skip


def accepts(schema: Any, value: Any) -> bool:
    """Say whether a value satisfies a schema, in the part of JSON Schema that ours uses."""
    if isinstance(schema, bool):
        return schema
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return accepts(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value)
    return all(
        (
            "type" not in schema or KINDS[schema["type"]](value),
            "enum" not in schema or value in schema["enum"],
            "const" not in schema or value == schema["const"],
            "anyOf" not in schema or any(accepts(s, value) for s in schema["anyOf"]),
            "oneOf" not in schema or sum(accepts(s, value) for s in schema["oneOf"]) == 1,
            not isinstance(value, dict) or _accepts_table(schema, value),
            not isinstance(value, list) or _accepts_array(schema, value),
            not isinstance(value, str) or _accepts_string(schema, value),
            not KINDS["number"](value) or _accepts_number(schema, value),
        )
    )


def _accepts_table(schema: Any, value: dict[str, Any]) -> bool:
    named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    return set(schema.get("required", ())) <= set(value) and all(
        accepts(named.get(key, others), entry) for key, entry in value.items()
    )


def _accepts_array(schema: Any, value: list[Any]) -> bool:
    first = schema.get("prefixItems", [])
    rest = schema.get("items", True)
    schemas = [first[i] if i < len(first) else rest for i in range(len(value))]
    fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
    return fits and all(map(accepts, schemas, value))


def _accepts_string(schema: Any, value: str) -> bool:
    return bool(re.search(schema.get("pattern", ""), value)) and len(value) <= schema.get(
        "maxLength", 10**9
    )


def _accepts_number(schema: Any, value: float) -> bool:
    return schema.get("minimum", value) <= value <= schema.get("maximum", value) and schema.get(
        "exclusiveMinimum", -inf
    ) < value < schema.get("exclusiveMaximum", inf)


EXTRAS = """
[output]
end_to_end = 10
plane = [[0, 0], [1, 1]]
figure = "loss"

[[variant]]
name = "depth-2"
set = { "network.widths" = [4, 6, 3], flow = { horizon = 3 } }

[[claims]]
quantity = "depth-2/end_to_end.singular_values"
at = { mode = 0 }
equals = 3
within = 0.1
"""
TARGET = "{ spectrum = [3, 2, 1] }"
GOOD = {
    "squared": SQUARED,
    "extras": SQUARED + EXTRAS,
    "regression": REGRESSION,
    "array": spoilt(TARGET, "[[1, 2, 3, 4.5], [0, 0, 0, 0], [0, 0, 0, 0]]"),
    "rank": spoilt(TARGET, "{ rank = 2, norm = 5 }"),
    "identity": spoilt(TARGET, "{ identity = -1 }"),
    "linear": spoilt('"squared"', '"linear"'),
    "completion": spoilt('"squared"', '"completion"\nobserved = { count = 3 }'),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_read_is_accepted(name: str) -> None:
    scenario = from_toml(GOOD[name])
    assert accepts(SCHEMA, tomllib.loads(GOOD[name]))
    assert accepts(SCHEMA, tomllib.loads(dumps(scenario)))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_named_scenarios_are_accepted(path: Path) -> None:
    assert accepts(SCHEMA, tomllib.loads(path.read_text(encoding="utf-8")))


def test_file_references_are_accepted() -> None:
    data = tomllib.loads(SQUARED)
    data["loss"]["target"] = {"file": "phi.npz", "key": "Phi"}
    assert accepts(SCHEMA, data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("horizon = 6.0", "horizon = 0"),
        ("horizon = 6.0", "horizon = true"),
        ("horizon = 6.0", 'horizon = "6"'),
        ("horizon = 6.0", "horizon = 6.0\nrtoll = 1"),
        ("horizon = 6.0", 'horizon = 6.0\nmethod = "rk4"'),
        ("[4, 6, 5, 3]", "[4]"),
        ("[4, 6, 5, 3]", "[4, 0]"),
        (TARGET, "{ spectra = [1] }"),
        ('kind = "squared"\n', ""),
        ("[0.4, 0.1]", "0.4"),
    ],
)
def test_plain_errors_are_not(old: str, new: str) -> None:
    assert not accepts(SCHEMA, tomllib.loads(spoilt(old, new)))


MODELS: list[type[BaseModel]] = [
    Head,
    *chain.from_iterable(SECTIONS.values()),
    *ITEMS.values(),
    *FORMS.values(),
    At,
]


@pytest.mark.parametrize("model", dict.fromkeys(MODELS), ids=lambda model: model.__name__)
def test_every_key_has_a_description_and_an_example_that_is_valid(model: type[BaseModel]) -> None:
    for key, field in model.model_fields.items():
        assert field.description
        (example,) = field.examples
        required = {k: f.examples[0] for k, f in model.model_fields.items() if f.is_required()}
        model.model_validate(required | {key: example})


def test_the_schema_is_json_with_titles_and_descriptions() -> None:
    assert json.loads(json.dumps(SCHEMA))["title"] == "A flowsim scenario"
    for field in SCHEMA["properties"].values():
        assert field.get("description") or SCHEMA["$defs"][field["$ref"][8:]]["description"]
    assert SCHEMA["required"] == ["title", "network", "loss", "init", "flow"]
    assert SCHEMA["$defs"]["Flow"]["properties"]["samples"]["default"] == 200
