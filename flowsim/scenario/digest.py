"""The data files that a scenario names: found, renamed for a copy, and hashed with the scenario."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsim.scenario.spec.errors import ScenarioError, printable

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def as_data(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as plain data, without what is left out."""
    return scenario.model_dump(exclude_none=True)


def map_files(data: Any, change: Callable[[str | Path], Any]) -> Any:
    """Return plain data in which every file name `file = "…"` went through `change`."""
    if isinstance(data, Mapping):
        return {
            key: change(value)
            if key == "file" and isinstance(value, str | Path)
            else map_files(value, change)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple) and data and isinstance(data[0], Mapping):
        return [map_files(entry, change) for entry in data]
    return data


def resolve_files(data: Any, base: Path) -> Any:
    """Return plain data with every file name taken relative to the folder `base`."""
    return map_files(data, lambda file: str(base / file) if str(file) else file)


def _names(data: Any) -> dict[str, Path]:
    """Name each data file as it is, or with a number where two have one name."""
    files: list[Path] = []
    map_files(data, lambda file: files.append(Path(file).absolute()))
    names: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        name, number = file.name, 2
        # some file systems do not distinguish case
        while name.lower() in (other.lower() for other in names):
            name, number = f"{file.stem}-{number}{file.suffix}", number + 1
        names[name] = file
    return names


def data_files(scenario: Scenario) -> dict[str, Path]:
    """Return the data files that a scenario reads, by a unique name for each copy."""
    return _names(as_data(scenario))


def rename_files(data: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return plain data with its file names replaced by those of their copies in `folder`."""
    by_path = {path: name for name, path in _names(data).items()}
    renaming: dict[str, Any] = map_files(
        data, lambda file: f"{folder}/{by_path[Path(file).absolute()]}"
    )
    return renaming


PACKAGE = Path(__file__).parents[1]
"""The folder of flowsim's sources."""


@cache
def sources_digest() -> str:
    """Return the SHA-256 of flowsim's sources: of the names and bytes of its files.

    Several versions of the sources of a checkout have one version number. The files are read once
    per process, in 10 ms: files edited while it runs are not what it computes with.
    """
    paths = sorted(
        Path(folder, name)
        for folder, _, names in os.walk(PACKAGE)
        for name in names
        if name.endswith((".py", ".npz")) and not name.startswith(".")
    )
    total = hashlib.sha256()
    for path in paths:
        name = path.relative_to(PACKAGE).as_posix()
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def digest(scenario: Scenario) -> str:
    """Return the SHA-256 that identifies a scenario's results.

    It is that of flowsim's version and sources, all values with their defaults, and the bytes of
    data files.
    """
    import json

    from flowsim import __version__

    data = map_files(as_data(scenario), _content)
    text = json.dumps([__version__, sources_digest(), data], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _content(file: str | Path) -> str:
    """Return the entry of a data file in the digest: its suffix and the hash of its bytes."""
    total = hashlib.sha256()
    try:
        with Path(file).open("rb") as stream:
            # in blocks: data files may be larger than memory
            for block in iter(partial(stream.read, 1 << 20), b""):
                total.update(block)
    except OSError as error:
        raise ScenarioError(
            f"{printable(str(file), 300)}: cannot be read: {error.strerror}"
        ) from None
    return f"{Path(file).suffix} {total.hexdigest()}"
