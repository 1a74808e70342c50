"""Iterates of gradient descent, computed again for diagnostics that need layers or every step.

A run stores no layers of descent. The replay is in float64 and from the same initialization, so its
iterates are those of the run bitwise where the run was in float64 too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from flowsim.dynamics.accumulators import Accumulated, Accumulator
from flowsim.dynamics.descent import Iterates
from flowsim.problem.problem import Problem
from flowsim.problem.types import Layers
from flowsim.solvers.iterate import (
    PLAIN,
    DescentOptions,
    initial_iterates,
    iterate,
    make_descent,
)
from flowsim.solvers.monitor import SILENT, Monitor


def replay(
    problem: Problem,
    step_sizes: Sequence[float],
    count: np.ndarray,
    visit: Callable[[int, int, Layers, Accumulated], None],
    *,
    options: DescentOptions = PLAIN,
    accumulator: Accumulator | None = None,
    monitor: Monitor = SILENT,
) -> None:
    """Iterate to the counts of each recorded sample, and call `visit` there for every step size.

    `count` has shape (step_size, sample). `visit(k, sample, layers, accumulated)` receives the
    layers of step size k and what its accumulator holds; it is not called past divergence.
    """

    def each(sample: int, iterates: Iterates) -> None:
        found = jax.tree.map(np.asarray, (iterates.layers, iterates.accumulated))
        for k in np.flatnonzero(np.asarray(iterates.alive)):
            visit(int(k), sample, *jax.tree.map(lambda A, k=k: A[k], found))

    descent = make_descent(problem, step_sizes, options, accumulator)
    start = initial_iterates(descent, problem)
    iterate(descent, start, count, each, monitor=monitor)
