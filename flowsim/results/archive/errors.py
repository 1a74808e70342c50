"""Errors of reading and writing runs, as sentences."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowsim.results.run import Run


class ArchiveError(Exception):
    """A run cannot be written or read; the text is a sentence for the user.

    Where `flowsim.run` could not write a computed run, `run` is that run, else None.
    """

    run: Run | None = None


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of writing a file that a smaller one may not have."""

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another disk with -o",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another disk with -o",
    errno.EFBIG: "the file would be larger than this system allows",
    errno.EACCES: "permission is denied; choose a folder of your own with -o",
    errno.EPERM: "permission is denied; choose a folder of your own with -o",
    errno.EROFS: "the disk is read-only; choose another with -o",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one with -o",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ELOOP: "a part of the path is a symbolic link, but a file or folder is required",
}


@contextmanager
def sentences(intent: str) -> Iterator[None]:
    """Raise an `OSError` of the block as an `ArchiveError`: `intent`, then the reason."""
    try:
        yield
    except OSError as error:
        where = f" ({str(error.filename)!r})" if error.filename else ""
        raise ArchiveError(f"{intent}{where}: {reason(error)}.") from error


def reason(error: OSError) -> str:
    """Return the cause of an error, with a remedy where one is known."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))
