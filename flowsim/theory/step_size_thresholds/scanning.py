"""Long runs of gradient descent at many step sizes: distance to the flow and long-term behaviour.

Step sizes are iterated in blocks of one size, so that one compiled program serves all. The step
sizes of a block are neighbours and take similar numbers of steps, so few rows wait for the slowest.
Descent is compared with the flow after every step, rather than at saved times alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowsim.dynamics.accumulators import Accumulator, ManyLayers, Step
from flowsim.dynamics.descent import Iterates
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers, Matrix, Scalar
from flowsim.solvers.behaviour import Behaviour, LongTermBehaviour
from flowsim.solvers.iterate import initial_iterates, is_finished, iterate, make_descent
from flowsim.solvers.long_run import long_term_behaviour
from flowsim.solvers.monitor import Monitor
from flowsim.theory.step_size_thresholds.spec import BLOCK
from flowsim.theory.tracking_bound.measure import derivatives

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

SAME_TIME = 1e-12
"""Relative difference below which two times are equal, as kη is rounded."""

TAIL = 64
"""Length of the windows of iterates half-way and at the end; periods up to half are resolved."""


@dataclass(frozen=True, eq=False)
class Course:
    """The end-to-end matrix of a flow at all times, a polynomial of degree 5 between saved ones.

    It interpolates W, Ẇ and Ẅ at every saved time (quintic Hermite interpolation, of order 6). The
    derivatives follow from the layers and cost no further solve.

    Attributes
    ----------
    times
        The saved times.
    pieces
        Coefficients by falling power, shape (6, interval, d_N, d_0).
    end
        W at the last time.
    size
        The largest ‖W‖_F at saved times.
    error
        Estimated largest error of the interpolant in the Frobenius norm.

    """

    times: np.ndarray
    pieces: np.ndarray
    end: np.ndarray
    size: float
    error: float

    @classmethod
    def of(
        cls, loss: Loss, times: np.ndarray, layers: Sequence[np.ndarray], weight_decay: float = 0.0
    ) -> Course:
        """Return the course of the layer flow from layers `(time, out, in)` at two times or more.

        The error is estimated by a second interpolant of every other saved time, as its largest
        deviation at the times left out. At order 6 that is 2⁶ = 64 times the error where the times
        resolve the flow, so it is a safe bound. It is inf for two times, which leave none out.
        """
        at = [tuple(W[i] for W in layers) for i in range(times.size)]
        known = np.array([_moving(loss, each, weight_decay) for each in at])
        kept = np.zeros(times.size, dtype=bool)
        # the last time stays, since extrapolation to it would not measure interpolation
        kept[::2] = kept[-1] = True
        missed = _hermite(times[kept], known[kept])(times[~kept]) - known[~kept, 0]
        return cls(
            times=times,
            pieces=np.asarray(_hermite(times, known).c),
            end=known[-1, 0],
            size=float(np.linalg.norm(known[:, 0], axis=(1, 2)).max()),
            error=float(np.linalg.norm(missed, axis=(1, 2)).max()) if len(missed) else np.inf,
        )


@eqx.filter_jit
def _moving(
    loss: Loss, layers: Layers, weight_decay: Array | float
) -> tuple[Matrix, Matrix, Matrix]:
    """Return W, Ẇ and Ẅ along the layer flow.

    They are the derivatives at t = 0 of the product of the layers' Taylor polynomials of degree 2,
    which agrees with the flow to that order. This avoids the product rule for N factors.
    """
    moving = derivatives(loss, layers, weight_decay)

    def path(t: Scalar) -> Matrix:
        series = zip(layers, moving.first, moving.second, strict=True)
        return network.end_to_end(tuple(W + t * V + 0.5 * t**2 * A for W, V, A in series))

    def velocity(t: Scalar) -> tuple[Matrix, Matrix]:
        both: tuple[Matrix, Matrix] = jax.jvp(path, (t,), (jnp.ones(()),))
        return both

    (W, first), (_, second) = jax.jvp(velocity, (jnp.zeros(()),), (jnp.ones(()),))
    return W, first, second


def _hermite(times: np.ndarray, known: np.ndarray) -> PPoly:
    """Return the polynomials with these W, Ẇ and Ẅ, `(time, order, output, input)`."""
    from scipy.interpolate import BPoly, PPoly

    return PPoly.from_bernstein_basis(BPoly.from_derivatives(times, list(known)))


class Followed(NamedTuple):
    """The largest ‖W_k - W(kη)‖_F so far, and the loss of the last iterate before the end."""

    distance: Float[Array, " step_size"]
    loss: Float[Array, " step_size"]


class Following(Accumulator):
    """Compares every iterate with a flow at t = kη, to the flow's end."""

    times: Float[Array, " time"]
    pieces: Float[Array, "power piece output input"]

    def initial(self, loss: Loss, layers: ManyLayers) -> Followed:
        """Return the distance 0, and the loss at initialization."""
        values = jax.vmap(lambda W: loss.at(W, network.end_to_end(W)))(layers)
        return Followed(distance=jnp.zeros_like(values), loss=values)

    def update(self, loss: Loss, step: Step, sums: Followed) -> Followed:  # noqa: ARG002
        """Return the distance and loss including one more iterate, ignored after the final time."""
        t = step.iteration.astype(step.step_sizes.dtype) * step.step_sizes
        lasts = t <= self.times[-1] * (1 + SAME_TIME)
        farther = jnp.maximum(sums.distance, jax.vmap(self._distance)(t, step.after))
        return Followed(
            distance=jnp.where(lasts, farther, sums.distance),
            loss=jnp.where(lasts, step.loss, sums.loss),
        )

    def _distance(self, t: Scalar, layers: Layers) -> Scalar:
        """Return ‖W_N⋯W_1 - W(t)‖_F."""
        last = self.times.shape[0] - 2
        piece = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, last)
        # Horner's scheme in the time since the interval's start
        flow = jnp.zeros(self.pieces.shape[2:])
        for coefficient in self.pieces[:, piece]:
            flow = flow * (t - self.times[piece]) + coefficient
        distance: Scalar = jnp.linalg.norm(network.end_to_end(layers) - flow)
        return distance


