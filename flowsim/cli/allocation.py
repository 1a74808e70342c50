"""What keeps memory low: large arrays go back to the system as soon as they are freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def give_back_at_once() -> None:
    """Let the C library take every array of 1 MiB or more from the system by itself.

    glibc would otherwise raise that size to up to 32 MiB as such arrays are freed, and keep them,
    with the gaps between them, for later. Other C libraries have no such setting.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
