"""Where within a step a criterion that ends the flow is met."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowsim.dynamics.flow import State
from flowsim.solvers.stepper import Integrator, Progress


class Crossing(NamedTuple):
    """The number of the criterion that is met first, when, and the scaled state there."""

    number: int
    t: float
    y: State


class Step:
    """The step of an integration that meets a criterion, computed up to any time within it.

    The unknown is the step size, rather than a time within the dense output, so that the state
    has the accuracy of a step.
    """

    def __init__(self, integrator: Integrator, progress: Progress) -> None:
        self._integrator, self._y = integrator, progress.y
        self.t = float(progress.t)
        self.size = float(progress.end - progress.t)

    def after(self, h: float) -> State:
        """Return the scaled state after a part of the step."""
        if h <= 0:
            return self._y
        return self._integrator.single_step(np.asarray(self.t), self._y, np.asarray(h))

    def first_crossing(self) -> Crossing:
        """Return the first of the crossings, each located to rounding."""
        sizes = [self._size_until(k) for k in range(len(self._integrator.criteria))]
        k = int(np.argmin(sizes))
        # a step computed again may miss by rounding what the compiled one has met
        h = min(sizes[k], self.size)
        return Crossing(k, self.t + h, self.after(h))

    def _size_until(self, k: int) -> float:
        """Return the size of the step that ends where a criterion is met, inf if none does."""
        from scipy.optimize import brentq

        def excess(h: float) -> float:
            t = np.asarray(self.t + h)
            return float(self._integrator.excesses(t, self.after(h))[k])

        if excess(self.size) < 0 < excess(0.0):
            return float(brentq(excess, 0.0, self.size, xtol=1e-15 * self.size))
        return self.size if excess(self.size) <= 0 else np.inf