@dataclass(frozen=True, eq=False)
class Scan:
    """Results at ascending step sizes η.

    Attributes
    ----------
    eta
        The step sizes.
    distance
        max_k ‖W_k - W(kη)‖_F up to the final time; inf where descent diverges before it.
    loss
        The loss of the last iterate up to the final time; inf where descent diverges before it.
    behaviours
        The long-term behaviour after `steps` iterations, one `LongTermBehaviour` per step size.
    steps
        The numbers of iterations.

    """

    eta: np.ndarray
    distance: np.ndarray
    loss: np.ndarray
    behaviours: np.ndarray
    steps: np.ndarray

    @classmethod
    def nothing(cls) -> Scan:
        """Return the results at no step size."""
        none = np.zeros(0)
        return cls(none, none, none, np.zeros(0, dtype=object), np.zeros(0, dtype=int))

    def joined(self, other: Scan) -> Scan:
        """Return the results of both scans; of a step size in both, those of the longer run."""
        columns = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(self)
        }
        # by step size, and the longest run first where one was scanned twice
        order = np.lexsort((-columns["steps"], columns["eta"]))
        first = order[np.diff(columns["eta"][order], prepend=-np.inf) > 0]
        return Scan(**{name: values[first] for name, values in columns.items()})

    def kinds(self) -> list[Behaviour]:
        """Return the kind of behaviour at every step size."""
        return [each.kind for each in self.behaviours]

    def rows(self, sizes: np.ndarray) -> np.ndarray:
        """Return the row of each of these step sizes, -1 if it was not scanned."""
        places = {float(eta): row for row, eta in enumerate(self.eta)}
        return np.array([places.get(float(eta), -1) for eta in sizes], dtype=int)


@dataclass(frozen=True, eq=False)
class Scanner:
    """Runs descent at blocks of step sizes and compares it with the interpolated flow."""

    problem: Problem
    course: Course
    looking: np.ndarray
    monitor: Monitor

    @classmethod
    def of(cls, problem: Problem, course: Course, monitor: Monitor) -> Scanner:
        """Return a scanner that records the modes ⟨u_r v_rᵀ, W⟩ of the final W of the flow.

        It also records ⟨A, W⟩ for one random A, in which oscillations outside these modes appear.
        """
        U, _, Vt = np.linalg.svd(course.end, full_matrices=False)
        modes = np.einsum("or,ri->roi", U, Vt)
        other = np.random.default_rng(0).standard_normal(course.end.shape)
        looking = np.stack([*modes, other / np.linalg.norm(other)])
        return cls(problem, course, looking, monitor)

    def scan(self, sizes: np.ndarray, least: int) -> Scan:
        """Return the results of runs to the final time, of at least `least` iterations.

        After an interrupt, only the blocks that were completed are returned.
        """
        sizes, results = np.unique(sizes), Scan.nothing()
        for first in range(0, sizes.size, BLOCK):
            block = self._block(sizes[first : first + BLOCK], least)
            if block is None:
                break
            results = results.joined(block)
        return results

    def _block(self, sizes: np.ndarray, least: int) -> Scan | None:
        """Return the results at up to `BLOCK` step sizes, or None after an interrupt."""
        # padded by its last step size, so that every block has the shape that is compiled
        eta = np.concatenate([sizes, np.full(BLOCK - sizes.size, sizes[-1])])
        at_end = np.floor(self.course.times[-1] * (1 + SAME_TIME) / eta).astype(int)
        steps = np.maximum(at_end, least)
        tail = np.arange(1 - TAIL, 1)
        count = np.concatenate([steps[:, None] // 2 + tail, steps[:, None] + tail], axis=1)
        seen = np.full((2 * TAIL, BLOCK, len(self.looking)), np.nan)

        def visit(sample: int, iterates: Iterates) -> None:
            seen[sample] = np.asarray(_looked(self.looking, iterates))

        following = Following(times=self.course.times, pieces=self.course.pieces)
        descent = make_descent(self.problem, eta.tolist(), accumulator=following)
        start = initial_iterates(descent, self.problem)
        iterates = iterate(descent, start, count, visit, monitor=self.monitor)
        if not is_finished(iterates, count):
            return None
        # divergence after the final time belongs to the long run, not to the distance to the flow
        lost = ~np.asarray(iterates.alive)
        early = lost & (np.asarray(iterates.iteration) < at_end)
        behaviours = np.empty(BLOCK, dtype=object)
        behaviours[:] = [
            LongTermBehaviour(Behaviour.DIVERGES)
            if gone
            else long_term_behaviour(seen[:TAIL, k], seen[TAIL:, k])
            for k, gone in enumerate(lost)
        ]
        distance, loss = (np.where(early, np.inf, np.asarray(a)) for a in iterates.accumulated)
        whole = Scan(eta, distance, loss, behaviours, steps)
        return Scan(**{f.name: getattr(whole, f.name)[: sizes.size] for f in fields(Scan)})


@jax.jit
def _looked(looking: np.ndarray, iterates: Iterates) -> jax.Array:
    W = jax.vmap(network.end_to_end)(iterates.layers)
    products: jax.Array = jax.numpy.einsum("koi,roi->kr", W, looking)
    return products
