"""The memory of compiled programs."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import jax


def free_programs() -> None:
    """Free all compiled programs, and return their memory to the system.

    The compiler leaves gaps in the memory of the C library, which glibc would keep for later.
    """
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
