"""Where what is larger than memory lies while it is needed: in temporary files without a name."""

from __future__ import annotations

import os
import shutil
import tempfile
from io import FileIO


class ScratchError(OSError):
    """A temporary file cannot be written; the text is a sentence for the user."""


def folder() -> str:
    """Return where temporary files lie: TMPDIR, or else /var/tmp, since /tmp is often memory."""
    chosen = os.environ.get("TMPDIR") or "/var/tmp"
    return chosen if os.access(chosen, os.W_OK | os.X_OK) else tempfile.gettempdir()


def free() -> int | None:
    """Return how many bytes are free there, or None where it cannot be known."""
    try:
        return shutil.disk_usage(folder()).free
    except OSError:
        return None


def new_file() -> FileIO:
    """Return an empty file that bears no name, so it is gone with the process however that ends.

    Raises
    ------
    ScratchError
        If there can be none.

    """
    try:
        return tempfile.TemporaryFile(dir=folder(), buffering=0)
    except OSError as error:
        raise _sentence(error) from error


def write(file: FileIO, data: memoryview, offset: int) -> None:
    """Write bytes at an offset.

    Raises
    ------
    ScratchError
        If the disk refuses, being full for example.

    """
    while data:
        try:
            written = os.pwrite(file.fileno(), data, offset)
        except OSError as error:
            raise _sentence(error) from error
        data, offset = data[written:], offset + written


def read(file: FileIO, into: memoryview, offset: int) -> None:
    """Fill `into` with what lies at an offset."""
    while into:
        count = os.preadv(file.fileno(), [into], offset)
        if count == 0:
            raise ScratchError(f"A temporary file in {folder()!r} ends before byte {offset}.")
        into, offset = into[count:], offset + count


def _sentence(error: OSError) -> ScratchError:
    return ScratchError(
        f"Cannot write a temporary file in {folder()!r}: {error.strerror or error}; free some "
        f"space, or let the environment variable TMPDIR name another folder."
    )
