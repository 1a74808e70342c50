"""One writer per destination: an exclusive lock that names its holder and ends with its process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from flowsim.results.archive.errors import ArchiveError, sentences

_NOT_SUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""Errors of file systems without locks, which are written to without one."""


@contextmanager
def held(path: Path, destination: Path) -> Iterator[None]:
    """Hold the lock file at `path` for writing to `destination`.

    Raises
    ------
    ArchiveError
        If another process holds it, with that process's number, or if the file cannot be made.

    """
    lock = _lock(path)
    with sentences(f"Cannot write to {str(destination)!r}"):
        _acquire(lock, path, destination)
    try:
        yield
    finally:
        # deleted while still locked: afterwards it could be the lock of another process
        with suppress(OSError):
            path.unlink()
        lock.release()


def holder(path: Path) -> int | None:
    """Return the process number in the lock file at `path`, or None if it contains none."""
    try:
        text = path.read_bytes()[:32].split(b"\n")[0]
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def alive(pid: int) -> bool:
    """Return whether a process with this number runs on this machine."""
    try:
        # signal 0 only checks that the process exists
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _lock(path: Path) -> FileLock:
    # where the system has no locks, filelock falls back to files that hold the number themselves
    native = not issubclass(FileLock, SoftFileLock)
    return FileLock(
        path,
        blocking=False,
        fallback_to_soft=False,
        on_acquired=_write_process_number if native else None,
    )


def _write_process_number(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())


def _acquire(lock: FileLock, path: Path, destination: Path) -> None:
    try:
        lock.acquire()
    except Timeout:
        pid = holder(path)
        who = "another process" if pid is None else f"process {pid}"
        raise ArchiveError(
            f"{str(destination)!r} is being written by {who}; wait for it, or give another "
            f"folder with -o."
        ) from None
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
