"""Replacing keys of a scenario: `--set flow.rtol=1e-6`, and variants as their own scenarios."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from flowsim.scenario.spec.errors import ScenarioError, format_value, printable
from flowsim.scenario.spec.flow import EXCLUSIVE
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.validate.keys import known_keys, nearest_key

REPLACED = {"flow.times": EXCLUSIVE, "flow.horizon": ("times",)}
"""Keys of the same table that a key replaces, as two ways to give one thing."""


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `"flow.method=tsit5"` into the key and its value.

    The value is read as TOML if possible, else as a string: a bare word needs no quotes.

    Raises
    ------
    ScenarioError
        If there is no `=`, or no key before it.

    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        advice = "write KEY=VALUE, such as flow.rtol=1e-6"
        raise ScenarioError(f"--set {printable(text)}: is no assignment; {advice}")
    return key.strip(), parse_value(value.strip())


def parse_value(text: str) -> Any:
    """Return the TOML value that a text is, or the text itself if it is not TOML."""
    from flowsim.scenario.toml.layout import LimitError, scan

    try:
        scan(f"value = {text}")
        data = tomllib.loads(f"value = {text}")
    except (LimitError, ValueError, RecursionError):
        return text
    # a text with a line end could define further keys; then it is meant as a string
    return data["value"] if list(data) == ["value"] else text


def set_path(data: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a scenario's data with one dotted key replaced; `data` is not changed.

    Raises
    ------
    ScenarioError
        If the key is not known, naming the nearest one, or leads into what is not a table.

    """
    complaint = key_problem(key)
    if complaint:
        raise ScenarioError(f"{printable(key)}: {complaint}")
    return replace_key(data, key, value)


def key_problem(key: str, *, in_variant: bool = False) -> str | None:
    """Return what is wrong with a dotted key, or None."""
    if in_variant and key.partition(".")[0] in ("variant", "claims"):
        return "cannot be varied; remove it"
    if key in known_keys():
        return None
    near = nearest_key(key)
    return f"unknown key; did you mean {near}" if near else "unknown key; see `flowsim schema`"


def replace_key(data: Mapping[str, Any], key: str, value: Any, above: str = "") -> dict[str, Any]:
    """Return data with a known dotted key replaced, tables made where there were none.

    `above` is the dotted key of `data` itself, for error messages.
    """
    first, _, rest = key.partition(".")
    if not rest:
        replaced = REPLACED.get(f"{above}{first}", ())
        return {**{k: v for k, v in data.items() if k not in replaced}, first: value}
    inner = data.get(first)
    if isinstance(inner, BaseModel):
        inner = inner.model_dump(exclude_none=True)
    if inner is None:
        inner = {}
    if not isinstance(inner, Mapping):
        text = f"{above}{first} is {format_value(inner)}, not a table; replace it as a whole"
        raise ScenarioError(f"{above}{key}: {text}")
    return {**data, first: replace_key(inner, rest, value, f"{above}{first}.")}


def variants(scenario: Scenario) -> dict[str, Scenario]:
    """Return each variant as its own scenario, without variants and claims."""
    base = without_variants(dict(scenario))
    return {
        variant.name: Scenario.model_validate(apply_changes(base, variant.set))
        for variant in scenario.variant
    }


def without_variants(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario's data without variants and claims."""
    return {key: value for key, value in data.items() if key not in ("variant", "claims")}


def apply_changes(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return data with dotted keys replaced, in the order given."""
    result = dict(data)
    for key, value in changes.items():
        result = replace_key(result, key, value)
    return result
