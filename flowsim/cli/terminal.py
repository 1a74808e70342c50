"""The standard streams: answers go to stdout, everything else to stderr, wherever they lead."""

from __future__ import annotations

import codecs
import io
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, cast


class _FailSafeFile(io.RawIOBase):
    """A file descriptor that stores the first error instead of raising it.

    Click, tqdm and the exit of the interpreter would otherwise fail on `| head -1` and `/dev/full`.
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
    """Make the standard streams usable if they are closed, full or cannot encode σ and ✓."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # a file that we open must not get the number of a closed stream
    os.close(descriptor)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _fail_safe(1, sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _fail_safe(2, sys.stderr)


def _fail_safe(descriptor: int, stream: object) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(cast(Any, _FailSafeFile(descriptor)))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(buffer, encoding, "flowsim", line_buffering=True)


def output_failure() -> str:
    """Return why standard output could not be written, or "" if it could.

    A closed pipe is not a failure: its reader has read enough.
    """
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    failure = raw.failure if isinstance(raw, _FailSafeFile) else None
    if failure is None or isinstance(failure, BrokenPipeError):
        return ""
    return f"Cannot write to standard output: {failure.strerror}."


def print_answer(text: str) -> None:
    """Write an answer to standard output."""
    print(printable(text))


def print_message(text: str) -> None:
    """Write progress, a warning or an error to standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def how_to_open(path: Path) -> str:
    """Return in words how to open a file: by a command of the system, else in a browser."""
    program = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(program):
        return f"open it with `{program} {shlex.quote(str(path))}`"
    return f"open it in a browser: {path.resolve().as_uri()}"


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


def _replace_in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return in ASCII what a terminal's encoding lacks: σ as sigma, ² as 2."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_ascii, text)), error.end


def _ascii(character: str) -> str:
    import unicodedata

    if character in _ASCII:
        return _ASCII[character]
    name = unicodedata.name(character, "")
    if name.startswith("GREEK") and " LETTER " in name:
        word = name.split(" LETTER ")[1].split()[0].lower()
        return word.capitalize() if "CAPITAL" in name else word
    plain = "".join(_ASCII.get(c, c) for c in unicodedata.normalize("NFKD", character))
    return plain.encode("ascii", "ignore").decode() or "?"


codecs.register_error("flowsim", _replace_in_ascii)
