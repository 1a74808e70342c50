"""Scenario -> TOML as written by hand: one line per matrix row, small tables inline."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowsim.scenario.digest import as_data, rename_files
from flowsim.scenario.spec.scenario import Scenario

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(scenario: Scenario, data_folder: str | None = None) -> str:
    """Return a scenario as the text of a scenario file, with all defaults written out.

    With `data_folder` the data files are named as in `flowsim.scenario.digest.data_files`, in that
    folder.
    """
    data = as_data(scenario)
    if data_folder is not None:
        data = rename_files(data, data_folder)
    tables = {name: data.pop(name) for name in list(data) if isinstance(data[name], dict)}
    items = {name: data.pop(name, []) for name in ("variant", "claims")}
    blocks = [_block("", data)]
    blocks += [_block(f"[{name}]", table) for name, table in tables.items()]
    for name, entries in items.items():
        blocks += [_block(f"[[{name}]]", entry) for entry in entries]
    return "\n".join(blocks)


def _block(header: str, table: Mapping[str, Any]) -> str:
    lines = [header] if header else []
    lines += [assignment(name, value) for name, value in table.items()]
    return "\n".join(lines) + "\n"


def assignment(name: str, value: Any) -> str:
    """Return `key = value`, with one line per row of an array of arrays."""
    rows = isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], list | tuple)
    if rows and sum(map(len, value)) > 8:
        body = "".join(f"    {format_toml(row)},\n" for row in value)
        return f"{format_key(name)} = [\n{body}]"
    return f"{format_key(name)} = {format_toml(value)}"


def format_key(name: str) -> str:
    """Return a key, quoted where it must be."""
    return name if _BARE.fullmatch(name) else format_toml(name)


def format_toml(value: Any) -> str:
    """Return a TOML value on one line."""
    # before int, of which bool is a subclass
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        # strings of JSON are strings of TOML, but for DEL, which TOML requires to be escaped
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{format_key(name)} = {format_toml(entry)}" for name, entry in value.items()
        )
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_toml, value))}]"
    raise TypeError(f"A scenario holds no {type(value).__name__}.")
