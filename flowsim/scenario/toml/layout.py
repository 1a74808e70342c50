"""The position of each key in a TOML text, found before it is parsed; and limits on such texts.

`tomllib` reports no positions, which error messages need, and nests without limit. One pass over
the text recognizes keys, strings, comments and brackets, but no values. It ends at the first error,
which the parser then reports.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field

Place = tuple[str | int, ...]

MAX_VALUES = 40_000
MAX_KEY_PARTS = 16
MAX_DEPTH = 64
MAX_STRING = 2**16
LARGE_ARRAY = 2**15

# Possessive quantifiers, *+ and ++, never backtrack: the time stays linear in any text.
_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_SPACE = re.compile(r"[ \t]*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_SCALAR = re.compile(r"[^\n,\[\]{}\"'#]*+")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*+"{3,5}'),
    re.compile(r"'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"),
    re.compile(r'"(?:[^"\\\n]++|\\[^\n])*+"'),
    re.compile(r"'[^'\n]*+'"),
)
_PLAIN = r"""[^\[\]{}"'#]"""
_ROW = rf"\[{_PLAIN}*+\]"
_MATRIX = rf"\[(?:{_PLAIN}++|{_ROW})*+\]"
_INNER = re.compile(_MATRIX)
_FLAT = re.compile(rf"(?:{_PLAIN}++|{_ROW}|{_MATRIX})*+")
"""Numbers, rows and matrices: all that an array can hold but strings, comments and tables."""


class LimitError(ValueError):
    """A text exceeds the limits at `line`."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True)
class Layout:
    """The positions of the keys of a text, and the ends of its large arrays."""

    text: str
    places: dict[Place, int] = field(default_factory=dict)
    arrays: list[tuple[Place, int, int]] = field(default_factory=list)

    def line(self, path: Place) -> int:
        """Return the line of a key, or of the table that it should be in; 1 if neither is found."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.text.count("\n", 0, self.places[path[:length]]) + 1
        return 1


def scan(text: str) -> Layout:
    """Find the keys of a TOML text.

    Raises
    ------
    LimitError
        If there are more or deeper keys and values than a scenario needs.

    """
    scanner = _Scanner(text)
    with suppress(_NotTomlError, tomllib.TOMLDecodeError):
        scanner.statements()
    return scanner.layout


class _NotTomlError(Exception):
    """The text is not TOML from this position on."""


class _Scanner:
    """A position in a text, and the keys before it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.layout = Layout(text)
        self.tables: dict[Place, int] = {}
        self.counted = 0

    def statements(self) -> None:
        """Go through headers and assignments to the end."""
        table: Place = ()
        while self.skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.assignment(table, 0)

    def header(self) -> Place:
        """Go through `[table]` or `[[table]]`, and return where what follows belongs."""
        start = self.at
        many = self.text.startswith("[[", start)
        self.at += 2 if many else 1
        place: Place = ()
        *parents, last = self.key()
        for part in parents:
            place = self.newest((*place, part))
        place = (*place, last)
        if many:
            # keys that follow belong to the newest entry of the array of tables
            self.tables[place] = self.tables.get(place, -1) + 1
            self.record(place, start)
            place = self.newest(place)
        self.expect("]]" if many else "]")
        self.layout.places[place] = start
        self.record(place, start)
        return place

    def newest(self, place: Place) -> Place:
        """Return the last entry of an array of tables, or the place itself."""
        return (*place, self.tables[place]) if place in self.tables else place

    def assignment(self, table: Place, depth: int) -> None:
        """Go through `key = value`."""
        start = self.at
        place = (*table, *self.key())
        self.record(place, start)
        self.expect("=")
        self.skip(_SPACE)
        begin = self.at
        self.value(place, depth)
        if self.text.startswith("[", begin) and self.at - begin >= LARGE_ARRAY:
            self.layout.arrays.append((place, begin, self.at))

    def key(self) -> list[str]:
        """Go through a dotted key and return its parts."""
        parts: list[str] = []
        while True:
            self.skip(_SPACE)
            parts.append(self.key_part())
            self.count()
            if len(parts) > MAX_KEY_PARTS:
                raise self.refusal(f"a key of more than {MAX_KEY_PARTS} parts; no key is that deep")
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def key_part(self) -> str:
        begin = self.at
        if self.text[begin : begin + 1] in ('"', "'"):
            self.string()
            # the parser resolves escapes
            return str(tomllib.loads(f"k = {self.text[begin : self.at]}")["k"])
        self.skip(_BARE_KEY)
        if self.at == begin:
            raise _NotTomlError
        return self.text[begin : self.at]

    def value(self, place: Place, depth: int) -> None:
        """Go through any value."""
        if depth > MAX_DEPTH:
            raise self.refusal(f"values nested more than {MAX_DEPTH} deep; no scenario needs that")
        start = self.at
        first = self.text[start : start + 1]
        self.count()
        if first == "[":
            self.array(place, depth + 1)
        elif first == "{":
            self.table(place, depth + 1)
        elif first in ('"', "'"):
            self.string()
        elif self.skip(_SCALAR) - start > MAX_STRING:
            raise self.refusal(f"a value of more than {MAX_STRING} characters")
        elif not first:
            raise _NotTomlError

    def array(self, place: Place, depth: int) -> None:
        """Go through an array; tables in it are found by their position."""
        self.at += 1
        index = 0
        while True:
            begin = self.at
            self.skip(_FLAT)
            first = self.text[self.at : self.at + 1]
            if first == "]":
                self.at += 1
                return
            # commas within inner arrays do not separate entries of this one
            index += _INNER.sub("", self.text[begin : self.at]).count(",")
            if first == "#":
                self.count()
                self.skip(_BLANK)
            elif first and first != "}":
                self.value((*place, index), depth)
            else:
                raise _NotTomlError

    def table(self, place: Place, depth: int) -> None:
        """Go through an inline table."""
        self.record(place, self.at)
        self.at += 1
        while True:
            self.skip(_BLANK)
            if self.text.startswith("}", self.at):
                self.at += 1
                return
            self.assignment(place, depth)
            self.skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1

    def string(self) -> None:
        """Go through a string of any of the four kinds."""
        # triple quotes first: their first two would match as an empty string
        for pattern in _STRINGS:
            match = pattern.match(self.text, self.at)
            if match:
                if match.end() - self.at > MAX_STRING:
                    raise self.refusal(f"a string of more than {MAX_STRING} characters")
                self.at = match.end()
                return
        raise _NotTomlError

    def record(self, place: Place, start: int) -> None:
        """Remember where a key, and the tables that it makes, are first named."""
        for length in range(1, len(place) + 1):
            self.layout.places.setdefault(place[:length], start)

    def count(self) -> None:
        self.counted += 1
        if self.counted > MAX_VALUES:
            what = "keys, values and comments in arrays"
            raise self.refusal(f"more than {MAX_VALUES} {what}; no scenario needs so many")

    def refusal(self, text: str) -> LimitError:
        return LimitError(self.text.count("\n", 0, self.at) + 1, text)

    def skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def expect(self, text: str) -> None:
        self.skip(_SPACE)
        if not self.text.startswith(text, self.at):
            raise _NotTomlError
        self.at += len(text)
