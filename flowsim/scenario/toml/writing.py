"""Scenario -> TOML, laid out as one would by hand: matrices a row a line, small tables in place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowsim.scenario.digest import plain, renamed
from flowsim.scenario.spec.scenario import Scenario

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(scenario: Scenario, data_folder: str | None = None) -> str:
    """Return a scenario as the text of a scenario file, with all defaults written out.

    With `data_folder` the data files are named as in `flowsim.scenario.digest.data_files`, in that
    folder.
    """
    data = plain(scenario)
    if data_folder is not None:
        data = renamed(data, data_folder)
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
    """Return `key = value`, with an array of arrays written a row a line."""
    rows = isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], list | tuple)
    if rows and sum(map(len, value)) > 8:
        body = "".join(f"    {text(row)},\n" for row in value)
        return f"{key(name)} = [\n{body}]"
    return f"{key(name)} = {text(value)}"


def key(name: str) -> str:
    """Return a key, quoted where it must be."""
    return name if _BARE.fullmatch(name) else text(name)


def text(value: Any) -> str:
    """Return a TOML value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        import json

        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key(name)} = {text(entry)}" for name, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text, value))}]"
    raise TypeError(f"A scenario holds no {type(value).__name__}.")
