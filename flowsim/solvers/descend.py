"""Gradient descent at many step sizes, recorded at saved times."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim import cards
from flowsim.dynamics.descent import Iterates
from flowsim.dynamics.registry import Momentum
from flowsim.dynamics.rules import GivenRule, as_rule
from flowsim.dynamics.update_rules import HeavyBall
from flowsim.problem import arguments, network, spectra
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers
from flowsim.process.environment import computing, isolated
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
from flowsim.solvers.recorder import distance_to_target
from flowsim.solvers.storage import Series, Store, with_read_only_arrays
from flowsim.solvers.system import LARGEST
from flowsim.solvers.tables import Tabular
from flowsim.solvers.variables import DESCENT, GRID, VariableSpec, layer_spec
from flowsim.solvers.verdict import Ending, Verdict

if TYPE_CHECKING:
    from pandas import Index

LISTED = 6
"""Step sizes that a card lists."""

AT_ONCE = 4096
"""Entries of the widest matrices, over all step sizes that are measured at once."""


@dataclass(frozen=True, eq=False)
class DescentTrajectory(Tabular):
    """Gradient descent at the iterations nearest to the saved times of a flow.

    Arrays are read-only, with leading axes (step_size, sample). At and after divergence the loss is
    inf and all else nan. Entries not reached before a stop request are nan.

    Attributes
    ----------
    iteration
        The number k of each recorded iterate.
    loss, singular_values, distance_to_target
        ℓ(W), σ descending along a further axis, and ‖W - Φ‖_F (nan without a target Φ).
    det_sign
        The sign of det W, -1, 0 or 1; None where W is not square.
    imbalance, squared_norm
        ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F along a further axis of pairs, and Σ_j ‖W_j‖²_F.
    vs_flow
        ‖W_k - W(kη)‖_F, the distance to gradient flow, where that is known.
    kept, end_to_end_series
        The samples at which W is kept, and those W.
    outcome
        `"completed"`, `"diverged"` or `"interrupted"`, per step size.
    seconds, compile
        Wall time of iterating and of compiling.
    rule
        The update rule in words.
    layers
        W_1, …, W_N in float64 if requested, each of shape (step_size, sample, d_j, d_{j-1}).
    follows_flow
        Whether iterate k approximates the flow at time kη.
    noisy
        Whether the gradient was noisy.
    last
        The last iterates, from which `endings` derive.

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
    outcome: tuple[str, ...] = ()
    seconds: float = 0.0
    compile: float = 0.0
    rule: str = HeavyBall().label
    layers: tuple[np.ndarray, ...] | None = None
    follows_flow: bool = True
    noisy: bool = False
    last: LastIterates | None = None

    rows = ("step_size", "sample")

    @property
    def declared(self) -> tuple[VariableSpec, ...]:
        """The declarations of all variables."""
        layers = range(1, len(self.layers or ()) + 1)
        return (*DESCENT, *(layer_spec(j, *GRID) for j in layers))

    def arrays(self) -> dict[str, Any]:
        """Return the arrays by the names of their variables; None where there is none."""
        targeted = self.problem.loss.target is not None
        all_kept = self.kept.size == self.iteration.shape[1]
        return {
            "step_size": self.step_sizes,
            "iteration": self.iteration,
            "time": self.times if self.follows_flow else None,
            "loss": self.loss,
            "singular_values": self.singular_values,
            "effective_rank": spectra.effective_rank(self.singular_values),
            "nuclear_norm": spectra.nuclear_norm(self.singular_values),
            "det_sign": self.det_sign,
            "distance_to_target": self.distance_to_target if targeted else None,
            "imbalance": self.imbalance,
            "squared_norm": self.squared_norm,
            "outcome": np.array(self.outcome, dtype=object),
            "end_to_end": self.end_to_end_series,
            "saved_sample": None if all_kept else self.kept,
            **{f"layer_{j}": history for j, history in enumerate(self.layers or (), start=1)},
        }

    def labels(self) -> Index:
        """Return the step size and the iteration of each row."""
        import pandas

        sizes = np.repeat(self.step_sizes, self.iteration.shape[1])
        return pandas.MultiIndex.from_arrays(
            [sizes, self.iteration.ravel()], names=["step_size", "iteration"]
        )

    @property
    def problem(self) -> Problem:
        """What descent minimized."""
        assert self.last is not None
        return self.last.problem

    @cached_property
    @isolated()
    def endings(self) -> tuple[Ending, ...]:
        """How descent ended at each step size: its verdict, the iteration, and numbers with it."""
        assert self.last is not None
        return self.last.endings(self.times, self.loss, "interrupted" not in self.outcome)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict on each step size."""
        return tuple(ending.verdict for ending in self.endings)

    @property
    def end_to_end(self) -> np.ndarray:
        """Return W of every step size at the kept samples, all at once."""
        return np.asarray(self.end_to_end_series)

    @property
    def times(self) -> np.ndarray:
        """Return t = kη of each recorded iterate."""
        return np.asarray(self.iteration * self.step_sizes[:, None])

    def _rows(self) -> Mapping[str, str]:
        ends = (
            f"{eta:g}: {ended}" for eta, ended in zip(self.step_sizes, self.endings, strict=True)
        )
        listed = list(islice(ends, LISTED))
        more = self.step_sizes.size - len(listed)
        return {
            "rule": self.rule + (", noisy" if self.noisy else ""),
            "verdict": "; ".join([*listed, *([f"and {more} more step sizes"] if more else [])]),
            "saved": f"{self.iteration.shape[1]} iterates, W of shape "
            f"{self.end_to_end_series.shape[2:]}",
            "final loss": ", ".join(f"{loss:.6g}" for loss in self.loss[: len(listed), -1]),
            "seconds": f"{self.seconds:.2f}, and {self.compile:.2f} to compile",
        }

    def __repr__(self) -> str:
        return cards.as_text("DescentTrajectory", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html("DescentTrajectory", self._rows())


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
    started = time.perf_counter()
    options = DescentOptions(as_rule(rule, momentum), precision, noise)
    descent = make_descent(problem, step_sizes, options)
    record = _DescentRecorder(problem, step_sizes, count, reference or {}, keep, keep_layers)
    iterates = initial_iterates(descent, problem)
    _measured(problem.loss, iterates)
    compiled = time.perf_counter()
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
        W, loss, distance, sign, squared_norm, imbalance = (
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
    *others, imbalance = jax.lax.map(one, iterates.layers, batch_size=at_once)
    return *others, imbalance[:, :-1]  # a map in batches takes no array without entries
