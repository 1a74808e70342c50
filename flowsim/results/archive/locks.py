"""One writer a destination: an exclusive lock that names its holder and ends with its process."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowsim.results.archive.errors import ArchiveError, sentences

_NOT_SUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def held(path: Path, destination: Path) -> Iterator[None]:
    """Hold the lock file at `path` for writing to `destination`.

    Raises
    ------
    ArchiveError
        If another process holds it, naming that process, or if the file cannot be made.

    """
    with sentences(f"Cannot write to {str(destination)!r}"):
        descriptor = _take(path, destination)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """Return the number of the process that the lock file at `path` names, if it names one."""
    try:
        text = path.read_bytes()[:32]
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def alive(pid: int) -> bool:
    """Say whether a process with this number runs here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _take(path: Path, destination: Path) -> int:
    """Open and lock the file at `path`, again where its last holder removed it meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            _lock(descriptor, destination)
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, destination: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32)
        who = f"process {int(text)}" if text.isdigit() else "another process"
        raise ArchiveError(
            f"{str(destination)!r} is being written by {who}; wait for it, or give another "
            f"folder with -o."
        ) from None
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
