"""Lower peak memory: freed arrays are returned to the operating system at once."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def return_freed_arrays() -> None:
    """Make the C library map every array of 1 MiB or more separately, and unmap it when freed.

    By default glibc raises that size to up to 32 MiB as such arrays are freed. It then keeps them
    for later, with the gaps between them. Other C libraries have no such setting.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
