"""Scenario -> TOML as written by hand: one line per matrix row, small tables inline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowsim.scenario.digest import as_data, rename_files
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.toml.values import assignment


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
