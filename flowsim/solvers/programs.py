"""The memory of compiled programs."""

from __future__ import annotations

import ctypes
import itertools
from contextlib import suppress
from pathlib import Path

import jax

OFTEN = 32
"""Solutions between two counts of the memory maps, which take up to 30 ms each."""

MOST_MAPS = 30_000
"""Memory maps from which on programs are freed: Linux grants a process some 65 000.

A solution of a new shape compiles programs of about 100 maps.
"""

_solutions = itertools.count(1)


def free_programs() -> None:
    """Free all compiled programs, and return their memory to the system.

    The compiler leaves gaps in the memory of the C library, which glibc would keep for later.
    """
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def memory_maps() -> int:
    """Return how many memory maps this process holds, or 0 where the system does not say so."""
    with suppress(OSError):
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    return 0


def make_room() -> None:
    """Free compiled programs before they use up the memory maps that the system grants.

    Call it before each solution: in a loop over some thousand shapes compilation would fail.
    """
    if next(_solutions) % OFTEN == 0 and memory_maps() > MOST_MAPS:
        free_programs()
