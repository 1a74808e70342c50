"""What is integrated, at which times it is recorded, and how."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowsim.dynamics.flow import Flow, State
from flowsim.problem.problem import Problem
from flowsim.solvers.methods import Method, Tolerances
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.stepper import Integrator, Window

WINDOW_BYTES = 1 << 22


LARGEST_WINDOW = 256


@dataclass(frozen=True, eq=False)
class Wanted:
    """The times to step on and keep, further times for W alone, and what to keep at them."""

    saved: np.ndarray
    between: np.ndarray
    keep: np.ndarray
    layers: bool = False
    measures: bool = True

    @cached_property
    def times(self) -> np.ndarray:
        """Return all times, increasing, each once."""
        return np.union1d(self.saved, self.between)

    def window(self, done: int, size: int, method: Method) -> Window:
        """Return the times after the first `done`, up to `size`, with where steps must land.

        Windows end at multiples of `size` wherever they begin, and their last time is landed on:
        no step runs past it, so every time inside a step is read from that step.
        """
        times = self.times[done : (done // size + 1) * size]
        grid = self.saved if method.interpolates else self.times
        following = np.minimum(np.searchsorted(grid, times), grid.size - 1)
        landings = np.minimum(np.maximum(grid[following], times), times[-1])
        padded = np.full((2, size), np.inf)
        padded[:, : times.size] = times, landings
        return Window(times=padded[0], landings=padded[1], filled=np.asarray(times.size))


def window_size(start: State, count: int) -> int:
    """Return how many states to bring to the host at once when `count` are wanted: 2^k, or few."""
    state_bytes = 8 * sum(int(y.size) for y in start)
    enough = 1 << (count - 1).bit_length()
    return int(np.clip(WINDOW_BYTES // state_bytes, 1, min(enough, LARGEST_WINDOW)))


@dataclass(frozen=True, eq=False)
class Task:
    """All that an integration is told: the flow of a problem, how to follow it, what to keep.

    With `adaptive_method` an explicit `method` may give way to others. `window_size` states are
    brought to the host at once.
    """

    problem: Problem
    flow: Flow
    method: Method
    adaptive_method: bool
    tolerances: Tolerances
    max_steps: int
    stop_at_loss: float | None
    wanted: Wanted
    start: State
    window_size: int
    monitor: Monitor = SILENT

    def _units(self) -> tuple[float, ...]:
        """Return the unit of each matrix of the state: the flow's own unless atol is given."""
        own = self.flow.units(self.start) if self.tolerances.atol is None else None
        return own or self.tolerances.scales(self.start)

    def integrator(self, method: Method) -> Integrator:
        """Return the compiled side of this task under a method."""
        return Integrator.of(
            self.flow,
            self.problem.loss,
            self.problem.weight_decay,
            tuple(y.shape for y in self.start),
            self._units(),
            self.tolerances.rtol,
            method,
            self.stop_at_loss,
        )
