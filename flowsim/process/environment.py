"""What surrounds a simulation: JAX's settings, NumPy's handling of errors, filters of warnings.

Under settings of JAX with which flowsim cannot compute it refuses to; all others change no result.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from flowsim.process.program_cache import keep_programs

_DEVICES = ("jax_platforms", "jax_platform_name", "jax_default_device")
"""The settings by which JAX chooses a device; their environment variables are in capitals."""

_GUARDS = ("jax_transfer_guard_host_to_device", "jax_transfer_guard_device_to_host")
"""The settings of JAX that can forbid transfers of arrays that are not explicit."""


class SettingError(RuntimeError):
    """Flowsim cannot compute in this environment; the text names what to change."""


def check_jax() -> None:
    """Raise where JAX cannot compute in double precision with its present settings.

    Raises
    ------
    SettingError
        With every setting at fault.

    """
    if faults := list(jax_faults()):
        raise SettingError("\n".join(faults))


def jax_faults() -> Iterator[str]:
    """Yield what keeps JAX from computing in double precision, one sentence per setting."""
    if _fork.is_after_use:  # any call of JAX may wait for ever
        yield (
            "This process was forked from one in which JAX had computed, whose threads it lacks: "
            "JAX would never finish here. Start processes by joblib, or by multiprocessing with "
            'get_context("spawn"), or fork before the first computation.'
        )
        return
    try:
        import jax
    except ValueError as error:  # of a variable such as JAX_ENABLE_X64=maybe
        yield f"JAX rejects an environment variable: {error}. Correct or unset it."
        return
    config: Any = jax.config
    if not config.jax_enable_x64:
        yield (
            "JAX's double precision was switched off after flowsim was imported, but is required: "
            'run jax.config.update("jax_enable_x64", True).'
        )
    if config.jax_disable_jit:
        yield (
            "JAX's compilation is switched off, but is required: unset JAX_DISABLE_JIT, or leave "
            "jax.disable_jit()."
        )
    if forbidden := [way for way in _GUARDS if "disallow" in str(getattr(config, way))]:
        yield (
            f"JAX forbids transfers of arrays ({', '.join(forbidden)}), but they are required: "
            "unset JAX_TRANSFER_GUARD, or leave jax.transfer_guard()."
        )
        return
    try:
        jax.numpy.zeros(()).block_until_ready()
    except (RuntimeError, AssertionError) as error:  # an assertion fails for the platform "cuda"
        settings = {name.upper(): config.values.get(name) for name in _DEVICES}
        yield _no_device(settings, str(error))


def _no_device(settings: Mapping[str, object], reason: str) -> str:
    chosen = [f"{name}={value}" for name, value in settings.items() if value]
    first_line = reason.partition("\n")[0].rstrip(".")
    return (
        f"JAX has no such device here: {', '.join(chosen) or 'its default device'}"
        f"{f' ({first_line})' if first_line else ''}. Unset the variable, or set JAX_PLATFORMS=cpu."
    )


@contextmanager
def computing() -> Iterator[None]:
    """Compute in double precision, isolated; raises SettingError where JAX cannot."""
    check_jax()
    keep_programs()
    with isolated():
        yield


@contextmanager
def isolated() -> Iterator[None]:
    """Compute as by default: errors of NumPy are not raised, and no warning is.

    `np.seterr(all="raise")` of a user would otherwise turn an exponential that underflows to 0, as
    it should, into an exception. Whatever a user must know of is in verdicts and notes.
    """
    import numpy as np

    with quiet, np.errstate(all="ignore"):
        yield


class _Fork:
    """Whether this process was forked after JAX had started its threads."""

    def __init__(self) -> None:
        self.is_after_use = False
        self._is_used = False
        if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
            os.register_at_fork(before=self._before, after_in_child=self._in_child)

    def _before(self) -> None:
        # before the fork: in the child, another thread's lock would never be released
        bridge = sys.modules.get("jax._src.xla_bridge")
        started = getattr(bridge, "backends_are_initialized", None)
        self._is_used = bool(started is not None and started())

    def _in_child(self) -> None:
        self.is_after_use = self.is_after_use or self._is_used


_fork = _Fork()


class _Shared:
    """A context for the whole process, which several threads may be in at the same time.

    It is entered by the first thread, and left by the last.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._context = self._make()
                self._context.__enter__()
            self._inside += 1

    def __exit__(self, *_exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._context.__exit__(None, None, None)


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def _thread_pools() -> Any:
    """Return the thread pools of BLAS libraries; finding them takes 10 ms."""
    import scipy.linalg  # noqa: F401  # has a BLAS library of its own, which must be loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _one_blas_thread() -> AbstractContextManager[object]:
    limits: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limits


quiet = _Shared(_without_warnings)
"""Within it, warnings are neither printed nor raised, whatever PYTHONWARNINGS or -W asks for."""

one_blas_thread = _Shared(_one_blas_thread)
"""Within it, BLAS and LAPACK compute in one thread.

Threads of small factorizations wait for one another: an eigendecomposition of a 210 × 210 matrix
takes 3 ms in one thread, and up to 0.6 s in two on a machine that is busy."""

SMALL = 256
"""The largest width for which one thread is faster on a busy machine, and hardly slower on an
idle one."""


def threads_for(widths: Iterable[int]) -> AbstractContextManager[object]:
    """Return a context with one BLAS thread for small networks, and with all for larger ones."""
    return one_blas_thread if max(widths) <= SMALL else nullcontext()
