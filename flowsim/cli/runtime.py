"""Settings of the process for simulations: the cache of compiled programs, and freed memory."""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import suppress
from pathlib import Path

from flowsim.cli.errors import as_command_error
from flowsim.problem.environment import SettingError, check_jax

_LIMIT = 256 * 1024**2
"""Bytes of the cache. JAX's own limit re-reads the whole folder for every program it stores."""

_SECONDS = "0.0"
"""Least compile time of a stored program: 0, because the many quick ones add up to seconds."""


def cache_programs() -> None:
    """Store compiled programs in the user's cache folder; call this before JAX is imported.

    Only the user may write to the folder, because its content is executed. The environment variable
    `FLOWSIM_CACHE` names another folder. Without a usable folder nothing is stored.
    """
    # JAX cannot cache programs with Equinox's runtime checks, which diffrax contains. Failures show
    # as nan instead, which every solve is checked for.
    os.environ.setdefault("EQX_ON_ERROR", "nan")
    with suppress(OSError, RuntimeError):
        folder = program_folder()
        trim(folder, _LIMIT)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", _SECONDS)


def start_jax() -> None:
    """Import JAX with the cache of programs; reject settings of it with which it cannot compute."""
    cache_programs()
    with as_command_error(SettingError):
        check_jax()


def trim(folder: Path, limit: int) -> None:
    """Remove the oldest programs in `folder` until those left take `limit` bytes at most."""
    files = [(path, path.stat()) for path in folder.glob("*-cache")]
    total = sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda file: file[1].st_mtime):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size


def program_folder() -> Path:
    """Return the folder of compiled programs, created if missing.

    Raises
    ------
    OSError, RuntimeError
        If there is none to which this user alone can write.

    """
    return _private(_chosen() / "jax")


def _chosen() -> Path:
    if chosen := os.environ.get("FLOWSIM_CACHE"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("flowsim")


def _private(folder: Path) -> Path:
    """Return `folder`, created if missing, if only this user can write there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise PermissionError(f"others can write to {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} is not writable")
    return folder


_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def return_freed_arrays() -> None:
    """Make the C library map every array of 1 MiB or more separately, and unmap it when freed.

    By default glibc raises that size to up to 32 MiB as such arrays are freed. It then keeps them
    for later, with the gaps between them. Other C libraries have no such setting.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
