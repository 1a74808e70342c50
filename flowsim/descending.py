"""Running descent at many step sizes: recorded at the saved times, or watched for wanted losses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim import network
from flowsim.arrays import Array, Layers
from flowsim.dynamics import Descent
from flowsim.dynamics.descent import DIVERGED_FACTOR, Iterates
from flowsim.dynamics.rules import AlgorithmName, rule
from flowsim.integration import finished
from flowsim.losses import Loss, value_and_gradient
from flowsim.pacing import Pacing
from flowsim.problem import Problem
from flowsim.recording import distance_to_target
from flowsim.series import Series, Store
from flowsim.task import Interrupted, Watcher, uninterrupted, unwatched


@dataclass(frozen=True, eq=False)
class DescentTrajectory:
    """Descent at the iterations nearest to the saved times of a flow.

    Arrays have leading axes (step_size, sample). At and after divergence the loss is inf and all
    else nan; after an interrupt all is nan. `outcome` holds "completed", "diverged" or
    "interrupted" for each step size; `kept` are the samples at which `end_to_end` was kept;
    `det_sign` is None where W is not square.
    """

    step_sizes: np.ndarray
    iteration: np.ndarray
    loss: np.ndarray
    singular_values: np.ndarray
    distance_to_target: np.ndarray
    det_sign: np.ndarray | None
    imbalance: np.ndarray
    squared_norm: np.ndarray
    vs_flow: np.ndarray
    kept: np.ndarray
    end_to_end_series: Series
    outcome: tuple[str, ...]
    seconds: float
    compile: float
    algorithm: AlgorithmName = "gradient"

    @property
    def follows_flow(self) -> bool:
        """Say whether iterate k belongs to the time kη of the flow, as gradient descent's does."""
        return self.algorithm == "gradient"

    @property
    def end_to_end(self) -> np.ndarray:
        """Return W of every step size at the kept samples, all at once."""
        return np.asarray(self.end_to_end_series)

    @property
    def times(self) -> np.ndarray:
        """Return t = kη of each recorded iterate."""
        return np.asarray(self.iteration * self.step_sizes[:, None])


def iterations(times: np.ndarray, step_sizes: Sequence[float]) -> np.ndarray:
    """Return round(t_i / η) for every step size and saved time, shape (step_size, sample)."""
    return np.asarray(np.rint(times / np.asarray(step_sizes)[:, None]), dtype=np.int64)


def descend(
    problem: Problem,
    step_sizes: Sequence[float],
    times: np.ndarray,
    *,
    algorithm: AlgorithmName = "gradient",
    momentum: float = 0.0,
    precision: str = "float64",
    reference: Mapping[float, np.ndarray] | None = None,
    keep: np.ndarray | None = None,
    watch: Watcher = unwatched,
    interrupted: Interrupted = uninterrupted,
) -> DescentTrajectory:
    """Run W_j ← W_j - η ∂φ/∂W_j for every step size, exactly round(T/η) iterations of exactly η.

    Another `algorithm` takes as many steps of its own. `reference` maps times kη to the flow's W
    there, for the distance between the two; `keep` says at which samples W is kept (default: all).
    Precision "float32" runs descent, not its measures, in single precision.

    Raises
    ------
    ValueError
        If momentum is given to another algorithm than gradient descent.

    """
    count = iterations(times, step_sizes)
    keep = np.ones(times.size, dtype=bool) if keep is None else keep
    started = time.perf_counter()
    stepper = _stepper(problem, step_sizes, algorithm, momentum, precision)
    iterates = stepper.start(problem.layers)
    finished(stepper.advance(iterates, np.zeros(len(step_sizes), int), np.asarray(0)))
    record = _Record(problem, step_sizes, algorithm, count, reference or {}, keep)
    record.take(0, iterates)
    compiled = time.perf_counter()
    stopped = _march(stepper, iterates, record, watch, interrupted)
    return record.finished(stopped, time.perf_counter() - compiled, compiled - started)


