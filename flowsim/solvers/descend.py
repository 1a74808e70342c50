"""Gradient descent at many step sizes, recorded at saved times."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.descent import Iterates
from flowsim.dynamics.registry import Momentum
from flowsim.dynamics.rules import GivenRule, as_rule
from flowsim.problem import arguments, network
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.losses import Completion, Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers
from flowsim.process.environment import computing, threads_for
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.iterate import (
    PRECISIONS,
    DescentOptions,
    initial_iterates,
    is_finished,
    iterate,
    iterations,
    make_descent,
)
from flowsim.solvers.last_iterates import LastIterates
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.options import default_times
from flowsim.solvers.programs import make_room
from flowsim.solvers.storage import Series, Store, with_read_only_arrays
from flowsim.solvers.system import LARGEST, distance_to_target, unobserved_error

AT_ONCE = 4096
"""Entries of the widest matrices, over all step sizes that are measured at once."""


@computing()
@arguments.checked(
    problem=arguments.instance_of(Problem, required="a flowsim.Problem"),
    step_sizes=arguments.step_sizes,
    times=arguments.optional(arguments.times_from_zero),
    momentum=arguments.momentum,
    precision=partial(arguments.one_of, names=PRECISIONS),
    noise=arguments.optional(arguments.instance_of(Stream, required="a Stream of draws")),
    reference=arguments.optional(arguments.instance_of(Mapping, required="a mapping of times")),
    keep_layers=arguments.truth,
    monitor=arguments.instance_of(Monitor, required="a Monitor"),
)
def descend(
    problem: Problem,
    step_sizes: Sequence[float],
    times: Sequence[float] | np.ndarray | None = None,
    *,
    rule: GivenRule = "gradient",
    momentum: Momentum = 0.0,
    precision: str = "float64",
    noise: Stream | None = None,
    reference: Mapping[float, np.ndarray] | None = None,
    keep: np.ndarray | None = None,
    keep_layers: bool = False,
    monitor: Monitor = SILENT,
) -> DescentTrajectory:
    """Return gradient descent W_j ← W_j - η (∂φ/∂W_j + λ W_j) at every step size η.

    Every step size takes exactly round(T/η) steps of exactly η, T the last time. Small η track
    gradient flow, with a distance proportional to η. Above 2/λ_max, λ_max the sharpness of the
    Hessian, descent oscillates, moves to a flatter minimum, or diverges.

    Parameters
    ----------
    problem
        The loss, the starting layers and the weight decay λ.
    step_sizes, times
        The step sizes η, and the times from 0 of which the nearest iterates kη are recorded;
        default: the saved times of a flow, 200 equally spaced ones up to the final time.
    rule
        The update rule.

        - A name, as in files: `"gradient"`, `"nesterov"`, `"midpoint"`, `"heun"`, `"rk4"`,
          `"adagrad"`, `"adadelta"`, `"sam"` or `"normalized"`.
        - One of `flowsim.rules` with its parameters, as in `SAM(rho=0.1)`.
        - An optax factory, as in `optax.adam`, which is called with each η.
        - A function (layers, gradients, state, η) → (layers, state), written with jax.numpy. The
          state is one zero matrix per layer at the start; `flowsim.rules.Custom` gives another.
    momentum
        μ of the rules `"gradient"` and `"nesterov"`.
    precision
        With `"float32"` the iterates, not their measures, are in single precision.
    noise
        Replaces the gradient by an estimate, from the same draws at every step size.
    reference
        The flow's W by time kη, for the distance between the two.
    keep
        Booleans over `times`: where W is kept (default: all).
    keep_layers
        Whether to keep W_1, …, W_N of every step size at every one of `times`.
    monitor
        Where progress is reported and stop requests come from.

    Raises
    ------
    ValueError
        If an argument is outside its range, or the rule fails or does not support momentum.
    SettingError
        If JAX cannot compute in double precision with its present settings.

    """
    saved = default_times(problem) if times is None else np.asarray(times)
    count = iterations(saved, step_sizes)
    keep = arguments.mask("keep", keep, saved.size)
    make_room()
    started = time.perf_counter()
    options = DescentOptions(as_rule(rule, momentum), precision, noise)
    descent = make_descent(problem, step_sizes, options)
    record = _DescentRecorder(problem, step_sizes, count, reference or {}, keep, keep_layers)
    iterates = initial_iterates(descent, problem)
    monitor.report(0.0)
    _measured(problem.loss, iterates)
    compiled = time.perf_counter()
    with threads_for(problem.widths):
        iterates = iterate(descent, iterates, count, record.take, monitor=monitor)
    survived = "completed" if is_finished(iterates, count) else "interrupted"
    trajectory = with_read_only_arrays(record.trajectory)
    return replace(
        trajectory,
        outcome=tuple(survived if alive else "diverged" for alive in record.alive),
        seconds=time.perf_counter() - compiled,
        compile=compiled - started,
        rule=options.rule.label,
        follows_flow=options.rule.follows_flow,
        noisy=noise is not None,
        last=LastIterates(problem, descent, iterates, record.left_range),
    )


class _DescentRecorder:
    """The trajectory of descent while it is recorded: nan where nothing is recorded yet."""

    def __init__(
        self,
        problem: Problem,
        step_sizes: Sequence[float],
        count: np.ndarray,
        reference: Mapping[float, np.ndarray],
        keep: np.ndarray,
        keep_layers: bool,
    ) -> None:
        steps, samples = count.shape
        output, inputs = problem.initial.shape

        def empty(*shape: int) -> np.ndarray:
            return np.full((steps, samples, *shape), np.nan)

        self.objective, self.reference, kept = problem.loss, reference, np.flatnonzero(keep)
        self.alive = np.ones(steps, dtype=bool)
        self.left_range = np.full(steps, -1)
        matrices = Store(steps * kept.size, (output, inputs))
        self.trajectory = DescentTrajectory(
            step_sizes=np.asarray(step_sizes, dtype=float),
            iteration=count,
            loss=empty(),
            singular_values=empty(min(output, inputs)),
            distance_to_target=empty(),
            unobserved_error=empty() if isinstance(problem.loss, Completion) else None,
            det_sign=empty() if output == inputs else None,
            imbalance=empty(problem.depth - 1),
            squared_norm=empty(),
            vs_flow=empty(),
            kept=kept,
            end_to_end_series=Series(matrices, np.full((steps, kept.size), -1)),
            layers=tuple(empty(*W.shape) for W in problem.layers) if keep_layers else None,
        )

    def take(self, sample: int, iterates: Iterates) -> None:
        """Record every step size at one sample.

        An iterate beyond the range of flows counts as divergence, as its measures may overflow.
        """
        record = self.trajectory
        W, loss, distance, unobserved, sign, squared_norm, imbalance = (
            np.asarray(a, dtype=np.float64) for a in _measured(self.objective, iterates)
        )
        largest = np.abs(W).max(axis=(1, 2))
        # the negation takes nan, inf times 0 in a product of layers, as beyond the range
        leaves = self.alive & np.asarray(iterates.alive) & ~(largest < LARGEST)
        self.left_range[leaves] = record.iteration[leaves, sample]
        self.alive = np.asarray(iterates.alive) & (self.left_range < 0)
        # inf, rather than nan, orders divergence above every finite loss
        record.loss[:, sample] = np.where(self.alive, loss, np.inf)
        alive = np.flatnonzero(self.alive)
        record.distance_to_target[alive, sample] = distance[alive]
        if record.unobserved_error is not None:
            record.unobserved_error[alive, sample] = unobserved[alive]
        record.imbalance[alive, sample] = imbalance[alive]
        record.squared_norm[alive, sample] = squared_norm[alive]
        for history, W_j in zip(record.layers or (), iterates.layers, strict=bool(record.layers)):
            history[alive, sample] = np.asarray(W_j, dtype=np.float64)[alive]
        record.singular_values[alive, sample] = np.linalg.svd(W[alive], compute_uv=False)
        if record.det_sign is not None:
            record.det_sign[alive, sample] = sign[alive]
        for row in alive:
            flow = self.reference.get(float(record.iteration[row, sample] * record.step_sizes[row]))
            if flow is not None:
                record.vs_flow[row, sample] = np.linalg.norm(W[row] - flow)
        if sample in record.kept:
            matrices, rows = record.end_to_end_series.store, record.end_to_end_series.rows
            place = np.searchsorted(record.kept, sample)
            rows[alive, place] = matrices.count + np.arange(alive.size)
            matrices.append(W[alive])


@eqx.filter_jit
def _measured(loss: Loss, iterates: Iterates) -> Any:
    """Return W, ℓ(W), errors, sign det W, Σ‖W_j‖² and the imbalance of every step size.

    In float64. Errors are ‖W - Φ‖_F of all entries and of those not observed; the sign is nan where
    W is not square.
    """

    def one(layers: Layers) -> tuple[Array, ...]:
        layers = tuple(W.astype(jnp.float64) for W in layers)
        W = network.end_to_end(layers)
        errors = distance_to_target(loss, W), unobserved_error(loss, W)
        of_layers = network.squared_norm(layers), jnp.append(network.imbalance(layers), 0.0)
        square = W.shape[0] == W.shape[1]
        sign = network.det_sign(layers) if square else jnp.asarray(jnp.nan)
        return W, loss.at(layers, W), *errors, sign, *of_layers

    # a few at once: batched LU and QR of large matrices can deadlock on few cores
    widest = max(max(W.shape[1:]) for W in iterates.layers)
    at_once = max(1, AT_ONCE // widest**2)
    *others, imbalance = jax.lax.map(one, iterates.layers, batch_size=at_once)
    return *others, imbalance[:, :-1]  # a map in batches takes no array without entries
