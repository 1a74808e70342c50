"""Many runs in one program: compiled once for equal shapes, and the same in threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring

import flowsim
from flowsim import inits, losses
from flowsim.experiment.plan.reading import from_toml
from flowsim.problem.losses import gradients, values

_started: list[str] = []
monitoring.register_event_duration_secs_listener(
    lambda event, _seconds, fun_name="", **_: _started.append(f"{event} {fun_name}")
)


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Collect what JAX traces, compiles or loads from its cache within the block."""
    before, found = len(_started), []
    yield found
    found += [event for event in _started[before:] if "/compile/" in event]


TOML = """
title = "Several"
[network]
widths = [3, 4, 3]
[loss]
kind = "squared"
target = { spectrum = [2.0, 1.0, 0.5] }
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 6.0
samples = 20
spaces = ["layers", "end_to_end"]
[descent]
step_sizes = [0.1, 0.05]
"""
OTHER_VALUES: list[dict[str, Any]] = [
    {"seed": 7},
    {"init.scale": 0.03},
    {"loss.target": {"spectrum": [1.5, 1.0, 0.1]}},
    {"flow.horizon": 5.0},
    {"flow.rtol": 1e-7},
    {"descent.step_sizes": [0.08, 5.0]},  # the second one diverges
    {"descent.momentum": 0.3},
]


def run(changes: dict[str, Any]) -> flowsim.experiment.run.Run:
    return flowsim.run(from_toml(TOML, overrides=changes))


@pytest.mark.slow
def test_other_values_compile_nothing() -> None:
    run({})
    for changes in OTHER_VALUES:
        with compilations() as found:
            run(changes)
        assert found == [], changes


@pytest.mark.slow
def test_an_early_end_at_another_time_compiles_nothing() -> None:
    run({"flow.stop_at_loss": 1.0})
    with compilations() as found:
        counts = [run({"flow.stop_at_loss": at})["layers.time"].size for at in (0.5, 0.2, 0.01)]
    assert found == []
    assert len(set(counts)) == 3  # another number of saved times each


def problem(seed: int, target: Any) -> flowsim.Problem:
    """Return a problem with a loss that is defined again, and reads its own target."""

    def robust(W: Any) -> Any:
        return jnp.sum(jnp.log(jnp.cosh(W - target)))

    layers = inits.balanced([3, 4, 3], 0.2, np.random.default_rng(seed))
    return flowsim.Problem(robust, layers, horizon=4.0)


@pytest.mark.slow
def test_a_custom_loss_with_other_arrays_compiles_nothing() -> None:
    def solve(seed: int, size: float) -> None:
        flowsim.solve(problem(seed, jnp.asarray(size * np.eye(3))))

    solve(0, 1.0)
    with compilations() as found:
        solve(1, 2.0)
    # a new function has to be traced, but what it computes is compiled already
    assert not [event for event in found if "backend_compile" in event]


@pytest.mark.slow
def test_a_solve_with_other_values_compiles_nothing() -> None:
    def solve(seed: int, scale: float, sizes: list[float], stop: float) -> int:
        loss = losses.Squared(np.diag(sizes))
        layers = inits.balanced([3, 4, 3], scale, np.random.default_rng(seed))
        chosen = flowsim.Problem(loss, layers, horizon=4.0)
        flow = flowsim.solve(chosen, times=np.linspace(0.0, 4.0, 9), stop_at_loss=stop)
        flow.error_estimate.max()
        return flow.times.size

    solve(0, 0.1, [2.0, 1.0, 0.5], 1.0)
    with compilations() as found:
        counts = {solve(k, 0.1 + 0.1 * k, [2.0, 1.5, 0.1 * k], 1.2 / k) for k in (1, 2, 3)}
    assert found == []
    assert len(counts) > 1  # numbers of saved times


@pytest.mark.parametrize("function", [values, gradients])
def test_values_of_some_matrices_are_bitwise_those_of_all(function) -> None:
    loss = losses.Squared(np.eye(3))
    W = np.random.default_rng(0).normal(size=(300, 3, 3))
    whole = function(loss, W)
    expected = [
        0.5 * np.sum((M - np.eye(3)) ** 2) if function is values else M - np.eye(3) for M in W
    ]
    np.testing.assert_allclose(whole, expected, rtol=1e-14)
    for count in (0, 1, 2, 256, 257, 300):
        np.testing.assert_array_equal(function(loss, W[:count]), whole[:count])


@pytest.mark.slow
def test_runs_in_threads_are_bitwise_those_of_a_loop() -> None:
    scenarios = [{"seed": seed} for seed in range(6)]
    loop = [run(changes) for changes in scenarios]
    with ThreadPoolExecutor(3) as pool:
        threads = list(pool.map(run, scenarios))
    for one, other in zip(loop, threads, strict=True):
        for path in one.paths():
            np.testing.assert_array_equal(one[path], other[path], err_msg=path)