@dataclass(frozen=True, eq=False)
class Reached:
    """When descent's loss came to be at most each of some losses, shape (step_size, level).

    `first` is the first iteration at which it was; `lasting` the one from which on it stayed there,
    for large steps may pass through a loss and swing above it again. Both are inf for never (and
    `lasting` where descent diverges), nan where an interrupt came before it was known.
    """

    first: np.ndarray
    lasting: np.ndarray


def iterations_to(
    losses: Sequence[float],
    problem: Problem,
    step_sizes: Sequence[float],
    most: int,
    *,
    algorithm: AlgorithmName = "gradient",
    momentum: float = 0.0,
    precision: str = "float64",
    watch: Watcher = unwatched,
    interrupted: Interrupted = uninterrupted,
) -> Reached:
    """Watch the first `most` iterates for losses ℓ ≤ each of `losses`, in descent's precision."""
    stepper = _stepper(problem, step_sizes, algorithm, momentum, precision)
    wanted = np.asarray(losses, dtype=stepper.step_sizes.dtype)
    below = stepper.start_below(problem.layers, wanted)
    pacing, taken = Pacing(stepper, below), 0
    while taken < most and np.asarray(below.iterates.alive).any() and not interrupted():
        started, piece = time.perf_counter(), min(pacing.piece, most - taken)
        below = finished(stepper.watch_below(below, wanted, np.asarray(piece)))
        pacing.learn(piece, time.perf_counter() - started)
        taken += piece
        watch(taken / most)
    alive, since, first = map(np.asarray, (below.iterates.alive, below.since, below.first))
    open_end = np.where(alive & (taken < most), np.nan, np.inf)[:, None]
    stays = alive[:, None] & (since <= taken) & (taken == most)
    return Reached(np.where(first >= 0, first, open_end), np.where(stays, since, open_end))


def _stepper(
    problem: Problem,
    step_sizes: Sequence[float],
    algorithm: AlgorithmName,
    momentum: float,
    precision: str,
) -> Descent:
    dtype = np.dtype(precision)
    loss = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, problem.loss)
    return Descent(
        loss=loss,
        step_sizes=np.asarray(step_sizes, dtype=dtype),
        rule=rule(algorithm, np.asarray(momentum, dtype=dtype)),
        weight_decay=np.asarray(problem.weight_decay, dtype=dtype),
        ceiling=ceiling(problem, dtype),
    )


def ceiling(problem: Problem, dtype: np.dtype) -> np.ndarray:
    """Return the loss above which descent has diverged, as `DIVERGED_FACTOR` says."""
    start, limits = problem.start, np.finfo(dtype)
    usual = [abs(float(value_and_gradient(problem.loss, W)[0])) for W in (start, 0 * start)]
    highest = DIVERGED_FACTOR * max(*usual, float(limits.tiny))
    return np.asarray(min(highest, float(limits.max)), dtype=dtype)


def _march(
    stepper: Descent,
    iterates: Iterates,
    record: _Record,
    watch: Watcher,
    interrupted: Interrupted,
) -> bool:
    """Go from sample to sample, in pieces of a fraction of a second; say whether interrupted."""
    pacing, samples = Pacing(stepper, iterates), record.count.shape[1]
    for sample in range(1, samples):
        remaining = record.count[:, sample] - record.count[:, sample - 1]
        remaining = np.where(np.asarray(iterates.alive), remaining, 0)
        while remaining.any():
            if interrupted():
                return True
            started, piece = time.perf_counter(), pacing.piece
            iterates = finished(stepper.advance(iterates, remaining, np.asarray(piece)))
            pacing.learn(min(piece, int(remaining.max())), time.perf_counter() - started)
            remaining = np.where(np.asarray(iterates.alive), np.maximum(remaining - piece, 0), 0)
        record.take(sample, iterates)
        watch(sample / (samples - 1))
    return False


