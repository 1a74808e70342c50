"""Settings of the process for simulations: JAX, and freed memory."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

from flowsim.process.environment import check_jax
from flowsim.process.program_cache import keep_programs


def start_jax() -> None:
    """Import JAX, and store its compiled programs; reject settings with which it cannot compute."""
    set_error_handling()
    check_jax()
    keep_programs()


def set_error_handling() -> None:
    """Let failures of diffrax's runtime checks show as nan; call this before JAX is imported.

    JAX cannot store programs that contain such checks. Every solve is checked for nan.
    """
    os.environ.setdefault("EQX_ON_ERROR", "nan")


_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def return_freed_arrays() -> None:
    """Make the C library map every array of 1 MiB or more separately, and unmap it when freed.

    By default glibc raises that size to up to 32 MiB as such arrays are freed. It then keeps them
    for later, with the gaps between them. Other C libraries have no such setting.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
