"""Mistakes in a scenario: where they are, what is wrong, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""The path of a value in a scenario: keys, and positions in arrays of tables."""


class ScenarioError(ValueError):
    """A scenario cannot be used; `mistakes` holds every reason, one sentence each."""

    def __init__(self, *mistakes: str) -> None:
        self.mistakes = mistakes
        super().__init__(*mistakes)

    def __str__(self) -> str:
        return "\n".join(self.mistakes)


class UnplacedError(ScenarioError):
    """Mistakes that are found in a scenario after it was read, without file and line.

    `flowsim.scenario.reading.located` adds these.
    """

    def __init__(self, *found: Mistake) -> None:
        super().__init__(*map(str, found))
        self.found = found


@dataclass(frozen=True)
class Mistake:
    """One mistake: the path of the key, and `what is wrong; what to write`."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.text}"


def mistake_at(key: str, text: str) -> Mistake:
    """Return the mistake `text` at a dotted key such as `"flow.rtol"`."""
    return Mistake(tuple(key.split(".")), text)


def complaint(detail: Mapping[str, Any]) -> str:
    """Return an error of pydantic as a sentence with its key."""
    # tags of unions, such as "<Spectrum>", are no keys of the scenario
    key = dotted(tuple(part for part in detail["loc"] if not str(part).startswith("<")))
    match detail["type"]:
        case "missing":
            text = "is missing"
        case "extra_forbidden":
            text = "unknown key"
        case "value_error":
            text = str(detail["ctx"]["error"])
        case _:
            required = detail["msg"].removeprefix("Input should be ")
            text = f"is {format_value(detail['input'])}, but required is: {required}"
    return f"{key}: {text}"


def dotted(path: Path) -> str:
    """Write a path as a dotted key: `("claims", 0, "below")` is `claims[0].below`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + printable(part)
    return text


def printable(text: str, limit: int = 80) -> str:
    """Return a string from a file so that it can be printed: no control characters, not long."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_value(value: object) -> str:
    """Return a value in a few words, for `is …, but … is required`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{printable(value)}"'
    # Python does not print integers of thousands of digits
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer beyond all bounds"
    if isinstance(value, int | float):
        return repr(value)
    words = {"NoneType": "nothing", "dict": "a table", "list": "an array", "tuple": "an array"}
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return words.get(kind, f"{article} {kind}")


def alternatives(names: Iterable[str]) -> str:
    """Write names as `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
