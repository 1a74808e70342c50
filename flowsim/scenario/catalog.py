"""The named scenarios that come with flowsim."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path


class CatalogError(Exception):
    """There is no such scenario; the text is a sentence for the user."""


def folder() -> Path:
    """Return the folder of the named scenarios: in the package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    packaged = package / "scenarios"
    return packaged if packaged.is_dir() else package.parent / "scenarios"


def names() -> list[str]:
    """Return the names of all scenarios of the catalog, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def titles() -> dict[str, str]:
    """Return the title of every scenario of the catalog by its name."""
    return {name: _title(path_of(name)) for name in names()}


def path_of(name: str) -> Path:
    """Return the path of the scenario called `name`."""
    return folder() / f"{name}.toml"


def resolve(name_or_file: str | os.PathLike[str]) -> Path:
    """Return the file of the scenario with this name in the catalog, or this path.

    Raises
    ------
    CatalogError
        If it is neither, naming what is near.

    """
    name = os.fspath(name_or_file)
    if name in names():
        return path_of(name)
    path = Path(name)
    try:
        if path.is_file():
            return path
        is_folder = bool(name) and path.is_dir()
    except OSError as error:
        raise CatalogError(f"Cannot read {name!r}: {error.strerror or error}.") from error
    if is_folder:
        inner = path / "scenario.toml"
        hint = f"; write {str(inner)!r}" if inner.is_file() else ""
        raise CatalogError(f"A scenario is a .toml file, but {name!r} is a folder{hint}.")
    raise CatalogError(_unknown(name))


def _unknown(name: str) -> str:
    if name.endswith(".toml") or "/" in name:
        return f"There is no file {name!r}."
    from difflib import get_close_matches

    near = get_close_matches(name[:100], names(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "`flowsim list` shows all."
    return f"There is no scenario called {name!r}, and no such file; {hint}"


_FIRST_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


def _title(path: Path) -> str:
    """Return a scenario's title, parsing only the text above the first table."""
    text = path.read_text(encoding="utf-8")
    try:
        head = tomllib.loads(_FIRST_TABLE.split(text, maxsplit=1)[0])
    # a "[" at the start of a line within a string is not a table
    except tomllib.TOMLDecodeError:
        head = tomllib.loads(text)
    return str(head["title"])
