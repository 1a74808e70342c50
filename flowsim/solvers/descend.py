"""Descent at many step sizes: recorded at the saved times, or watched for wanted losses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.accumulators import LossCrossings
from flowsim.dynamics.descent import Iterates
from flowsim.dynamics.registry import AlgorithmName, Momentum, follows_flow
from flowsim.problem import network
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers
from flowsim.solvers.iterate import arrived, begin, iterations, stepper, walk
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.recorder import distance_to_target
from flowsim.solvers.storage import Series, Store

AT_ONCE = 4096
"""Entries of the widest matrices of as many step sizes as are measured at once."""


@dataclass(frozen=True, eq=False)
class DescentTrajectory:
    """Descent at the iterations nearest to the saved times of a flow.

    Arrays have leading axes (step_size, sample). At and after divergence the loss is inf and all
    else nan; after an interrupt all is nan. `outcome` holds "completed", "diverged" or
    "interrupted" for each step size; `kept` are the samples at which `end_to_end` was kept;
    `det_sign` is None where W is not square; `follows_flow` says whether iterate k is compared with
    the flow at time kη.
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
    follows_flow: bool = True
    noisy: bool = False

    @property
    def end_to_end(self) -> np.ndarray:
        """Return W of every step size at the kept samples, all at once."""
        return np.asarray(self.end_to_end_series)

    @property
    def times(self) -> np.ndarray:
        """Return t = kη of each recorded iterate."""
        return np.asarray(self.iteration * self.step_sizes[:, None])


def descend(
    problem: Problem,
    step_sizes: Sequence[float],
    times: np.ndarray,
    *,
    algorithm: AlgorithmName = "gradient",
    momentum: Momentum = 0.0,
    precision: str = "float64",
    noise: Stream | None = None,
    reference: Mapping[float, np.ndarray] | None = None,
    keep: np.ndarray | None = None,
    monitor: Monitor = SILENT,
) -> DescentTrajectory:
    """Run W_j ← W_j - η ∂φ/∂W_j for every step size, exactly round(T/η) iterations of exactly η.

    Another `algorithm` takes as many steps of its own. With `noise` the loss's gradient is an
    estimate that is drawn at every step, from the same numbers at every step size. `reference` maps
    times kη to the flow's W there, for the distance between the two; `keep` says at which samples W
    is kept (default: all).
    Precision "float32" runs descent, not its measures, in single precision.

    Raises
    ------
    ValueError
        If momentum is asked of an algorithm that does not have it.

    """
    count = iterations(times, step_sizes)
    keep = np.ones(times.size, dtype=bool) if keep is None else keep
    started = time.perf_counter()
    descent = stepper(
        problem,
        step_sizes,
        algorithm=algorithm,
        momentum=momentum,
        precision=precision,
        noise=noise,
    )
    record = _Record(
        problem, step_sizes, follows_flow(algorithm, momentum), count, reference or {}, keep
    )
    iterates = begin(descent, problem)
    _measured(problem.loss, iterates)
    compiled = time.perf_counter()
    iterates = walk(descent, iterates, count, record.take, monitor=monitor)
    stopped = not arrived(iterates, count)
    seconds, compiling = time.perf_counter() - compiled, compiled - started
    return record.finished(stopped, seconds, compiling, noisy=noise is not None)


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
    momentum: Momentum = 0.0,
    precision: str = "float64",
    noise: Stream | None = None,
    monitor: Monitor = SILENT,
) -> Reached:
    """Watch the first `most` iterates for losses ℓ ≤ each of `losses`, in descent's precision."""
    descent = stepper(
        problem,
        step_sizes,
        algorithm=algorithm,
        momentum=momentum,
        precision=precision,
        accumulator=LossCrossings(np.asarray(losses, dtype=precision)),
        noise=noise,
    )
    iterates = walk(
        descent,
        begin(descent, problem),
        np.full((len(step_sizes), 1), most),
        lambda _sample, _iterates: None,
        monitor=monitor,
    )
    alive, taken = np.asarray(iterates.alive), np.asarray(iterates.iteration)
    first, since = np.asarray(iterates.accumulated.first), np.asarray(iterates.accumulated.since)
    open_end = np.where(alive & (taken < most), np.nan, np.inf)[:, None]
    stays = (alive & (taken == most))[:, None] & (since <= most)
    return Reached(np.where(first >= 0, first, open_end), np.where(stays, since, open_end))


class _Record:
    """The measures of every iterate recorded so far, nan where there is none."""

    def __init__(
        self,
        problem: Problem,
        step_sizes: Sequence[float],
        follows_flow: bool,
        count: np.ndarray,
        reference: Mapping[float, np.ndarray],
        keep: np.ndarray,
    ) -> None:
        self.problem, self.count, self.keep = problem, count, keep
        self.follows_flow = follows_flow
        self.step_sizes, self.reference = np.asarray(step_sizes, dtype=float), reference
        steps, samples = count.shape
        output, inputs = problem.initial.shape

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
        W, loss, distance, sign, squared_norm, imbalance = (
            np.asarray(a, dtype=np.float64) for a in measured
        )
        self.loss[:, sample] = np.where(self.alive, loss, np.inf)
        alive = np.flatnonzero(self.alive)
        self.distance[alive, sample] = distance[alive]
        self.imbalance[alive, sample] = imbalance[alive]
        self.squared_norm[alive, sample] = squared_norm[alive]
        self.sigma[alive, sample] = np.linalg.svd(W[alive], compute_uv=False)
        if self.det_sign is not None:
            self.det_sign[alive, sample] = sign[alive]
        for steps in alive:
            flow = self.reference.get(float(self.count[steps, sample] * self.step_sizes[steps]))
            if flow is not None:
                self.vs_flow[steps, sample] = np.linalg.norm(W[steps] - flow)
        if self.keep[sample]:
            first = self.matrices.count
            self.rows[alive, np.searchsorted(self.kept, sample)] = first + np.arange(alive.size)
            self.matrices.append(W[alive])

    def finished(
        self, stopped: bool, seconds: float, compiling: float, *, noisy: bool
    ) -> DescentTrajectory:
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
            follows_flow=self.follows_flow,
            noisy=noisy,
        )


@eqx.filter_jit
def _measured(loss: Loss, iterates: Iterates) -> Any:
    """Return W, ℓ(W), ‖W - Φ‖_F, sign det W, Σ‖W_j‖² and the imbalance of every step size.

    In float64; the sign is nan where W is not square.
    """

    def one(layers: Layers) -> tuple[Array, ...]:
        layers = tuple(W.astype(jnp.float64) for W in layers)
        W = network.end_to_end(layers)
        measured = loss.value(W), distance_to_target(loss, W)
        of_layers = network.squared_norm(layers), jnp.append(network.imbalance(layers), 0.0)
        square = W.shape[0] == W.shape[1]
        sign = network.det_sign(layers) if square else jnp.asarray(jnp.nan)
        return W, *measured, sign, *of_layers

    # a few at once: batched LU and QR of large matrices can deadlock on few cores
    widest = max(max(W.shape[1:]) for W in iterates.layers)
    at_once = max(1, AT_ONCE // widest**2)
    *found, imbalance = jax.lax.map(one, iterates.layers, batch_size=at_once)
    return *found, imbalance[:, :-1]  # a map in batches takes no array without entries
