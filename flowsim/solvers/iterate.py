"""Iteration of gradient descent at many step sizes, in chunks with stop requests in between.

Its iterates are visited at given iterations, or counted until the loss reaches given levels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.accumulators import Accumulator, LossCrossings
from flowsim.dynamics.descent import Descent, Iterates
from flowsim.dynamics.update_rules import HeavyBall, Rule
from flowsim.problem import arguments, network
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array
from flowsim.solvers.chunks import ChunkSize
from flowsim.solvers.integrate import wait_for
from flowsim.solvers.monitor import COMPILING, SILENT, Monitor


@runtime_checkable
class Counted(Protocol):
    """Iterates that count their steps: the iteration of each row, and whether it continues."""

    iteration: Any
    alive: Any


State = TypeVar("State", bound=Counted)


@runtime_checkable
class Iteration(Protocol[State]):
    """A map that takes many rows of iterates to a later iteration, such as `Descent`."""

    def advance(self, iterates: State, until: Any, budget: Any, /) -> State:
        """Return the iterates at iteration `until` of each row, or after `budget` steps."""


PRECISIONS = ("float64", "float32")


@dataclass(frozen=True, eq=False)
class DescentOptions:
    """The update rule of descent and its arithmetic.

    Attributes
    ----------
    rule
        The update rule, with its parameters.
    precision
        `"float64"` or `"float32"`, in which the layers are stored and updated.
    noise
        Draws of the gradient noise; None for the exact gradient.

    """

    rule: Rule = field(default_factory=HeavyBall)
    precision: str = "float64"
    noise: Stream | None = None


DIVERGENCE_FACTOR = 1e12
"""Ratio of the loss to its usual size above which descent has diverged.