class _Record:
    """The measures of every iterate recorded so far, nan where there is none."""

    def __init__(
        self,
        problem: Problem,
        step_sizes: Sequence[float],
        algorithm: AlgorithmName,
        count: np.ndarray,
        reference: Mapping[float, np.ndarray],
        keep: np.ndarray,
    ) -> None:
        self.problem, self.count, self.keep = problem, count, keep
        self.algorithm = algorithm
        self.step_sizes, self.reference = np.asarray(step_sizes, dtype=float), reference
        steps, samples = count.shape
        output, inputs = problem.start.shape

        def empty(*shape: int) -> np.ndarray:
            return np.full((steps, samples, *shape), np.nan)

        self.loss, self.distance, self.vs_flow = empty(), empty(), empty()
        self.sigma = empty(min(output, inputs))
        self.det_sign = empty() if output == inputs else None
        self.squared_norm = empty()
        self.imbalance = empty(problem.depth - 1)
        self.kept = np.flatnonzero(keep)
        self.matrices = Store(steps * self.kept.size, (output, inputs))
        self.rows = np.full((steps, self.kept.size), -1)
        self.alive = np.ones(steps, dtype=bool)

    def take(self, sample: int, iterates: Iterates) -> None:
        """Record every step size at one sample."""
        self.alive = np.asarray(iterates.alive)
        measured = _measured(self.problem.loss, iterates)
        W, loss, distance, imbalance, squared_norm, sign = (
            np.asarray(a, dtype=np.float64) for a in measured
        )
        self.loss[:, sample] = np.where(self.alive, loss, np.inf)
        for steps in np.flatnonzero(self.alive):
            self.distance[steps, sample] = distance[steps]
            self.imbalance[steps, sample] = imbalance[steps]
            self.squared_norm[steps, sample] = squared_norm[steps]
            self.sigma[steps, sample] = np.linalg.svd(W[steps], compute_uv=False)
            if self.det_sign is not None:
                self.det_sign[steps, sample] = sign[steps]
            flow = self.reference.get(float(self.count[steps, sample] * self.step_sizes[steps]))
            if flow is not None:
                self.vs_flow[steps, sample] = np.linalg.norm(W[steps] - flow)
            if self.keep[sample]:
                self.rows[steps, np.searchsorted(self.kept, sample)] = self.matrices.count
                self.matrices.append(W[steps : steps + 1])

    def finished(self, stopped: bool, seconds: float, compiling: float) -> DescentTrajectory:
        """Return what was recorded."""
        survived = "interrupted" if stopped else "completed"
        return DescentTrajectory(
            step_sizes=self.step_sizes,
            iteration=self.count,
            loss=self.loss,
            singular_values=self.sigma,
            distance_to_target=self.distance,
            det_sign=self.det_sign,
            imbalance=self.imbalance,
            squared_norm=self.squared_norm,
            vs_flow=self.vs_flow,
            kept=self.kept,
            end_to_end_series=Series(self.matrices, self.rows),
            outcome=tuple(survived if alive else "diverged" for alive in self.alive),
            seconds=seconds,
            compile=compiling,
            algorithm=self.algorithm,
        )


@eqx.filter_jit
def _measured(loss: Loss, iterates: Iterates) -> Any:
    """Return W, ℓ(W), ‖W - Φ‖_F, the imbalance, Σ‖W_j‖² and sign det W of every step size.

    In float64; the sign is nan where W is not square.
    """

    def one(layers: Layers) -> tuple[Array, ...]:
        layers = tuple(W.astype(jnp.float64) for W in layers)
        W = network.end_to_end(layers)
        measured = loss.value(W), distance_to_target(loss, W)
        of_layers = network.imbalance(layers), network.squared_norm(layers)
        square = W.shape[0] == W.shape[1]
        sign = network.det_sign(layers) if square else jnp.asarray(jnp.nan)
        return W, *measured, *of_layers, sign

    # one after the other: batched LU and QR of large matrices can deadlock on few cores
    return jax.lax.map(one, iterates.layers)
