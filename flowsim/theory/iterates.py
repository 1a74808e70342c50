"""Descent once more, for measures that need its layers or an accumulator of all its steps.

No layers of a run's descent are kept: they are computed again, in float64 from the same start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from flowsim.dynamics.accumulators import Accumulated, Accumulator
from flowsim.dynamics.descent import Iterates
from flowsim.dynamics.registry import AlgorithmName, Momentum
from flowsim.problem.problem import Problem
from flowsim.problem.types import Layers
from flowsim.solvers.iterate import begin, stepper, walk
from flowsim.solvers.monitor import SILENT, Monitor


def revisit(
    problem: Problem,
    step_sizes: Sequence[float],
    count: np.ndarray,
    visit: Callable[[int, int, Layers, Accumulated], None],
    *,
    algorithm: AlgorithmName = "gradient",
    momentum: Momentum = 0.0,
    accumulator: Accumulator | None = None,
    monitor: Monitor = SILENT,
) -> None:
    """Go to the iterations `count(step_size, sample)`, and `visit` every step size at each.

    `visit(k, sample, layers, sums)` is called with step size k's own layers and sums, unless it has
    diverged.
    """

    def each(sample: int, iterates: Iterates) -> None:
        found = jax.tree.map(np.asarray, (iterates.layers, iterates.accumulated))
        for k in np.flatnonzero(np.asarray(iterates.alive)):
            visit(int(k), sample, *jax.tree.map(lambda A, k=k: A[k], found))

    descent = stepper(
        problem, step_sizes, algorithm=algorithm, momentum=momentum, accumulator=accumulator
    )
    start = begin(descent, problem)
    walk(descent, start, count, each, monitor=monitor)
