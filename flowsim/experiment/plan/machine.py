"""The memory that this process may use: that of the machine, or less in a control group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_GROUPS = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, order=True)
class MemoryLimit:
    """A number of bytes, and what limits the memory to it."""

    size: int
    limited_by: str


def memory_limit() -> MemoryLimit | None:
    """Return the least limit on the memory of this process, or None if none is known."""
    return min([*_of_machine(), *_of_control_groups()], default=None)


def _of_machine() -> Iterator[MemoryLimit]:
    with suppress(AttributeError, ValueError, OSError):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield MemoryLimit(size, "this machine has")


def _of_control_groups() -> Iterator[MemoryLimit]:
    """Yield the limits of the control groups of this process and of all groups above them.

    Containers, batch systems and `systemd-run` set them, in version 1 or 2 of the file system.
    """
    for file in _limit_files():
        # "max" and other words are no limit; version 1 writes nearly 2⁶³ bytes where it has none
        with suppress(OSError, ValueError):
            yield MemoryLimit(int(file.read_text()), "the control group (container) allows")


def _limit_files() -> Iterator[Path]:
    with suppress(OSError, ValueError):
        for line in _GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                folder, name = _ROOT, "memory.max"
            elif "memory" in controllers.split(","):
                folder, name = _ROOT / "memory", "memory.limit_in_bytes"
            else:
                continue
            # inside a container the path may be that outside, where only the root is there
            path = PurePosixPath(group.lstrip("/"))
            for level in (path, *path.parents):
                yield folder / level / name
