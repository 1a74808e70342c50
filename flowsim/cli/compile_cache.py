"""What makes the command line start faster: compiled programs are kept between processes."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_LIMIT = 256 * 1024**2
_SECONDS = "0.0"
"""Programs that compiled faster are not kept: none, since many quick ones take long together."""


def turn_on() -> None:
    """Keep compiled programs in the user's cache folder; must come before JAX is imported.

    The folder is the user's alone, since what lies in it is executed. `FLOWSIM_CACHE` names
    another one. Without a usable folder nothing is kept. Equinox's checks would keep diffrax
    programs out of the cache, so failures are told by NaN, which every solve is examined for.
    """
    os.environ.setdefault("EQX_ON_ERROR", "nan")
    with suppress(OSError, RuntimeError):
        folder = _private(_chosen() / "jax")
        trim(folder, _LIMIT)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", _SECONDS)


def trim(folder: Path, limit: int) -> None:
    """Remove the oldest programs in `folder` until those left take `limit` bytes at most."""
    files = [(path, path.stat()) for path in folder.glob("*-cache")]
    total = sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda file: file[1].st_mtime):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size


def _chosen() -> Path:
    if chosen := os.environ.get("FLOWSIM_CACHE"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("flowsim")


def _private(folder: Path) -> Path:
    """Return `folder`, made if need be, if only this user can write there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise PermissionError(f"others can write to {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written")
    return folder
