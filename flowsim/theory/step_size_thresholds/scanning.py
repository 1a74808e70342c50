"""Long runs of gradient descent at many step sizes: distance to the flow and long-term behaviour.

Step sizes are iterated in blocks of one size, so that one compiled program serves all. The step
sizes of a block are neighbours and take similar numbers of steps, so few rows wait for the slowest.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import jax
import numpy as np

from flowsim.dynamics.descent import Iterates
from flowsim.problem import network
from flowsim.problem.problem import Problem
from flowsim.solvers.iterate import initial_iterates, is_finished, iterate, make_descent
from flowsim.solvers.monitor import Monitor
from flowsim.theory.long_run.classification import long_term_behaviour
from flowsim.theory.long_run.regimes import Behaviour, LongTermBehaviour
from flowsim.theory.step_size_thresholds.following import SAME_TIME, Course, Following

BLOCK = 64
"""Step sizes that are iterated at once."""

TAIL = 64
"""Length of the windows of iterates half-way and at the end; periods up to half are resolved."""


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

        descent = make_descent(self.problem, eta.tolist(), accumulator=Following.along(self.course))
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
