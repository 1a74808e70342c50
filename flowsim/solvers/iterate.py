"""Walking descent along its iterations at many step sizes, in pieces that hear interrupts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import equinox as eqx
import jax
import numpy as np

from flowsim.dynamics.accumulators import Accumulator, NoAccumulator
from flowsim.dynamics.descent import DIVERGED_FACTOR, Descent, Iterates
from flowsim.dynamics.registry import AlgorithmName, Momentum
from flowsim.dynamics.update_rules import rule
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.losses import value_and_gradient
from flowsim.problem.problem import Problem
from flowsim.solvers.chunks import Pacing
from flowsim.solvers.integrate import finished
from flowsim.solvers.monitor import SILENT, Monitor


class Steps(Protocol):
    """What has been reached: the iteration of each row, and whether it goes on."""

    iteration: Any
    alive: Any


Reached = TypeVar("Reached", bound=Steps)


class Walker(Protocol[Reached]):
    """What goes on to an iteration `until` of each row, by `budget` steps at most."""

    def advance(self, iterates: Reached, until: Any, budget: Any, /) -> Reached:
        """Return what is reached from what was."""


def iterations(times: np.ndarray, step_sizes: Sequence[float]) -> np.ndarray:
    """Return round(t_i / η) for every step size and saved time, shape (step_size, sample)."""
    return np.asarray(np.rint(times / np.asarray(step_sizes)[:, None]), dtype=np.int64)


def stepper(
    problem: Problem,
    step_sizes: Sequence[float],
    *,
    algorithm: AlgorithmName = "gradient",
    momentum: Momentum = 0.0,
    precision: str = "float64",
    accumulator: Accumulator | None = None,
    noise: Stream | None = None,
) -> Descent:
    """Return descent on a problem at some step sizes, by an algorithm.

    With noise its gradient is an estimate, drawn at every step.

    Raises
    ------
    ValueError
        If momentum is asked of an algorithm that does not have it.

    """
    dtype = np.dtype(precision)
    loss, noise = jax.tree.map(
        lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, (problem.loss, noise)
    )
    return Descent(
        loss=loss,
        step_sizes=np.asarray(step_sizes, dtype=dtype),
        rule=rule(algorithm, momentum, dtype),
        weight_decay=np.asarray(problem.weight_decay, dtype=dtype),
        ceiling=ceiling(problem, dtype),
        accumulator=NoAccumulator() if accumulator is None else accumulator,
        noise=noise,
    )


def ceiling(problem: Problem, dtype: np.dtype) -> np.ndarray:
    """Return the loss above which descent has diverged, as `DIVERGED_FACTOR` says."""
    start, limits = problem.initial, np.finfo(dtype)
    usual = [abs(float(value_and_gradient(problem.loss, W)[0])) for W in (start, 0 * start)]
    highest = DIVERGED_FACTOR * max(*usual, float(limits.tiny))
    return np.asarray(min(highest, float(limits.max)), dtype=dtype)


def begin(descent: Descent, problem: Problem) -> Iterates:
    """Return the iterates at the start, with the programs that move them compiled."""
    iterates = descent.initial_iterates(problem.layers)
    nowhere = np.zeros(len(descent.step_sizes), int)
    finished(descent.advance(iterates, nowhere, np.asarray(0)))
    return iterates


def walk(
    descent: Walker[Reached],
    iterates: Reached,
    count: np.ndarray,
    visit: Callable[[int, Reached], None],
    *,
    monitor: Monitor = SILENT,
) -> Reached:
    """Go to the iterations `count(step_size, sample)` and `visit(sample, iterates)` at each.

    An interrupt ends it: the sample that was not reached is not visited, and how far it came is
    what is returned.
    """
    pacing, samples = Pacing(descent, iterates), count.shape[1]
    for sample, until in enumerate(count.T):
        whole = left = _left(iterates, until)
        while left:
            if monitor.stop_requested():
                return iterates
            started, piece = time.perf_counter(), min(pacing.piece, left)
            iterates = finished(descent.advance(iterates, until, np.asarray(piece)))
            pacing.learn(piece, time.perf_counter() - started)
            left = _left(iterates, until)
            if left:
                monitor.report((sample + 1 - left / whole) / samples)
        visit(sample, iterates)
        monitor.report((sample + 1) / samples)
    return iterates


def arrived(iterates: Iterates, count: np.ndarray) -> bool:
    """Say whether each step size has taken all its steps or diverged, rather than been stopped."""
    return _left(iterates, count[:, -1]) == 0


def _left(iterates: Steps, until: np.ndarray) -> int:
    """Return the steps that are left to the slowest step size that has not diverged."""
    return int(
        np.where(np.asarray(iterates.alive), until - np.asarray(iterates.iteration), 0).max()
    )
