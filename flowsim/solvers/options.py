"""The options of one solve: the flow, the saved times, and the method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowsim.dynamics.flow import Flow, State
from flowsim.problem.problem import Problem
from flowsim.solvers.methods.method import Method
from flowsim.solvers.methods.tolerances import Tolerances
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.stepper import Integrator
from flowsim.solvers.stopping import Criteria
from flowsim.solvers.system import ScaledFlow
from flowsim.solvers.window import Window

DEFAULT_SAMPLES = 200
"""Saved times where none are given, enough for a smooth curve."""

WINDOW_BYTES = 1 << 22
"""Bytes of states per transfer from the compiled program: few transfers, and little memory."""

LARGEST_WINDOW = 256
"""Largest number of saved times of one window, whose buffers every step carries along."""


def default_times(problem: Problem) -> np.ndarray:
    """Return the saved times where none are given: equally spaced up to the final time."""
    return np.linspace(0.0, problem.horizon, DEFAULT_SAMPLES)


@dataclass(frozen=True, eq=False)
class SaveAt:
    """The times at which states are saved, and the quantities saved there.

    Attributes
    ----------
    saved
        Times at which everything is saved. Steps end on them.
    between
        Further times, at which W alone is saved.
    keep
        Booleans over `saved`: where W is kept.
    layers
        Whether W_1, …, W_N are kept at `saved`.
    measures
        Whether loss, singular values and the like are computed at `saved`.

    """

    saved: np.ndarray
    between: np.ndarray
    keep: np.ndarray
    layers: bool = False
    measures: bool = True

    @cached_property
    def times(self) -> np.ndarray:
        """All times, increasing, each once."""
        return np.union1d(self.saved, self.between)

    @property
    def end(self) -> np.ndarray:
        """The last time, as an array of no axes."""
        return np.asarray(self.times[-1])

    def window(self, done: int, size: int, method: Method) -> Window:
        """Return the times after the first `done`, up to `size`, with the landings of the steps.

        Windows end at multiples of `size` wherever they begin, so that interrupts change no bit.
        A step lands on the last time of a window and never passes it, so every time inside a step
        is read from that step.
        """
        times = self.times[done : (done // size + 1) * size]
        # dense output that is less accurate than the steps is avoided by landing on every time
        grid = self.saved if method.interpolates else self.times
        following = np.minimum(np.searchsorted(grid, times), grid.size - 1)
        landings = np.minimum(np.maximum(grid[following], times), times[-1])
        padded = np.full((2, size), np.inf)
        padded[:, : times.size] = times, landings
        return Window(times=padded[0], landings=padded[1], filled=np.asarray(times.size))


def window_size(start: State, count: int) -> int:
    """Return the number of states per transfer, for `count` states in all.

    If all fit it is the next power of two, so that few shapes are compiled. Otherwise it is the
    largest number within `WINDOW_BYTES`.
    """
    state_bytes = 8 * sum(int(y.size) for y in start)
    enough = 1 << (count - 1).bit_length()
    return int(np.clip(WINDOW_BYTES // state_bytes, 1, min(enough, LARGEST_WINDOW)))


@dataclass(frozen=True, eq=False)
class Task:
    """One integration: the flow of a problem, its initial state, and all options.

    With `adaptive_method`, the method may change during the integration. `window_size` states are
    transferred from the compiled program at once. The criteria end it only if it is `armed`.
    """

    problem: Problem
    flow: Flow
    start: State
    save: SaveAt
    method: Method
    adaptive_method: bool
    tolerances: Tolerances
    max_steps: int
    criteria: Criteria
    window_size: int
    armed: bool = True
    monitor: Monitor = SILENT

    def integrator(self, method: Method) -> Integrator:
        """Return the compiled integrator of this task with a method."""
        system = ScaledFlow.of(self.flow, self.problem, self.start, self.tolerances)
        return Integrator.of(system, self.tolerances.rtol, method, self.criteria, armed=self.armed)
