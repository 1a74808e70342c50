"""Settings of JAX and NumPy: refused where nothing can be computed, else without effect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager

import jax
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import flowsim
from flowsim import inits, losses
from flowsim.process import environment
from flowsim.process.environment import (
    SMALL,
    SettingError,
    one_blas_thread,
    quiet,
    threads_for,
)
from flowsim.solvers.monitor import Monitor


def tiny() -> flowsim.Problem:
    """Return a problem whose layers have entries with squares below float64's range."""
    layers = inits.lambda_balanced([2, 2, 2], 1e-180, 0.1, np.random.default_rng(0))
    data = 1e-170 * np.eye(2)
    return flowsim.Problem(losses.LeastSquares.from_data(data, np.eye(2)), layers, horizon=1.0)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (lambda: jax.enable_x64(False), "jax_enable_x64"),
        (jax.disable_jit, "JAX_DISABLE_JIT"),
        (lambda: jax.transfer_guard("disallow"), "JAX_TRANSFER_GUARD"),
    ],
)
def test_settings_of_jax_are_refused_by_name(
    setting: Callable[[], AbstractContextManager[None]], sentence: str
) -> None:
    problem = tiny()
    times = np.linspace(0.0, 1.0, 3)
    with setting():
        with pytest.raises(SettingError, match=sentence):
            flowsim.Problem(losses.Squared(np.eye(2)), [np.eye(2)], 1.0)
        with pytest.raises(SettingError, match=sentence):
            flowsim.solve(problem)
        with pytest.raises(SettingError, match=sentence):
            flowsim.descend(problem, [0.1], times)


def test_errors_of_numpy_and_warnings_as_errors_change_no_bit() -> None:
    def solved() -> tuple[str, np.ndarray, np.ndarray]:
        problem = tiny()
        flow = flowsim.solve(problem)
        descent = flowsim.descend(problem, [0.1, 1e6], flow.times[::20])
        return f"{problem!r} {flow.verdict}", flow.end_to_end, descent.end_to_end

    required = solved()
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        words, *arrays = solved()
        assert np.geterr()["under"] == "raise"
        with pytest.raises(UserWarning, match="still an error"):
            warnings.warn("still an error", stacklevel=1)
    assert words == required[0]
    for actual, exact in zip(arrays, required[1:], strict=True):
        np.testing.assert_array_equal(actual, exact)


def test_filters_of_warnings_are_restored_by_whoever_leaves_last() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet.__enter__()  # as two threads may enter and leave
        quiet.__enter__()
        quiet.__exit__()
        warnings.warn("not seen", stacklevel=1)
        quiet.__exit__()
        with pytest.raises(UserWarning, match="seen again"):
            warnings.warn("seen again", stacklevel=1)


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_has_one_thread_until_whoever_leaves_last() -> None:
    before = threads()
    with one_blas_thread:
        with one_blas_thread:
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == before


def test_small_networks_are_solved_with_one_blas_thread() -> None:
    # a library that is loaded later has threads of its own
    pools = environment._thread_pools()
    seen: list[set[int]] = []

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in pools.info() if pool["user_api"] == "blas"}

    monitor = Monitor(lambda _label, _fraction: seen.append(threads()))
    layers = inits.balanced([2, 2, 2], 0.1, np.random.default_rng(0))
    problem = flowsim.Problem(losses.Squared(np.eye(2)), layers, horizon=1.0)
    with pools.limit(limits=2, user_api="blas"):
        flowsim.solve(problem, monitor=monitor)
        flowsim.descend(problem, [0.1], monitor=monitor)
        assert threads() == {2}
        with threads_for([SMALL, SMALL + 1]):
            assert threads() == {2}
    assert len(seen) >= 2
    # a report at either end is outside
    assert sum(number != {1} for number in seen) <= 2 < len(seen)


def in_fork(act: Callable[[], object]) -> str:
    """Return what `act` raises in a forked child, or "nothing", or "hangs" after 20 seconds."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of any fork
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            act()
            answer = "nothing"
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return answer or "hangs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_forked_after_use_is_refused_instead_of_waiting_for_ever() -> None:
    problem = tiny()
    for act in (
        lambda: flowsim.solve(problem),
        lambda: flowsim.descend(problem, [0.1], [0.0, 1.0]),
        lambda: flowsim.run(problem),
        lambda: flowsim.Problem(losses.Squared(np.eye(2)), [np.eye(2)], 1.0),
        lambda: in_fork(lambda: flowsim.solve(problem)) and flowsim.solve(problem),
    ):
        assert in_fork(act).startswith("SettingError: This process was forked from one in which")
    assert flowsim.solve(problem).times.size > 1  # the parent goes on
    assert in_fork(lambda: inits.balanced([2, 2], 0.1, np.random.default_rng(0))) == "nothing"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_forked_before_use_computes() -> None:
    code = (
        "import os, flowsim, numpy as np\n"
        "if os.fork():\n"
        "    print(os.wait()[1])\n"
        "else:\n"
        "    loss = flowsim.losses.Squared(np.eye(2))\n"
        "    flowsim.Problem(loss, [np.eye(2)], 1.0)\n"
    )
    assert printed(code) == "0\n"


def printed(code: str, **variables: str) -> str:
    """Return what Python prints of `code`, under these environment variables."""
    environment = {**os.environ, **variables}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("modules", ["flowsim, jax", "jax, flowsim"])
def test_importing_flowsim_makes_double_precision_the_default(modules: str) -> None:
    code = f"import {modules}; print(jax.numpy.zeros(2).dtype)"
    assert printed(code, JAX_ENABLE_X64="0") == "float64\n"


def test_a_device_that_is_not_there_is_named_with_its_variable() -> None:
    code = "import flowsim.cli; print(flowsim.cli.main(['verify']))"
    answer = printed(code, JAX_PLATFORMS="cuda", EQX_ON_ERROR="nan")
    assert answer == (
        "2\nJAX has no such device here: JAX_PLATFORMS=cuda. Unset the variable, or set "
        "JAX_PLATFORMS=cpu.\n"
    )


def test_a_variable_that_jax_cannot_read_is_named() -> None:
    code = "import flowsim.cli; print(flowsim.cli.main(['verify']))"
    answer = printed(code, JAX_ENABLE_CHECKS="maybe", EQX_ON_ERROR="nan")
    assert answer.startswith("2\nJAX rejects an environment variable: ")
    assert "JAX_ENABLE_CHECKS" in answer
