"""Former names of keys, which files and runs of earlier versions have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowsim.scenario.spec.errors import dotted
from flowsim.scenario.toml.layout import Layout, Place

RENAMED: Mapping[str, str] = {"descent.algorithm": "descent.rule"}
"""Present names of dotted keys by their former ones. Former names are read, and never written."""


def present(key: str) -> str:
    """Return the present name of a dotted key."""
    return RENAMED.get(key, key)


def with_present_keys(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the data of a scenario, or what replaces some of it, with present names of keys.

    A former name stays beside the present one, where it is then an unknown key.
    """
    renamed: dict[str, Any] = {}
    for key, value in data.items():
        full = f"{above}{key}"
        new = present(full).removeprefix(above)
        renamed[key if new in data else new] = _with_present_keys(value, full)
    return renamed


def _with_present_keys(value: Any, key: str) -> Any:
    """Return the value of a dotted key, with present names in tables and variants."""
    if isinstance(value, Mapping):
        return with_present_keys(value, f"{key}.")
    if key == "variant" and isinstance(value, list | tuple):
        return [_variant(entry) for entry in value]
    return value


def _variant(entry: Any) -> Any:
    """Return a variant, whose `set` has dotted keys."""
    if not (isinstance(entry, Mapping) and isinstance(entry.get("set"), Mapping)):
        return entry
    return {**entry, "set": with_present_keys(entry["set"])}


def with_present_places(layout: Layout) -> Layout:
    """Return the positions of a text's keys, found by their present names too."""
    places = dict(layout.places)
    for place, start in layout.places.items():
        places.setdefault(_present_place(place), start)
    return replace(layout, places=places)


def _present_place(place: Place) -> Place:
    *parents, last = place
    if parents[:1] == ["variant"]:  # ("variant", i, "set", dotted key)
        return (*parents, present(str(last)))
    full = dotted(place)
    return tuple(present(full).split(".")) if full in RENAMED else place
