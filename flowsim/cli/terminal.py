"""The three standard streams: answers to stdout, all else to stderr, whatever they lead to."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, cast


class _Sturdy(io.RawIOBase):
    """A file descriptor that remembers what went wrong instead of raising it.

    So neither click nor tqdm nor the interpreter's exit stumbles over `| head -1` or `/dev/full`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.failure is None:
            try:
                return os.write(self._descriptor, data)
            except OSError as error:
                self.failure = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


def prepare() -> None:
    """Make the standard streams usable where they are closed, full or cannot spell σ and ✓."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a closed stream's number must not be given to a file of ours
    os.close(descriptor)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _sturdy(1, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _sturdy(2, sys.stderr)


def _sturdy(descriptor: int, stream: object) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(cast(Any, _Sturdy(descriptor)))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(buffer, encoding, "flowsim", line_buffering=True)


def unheard() -> str:
    """Return why what was written to standard output did not arrive; nothing where it did.

    A reader that has gone away has heard what it wanted.
    """
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    failure = raw.failure if isinstance(raw, _Sturdy) else None
    if failure is None or isinstance(failure, BrokenPipeError):
        return ""
    return f"Cannot write to standard output: {failure.strerror}."


def say(text: str) -> None:
    """Write an answer to standard output."""
    print(printable(text))


def tell(text: str) -> None:
    """Write progress, a warning or an error to standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return `text` with control characters escaped, so that none of them reaches a terminal."""
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


_ASCII = {
    "✓": "+",
    "✗": "x",
    "×": "x",
    "·": "*",
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "‖": "||",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "→": "->",
    "∞": "inf",
    "⁄": "/",
    "’": "'",
    "“": '"',
    "”": '"',
}


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Spell in ASCII what a terminal's encoding lacks: σ is sigma, ² is 2."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_spell, text)), error.end


def _spell(character: str) -> str:
    import unicodedata

    if character in _ASCII:
        return _ASCII[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK") and " LETTER " in name:
        word = name.split(" LETTER ")[1].split()[0].lower()
        return word.capitalize() if "CAPITAL" in name else word
    plain = "".join(_ASCII.get(c, c) for c in unicodedata.normalize("NFKD", character))
    return plain.encode("ascii", "ignore").decode() or "?"


codecs.register_error("flowsim", _spelled)