Large steps may raise the loss by orders of magnitude and still converge (catapults), so the factor
is far above any catapult and far below overflow."""

PLAIN = DescentOptions()
"""Gradient descent in double precision, without momentum or noise."""


@arguments.checked(times=arguments.times_in_any_order, step_sizes=arguments.step_sizes)
def iterations(times: np.ndarray, step_sizes: Sequence[float]) -> np.ndarray:
    """Return round(t_i / η) for every step size and saved time, shape (step_size, sample)."""
    return np.asarray(np.rint(times / np.asarray(step_sizes)[:, None]), dtype=np.int64)


def make_descent(
    problem: Problem,
    step_sizes: Sequence[float],
    options: DescentOptions = PLAIN,
    accumulator: Accumulator | None = None,
) -> Descent:
    """Return descent on a problem at some step sizes, with an accumulator over its steps.

    Raises
    ------
    ValueError
        If the precision does not support layers so small, or a rule of the user fails.

    """
    # the loss too: mixed with float64 data, float32 iterates would be promoted
    dtype = np.dtype(options.precision)
    network.check_sizes(problem.layers, dtype)
    loss, noise = jax.tree.map(
        lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, (problem.loss, options.noise)
    )
    return Descent(
        loss=loss,
        step_sizes=np.asarray(step_sizes, dtype=dtype),
        rule=options.rule.prepared(problem.layers, dtype.type),
        weight_decay=np.asarray(problem.weight_decay, dtype=dtype),
        ceiling=divergence_threshold_of(problem, dtype),
        accumulator=accumulator or Accumulator(),
        noise=noise,
    )


def divergence_threshold(at_start: Any, at_zero: Any, *, dtype: Any = np.float64) -> Array:
    """Return the loss above which descent has diverged, 10¹² max(|ℓ(W_0)|, |ℓ(0)|).

    It is a positive normal number of the type even where both losses are 0 or overflow.
    """
    limits = np.finfo(dtype)
    # an initialization near a minimum has a tiny loss, which any step may exceed by far
    usual = jnp.maximum(jnp.abs(at_start), jnp.abs(at_zero))
    threshold = DIVERGENCE_FACTOR * jnp.maximum(usual, float(limits.tiny))
    return jnp.minimum(threshold, float(limits.max))


def divergence_threshold_of(problem: Problem, dtype: Any = np.float64) -> np.ndarray:
    """Return the loss above which descent on a problem has diverged."""
    zero = tuple(0 * W for W in problem.layers)
    values = [problem.loss.evaluate(layers) for layers in (problem.layers, zero)]
    return np.asarray(divergence_threshold(*values, dtype=dtype), dtype=dtype)


def initial_iterates(descent: Descent, problem: Problem) -> Iterates:
    """Return the iterates at iteration 0, after compiling the programs that advance them."""
    iterates = descent.initial_iterates(problem.layers)
    nowhere = np.zeros(len(descent.step_sizes), int)
    wait_for(descent.advance(iterates, nowhere, np.asarray(0)))
    return iterates


def iterate(
    step: Iteration[State],
    iterates: State,
    count: np.ndarray,
    visit: Callable[[int, State], None],
    *,
    monitor: Monitor = SILENT,
) -> State:
    """Return the iterates after advancing to the iterations `count(step_size, sample)`.

    `visit(sample, iterates)` is called at each sample. After a stop request the iterates reached
    are returned, and samples not reached are not visited.
    """
    chunk, samples = ChunkSize(step, iterates), count.shape[1]
    if not chunk.known:
        monitor.named(COMPILING).report(0.0)
    for sample, until in enumerate(count.T):
        whole = left = _steps_left(iterates, until)
        while left:
            if monitor.stop_requested():
                return iterates
            started, steps = time.perf_counter(), min(chunk.steps, left)
            iterates = wait_for(step.advance(iterates, until, np.asarray(steps)))
            chunk.update(steps, time.perf_counter() - started)
            left = _steps_left(iterates, until)
            if left:
                monitor.report((sample + 1 - left / whole) / samples)
        visit(sample, iterates)
        monitor.report((sample + 1) / samples)
    return iterates


def is_finished(iterates: Counted, count: np.ndarray) -> bool:
    """Return whether every step size has taken all its steps or diverged; false after a stop."""
    return _steps_left(iterates, count[:, -1]) == 0


def _steps_left(iterates: Counted, until: np.ndarray) -> int:
    """Return the largest number of steps left to `until`, over the rows that have not diverged."""
    return int(
        np.where(np.asarray(iterates.alive), until - np.asarray(iterates.iteration), 0).max()
    )


@dataclass(frozen=True, eq=False)
class IterationsToLoss:
    """The iterations at which descent reaches each of some losses, shape (step_size, level).

    Attributes
    ----------
    first
        The first iteration whose loss is at most the level; inf if it is not reached.
    lasting
        The iteration from which on the loss stays at or below the level, as large steps may
        oscillate above it again. inf if there is no such iteration, or if descent diverges.

    Both are nan where a stop request came before they were known.

    """

    first: np.ndarray
    lasting: np.ndarray


def iterations_to(
    losses: Sequence[float],
    problem: Problem,
    step_sizes: Sequence[float],
    most: int,
    *,
    options: DescentOptions = PLAIN,
    monitor: Monitor = SILENT,
) -> IterationsToLoss:
    """Return the iterations, up to `most`, at which descent reaches each of `losses`."""
    crossings = LossCrossings(np.asarray(losses, dtype=options.precision))
    descent = make_descent(problem, step_sizes, options, crossings)
    iterates = iterate(
        descent,
        initial_iterates(descent, problem),
        np.full((len(step_sizes), 1), most),
        lambda _sample, _iterates: None,
        monitor=monitor,
    )
    alive, steps = np.asarray(iterates.alive), np.asarray(iterates.iteration)
    first, since = np.asarray(iterates.accumulated.first), np.asarray(iterates.accumulated.since)
    # nan where a stop request ended the run early: a level may still be reached
    open_end = np.where(alive & (steps < most), np.nan, np.inf)[:, None]
    stays = (alive & (steps == most))[:, None] & (since <= most)
    return IterationsToLoss(np.where(first >= 0, first, open_end), np.where(stays, since, open_end))
