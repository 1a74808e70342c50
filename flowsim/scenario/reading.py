"""Scenario files -> Scenario, or every mistake at once with its line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from flowsim.scenario.digest import resolve_files
from flowsim.scenario.former import with_present_keys, with_present_places
from flowsim.scenario.overrides import set_path
from flowsim.scenario.plugins import load_plugins
from flowsim.scenario.spec.errors import Mistake, ScenarioError, UnplacedError, dotted, printable
from flowsim.scenario.spec.plain import plain
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.toml.large import parse
from flowsim.scenario.toml.layout import Layout, LimitError, scan
from flowsim.scenario.validate.examine import Rules, find_mistakes, single_keys

BASIC = Rules()
"""The rules that need no registry of diagnostics or figures."""

OVERRIDE = "override"
"""What overrides are called in error messages, where they are not those of `--set`."""


@dataclass(frozen=True)
class Source:
    """Where the values of a scenario come from, for messages.

    Attributes
    ----------
    name, layout
        The name of a text and the lines of its keys; no layout for values made in Python.
    origin
        What gave the overrides.

    """

    name: str = ""
    layout: Layout | None = None
    origin: str = OVERRIDE


LARGEST = 16 * 2**20
"""The most bytes that a scenario file can have."""

_LONG_INTEGER = re.compile(r"[0-9_]{1000}")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(
    path: Path | str,
    overrides: Mapping[str, Any] | None = None,
    rules: Rules = BASIC,
    origin: str = OVERRIDE,
) -> Scenario:
    """Return the scenario of a file, with dotted keys replaced by `overrides`.

    Mistakes in these are reported as those of `origin`. `rules` are checked too;
    `flowsim.experiment.plan.reading.read` checks all of them.

    Raises
    ------
    ScenarioError
        If the file cannot be read or is not a scenario; with every mistake as
        `file:line: key: what is wrong; what to write`.

    """
    if not isinstance(path, str | PathLike):
        raise ValueError(f"path must be a path, a string or Path, but is {path!r}.")
    path, name = Path(path), printable(str(path), 300)
    try:
        with path.open("rb") as stream:
            # one byte more than allowed shows that a file is too large, without reading all of it
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise ScenarioError(f"{name}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise ScenarioError(f"{name}: is not a file name") from None
    text, base = _decoded(content, name), path.absolute().parent
    return from_toml(text, str(path), base, overrides, rules, origin)


@contextmanager
def located(
    path: Path, overrides: Mapping[str, Any] | None = None, origin: str = OVERRIDE
) -> Iterator[None]:
    """Add file and line to mistakes that are found in a scenario after it was read from `path`."""
    try:
        yield
    except UnplacedError as error:
        name = printable(str(path), 300)
        try:
            layout = with_present_places(scan(path.read_text("utf-8-sig")))
        except (OSError, ValueError):  # it has changed since: the first line stands for all
            layout = Layout("")
        source = Source(name, layout, origin)
        placed = [_placed(mistake, source, overrides or {}) for mistake in error.found]
        raise ScenarioError(*(text for _, text in sorted(placed))) from None


def from_toml(
    text: str,
    name: str = "<text>",
    base: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    rules: Rules = BASIC,
    origin: str = OVERRIDE,
) -> Scenario:
    """Return the scenario that a TOML text defines.

    Parameters
    ----------
    text
        The text of a scenario file.
    name
        What the text is called in error messages.
    base
        The folder that data files are relative to; the current one if None.
    overrides
        Dotted keys and the values that replace those of the text.
    rules
        What the scenario must obey beyond the type and range of each key.
    origin
        What gave the overrides, for error messages.

    Raises
    ------
    ScenarioError
        With every mistake as `name:line: key: what is wrong; what to write`.

    """
    name = printable(name, 300)
    if len(text) > LARGEST:
        raise ScenarioError(_too_large(name))
    data, layout = _parsed(text, name)
    return from_data(data, base, overrides, rules, Source(name, layout, origin))


def from_data(
    data: Mapping[str, Any],
    base: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    rules: Rules = BASIC,
    source: Source | None = None,
) -> Scenario:
    """Return the scenario with these values, which come from a source, or from Python if None.

    Raises
    ------
    ScenarioError
        With every mistake, at its place in the file if there is one.

    """
    load_plugins()
    source = source or Source()
    overrides, wrong = _plain(overrides or {}, source.origin)
    data, unknown = _overridden(data, overrides, source.origin)
    values, mistakes = find_mistakes(resolve_files(data, base or Path.cwd()), rules)
    placed = [_placed(mistake, source, overrides) for mistake in mistakes]
    complaints = (
        wrong + unknown + [complaint for _, complaint in sorted(placed, key=lambda place: place[0])]
    )
    if complaints:
        raise ScenarioError(*dict.fromkeys(complaints))
    return Scenario.model_validate(values)


def _too_large(name: str) -> str:
    advice = "write large arrays to .npy files and name these"
    return f"{name}: is larger than {LARGEST // 2**20} MiB; {advice}"


def _decoded(content: bytes, name: str) -> str:
    if len(content) > LARGEST:
        raise ScenarioError(_too_large(name))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte {content[error.start]:#04x}"
        raise ScenarioError(
            f"{name}:{line}: is not a text in UTF-8 ({byte}); save it as UTF-8"
        ) from None


def _parsed(text: str, name: str) -> tuple[dict[str, Any], Layout]:
    # TOML allows CRLF; one kind of line end keeps positions simple
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        layout = scan(text)
        return with_present_keys(parse(layout)), with_present_places(layout)
    except LimitError as error:
        complaint = f"{name}:{error.line}: {error}"
    except tomllib.TOMLDecodeError as error:
        complaint = _syntax(str(error), name, text)
    except RecursionError:
        complaint = f"{name}:1: is nested too deep; no scenario needs that"
    except ValueError:  # Python converts no integers of thousands of digits
        match = _LONG_INTEGER.search(text)
        line = text.count("\n", 0, match.start()) + 1 if match else 1
        complaint = f"{name}:{line}: holds an integer beyond all bounds; write a smaller one"
    raise ScenarioError(complaint) from None


def _syntax(message: str, name: str, text: str) -> str:
    """Return the message for a text that is not TOML, with the line."""
    match = _TOML_PLACE.search(message)
    line = int(match[1]) if match and match[1] else text.rstrip().count("\n") + 1
    column = f" (column {match[2]})" if match and match[2] else " (end of the file)"
    reason = printable(_TOML_PLACE.sub("", message), 200)
    hint = 'write key = value, strings in "quotes", tables as [name]'
    return f"{name}:{line}: is no valid TOML: {reason}{column}; {hint}"


def _plain(overrides: Mapping[str, Any], origin: str) -> tuple[dict[str, Any], list[str]]:
    """Return overrides as values that a file can hold, and what is wrong with the others."""
    if not isinstance(overrides, Mapping):
        raise TypeError(
            f'overrides must be a mapping such as {{"flow.rtol": 1e-6}}, but is {overrides!r}.'
        )
    values: dict[str, Any] = {}
    wrong = []
    for key, value in overrides.items():
        try:
            if not isinstance(key, str):
                raise ValueError('is no key; write a string such as "flow.rtol"')
            values |= with_present_keys({key: plain(value)})
        except ValueError as error:
            wrong.append(f"{origin} {printable(str(key))}: {error}")
    return values, wrong


def _overridden(
    data: Mapping[str, Any], overrides: Mapping[str, Any], origin: str
) -> tuple[Mapping[str, Any], list[str]]:
    wrong = []
    for key, value in overrides.items():
        try:
            data = set_path(data, key, value)
        except ScenarioError as error:
            wrong += [f"{origin} {mistake}" for mistake in error.mistakes]
    return data, wrong


def _placed(mistake: Mistake, source: Source, overrides: Mapping[str, Any]) -> tuple[int, str]:
    """Return the line of a mistake, and the mistake with its place; overrides have line 0."""
    place = dotted(mistake.path)
    new_table = source.layout is not None and mistake.path[:1] not in source.layout.places
    for key, value in overrides.items():
        inside = f"{place}.".startswith(f"{key}.") or f"{key}.".startswith(f"{place}.")
        if inside or (new_table and key.startswith(f"{mistake.path[0]}.")):
            text = mistake.text if place == key else f"{place}: {mistake.text}"
            text += single_keys(key, value, mistake.text)
            return 0, f"{source.origin} {printable(key)}: {text}"
    if source.layout is None:
        return 0, str(mistake)
    line = source.layout.line(mistake.path)
    return line, f"{source.name}:{line}: {mistake}"


def check(scenario: Scenario, rules: Rules = BASIC) -> None:
    """Raise where the values of a scenario made in Python are inconsistent.

    Raises
    ------
    ScenarioError
        With every mistake as `key: what is wrong; what to write`.

    """
    _, mistakes = find_mistakes(dict(scenario), rules)
    if mistakes:
        raise ScenarioError(*map(str, mistakes))
