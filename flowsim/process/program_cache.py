"""Compiled programs on disk, so that every process but the first loads what it would compile."""

from __future__ import annotations

import functools
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "FLOWSIM_CACHE"
"""Environment variable with another folder of the cache; empty for none."""

_LIMIT = 256 * 1024**2
"""Bytes of the cache. JAX's own limit re-reads the whole folder for every program it stores."""

_DEFAULT_SECONDS = 1.0
"""JAX's least compile time of a stored program."""


@functools.cache
def keep_programs() -> None:
    """Let JAX store compiled programs in the user's cache folder, from now on in this process.

    Only the user may write to the folder, because its content is executed. Nothing is changed if
    the user has chosen a folder for JAX's cache or switched it off, if `FLOWSIM_CACHE` is empty, or
    if no folder is usable.
    """
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir is not None or not config.jax_enable_compilation_cache:
        return
    with suppress(OSError, RuntimeError):
        folder = program_folder()
        trim(folder, _LIMIT)
        config.update("jax_compilation_cache_dir", str(folder))
        # the many programs that compile quickly add up to seconds
        if config.jax_persistent_cache_min_compile_time_secs == _DEFAULT_SECONDS:
            config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def trim(folder: Path, limit: int) -> None:
    """Remove the oldest programs in `folder` until those left take `limit` bytes at most."""
    files = []
    for path in folder.glob("*-cache"):
        with suppress(FileNotFoundError):  # another process may trim at the same time
            files.append((path, path.stat()))
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
        If there is none to which this user alone can write, or if `FLOWSIM_CACHE` is empty.

    """
    return _private(_chosen() / "jax")


def _chosen() -> Path:
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        raise FileNotFoundError(f"{VARIABLE} is empty")
    if chosen is not None:
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
