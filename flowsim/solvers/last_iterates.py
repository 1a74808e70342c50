"""Where gradient descent is heading from its last iterates, which are continued for a while."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from flowsim.dynamics.descent import Descent, Iterates
from flowsim.problem import network
from flowsim.problem.problem import Problem
from flowsim.problem.spectra import strengths
from flowsim.problem.types import Layers
from flowsim.solvers.behaviour import Behaviour, LongTermBehaviour
from flowsim.solvers.iterate import iterate
from flowsim.solvers.limit import heading
from flowsim.solvers.long_run import alternating_part, long_term_behaviour
from flowsim.solvers.verdict import Ending, Verdict

WINDOW = 64
"""Consecutive iterates in which oscillations are looked for; periods up to half are resolved."""
APART = 512
"""Iterations between two such windows at most, and no more than descent has taken."""
MODES = 8
"""Modes of W in which they are looked for."""

ALTERNATING = 0.1
"""Part of the motion that alternates from iterate to iterate, at least, in an oscillation."""

OSCILLATIONS = {
    Behaviour.PERSISTENT: Verdict.OSCILLATING,
    Behaviour.IRREGULAR: Verdict.IRREGULAR,
}


@dataclass(frozen=True, eq=False)
class LastIterates:
    """The state in which descent ended at every step size.

    `left_range` has the first recorded iteration at which W was beyond the range of flows, or -1.
    """

    problem: Problem
    descent: Descent
    iterates: Iterates
    left_range: np.ndarray

    def endings(self, times: np.ndarray, losses: np.ndarray, finished: bool) -> tuple[Ending, ...]:
        """Return how each step size ended, given the times kη and the losses `(row, sample)`."""
        rows = range(len(times))
        if not finished:
            return tuple(self._stopped(row) or self._at(row, Verdict.INTERRUPTED) for row in rows)
        behaviours = [None for _ in rows] if self.descent.noise is not None else self._behaviours()
        return tuple(
            self._stopped(row) or self._ending(row, times[row], losses[row], behaviours[row])
            for row in rows
        )

    def _at(self, row: int, verdict: Verdict) -> Ending:
        return Ending(verdict, int(self.iterates.iteration[row]))

    def _stopped(self, row: int) -> Ending | None:
        """Return the verdict on a row that has diverged, at the iteration after its last one.

        If the loss decreased up to there it is unbounded below, which no step size changes.
        """
        if self.left_range[row] >= 0:
            return Ending(Verdict.OUT_OF_RANGE, int(self.left_range[row]))
        if self.iterates.alive[row]:
            return None
        decreased = float(self.problem.loss.evaluate(self._layers(row))) < self._initial_loss
        verdict = Verdict.OUT_OF_RANGE if decreased else Verdict.DIVERGED
        return Ending(verdict, int(self.iterates.iteration[row]) + 1)

    def _ending(
        self, row: int, times: np.ndarray, losses: np.ndarray, found: LongTermBehaviour | None
    ) -> Ending:
        at = self._at(row, Verdict.REACHED_HORIZON).at
        if found is not None and found.kind in OSCILLATIONS:
            details = {"low": found.low, "high": found.high}
            if found.kind is Behaviour.PERSISTENT:
                details = {"period": found.period, **details}
            return Ending(OSCILLATIONS[found.kind], at, details)
        return replace(heading(self.problem, self._layers(row), times, losses), at=at)

    def _layers(self, row: int) -> Layers:
        return tuple(np.asarray(W[row], dtype=np.float64) for W in self.iterates.layers)

    def _behaviours(self) -> list[LongTermBehaviour | None]:
        """Return the behaviour of the modes u_rᵀ W_k v_r in two windows; None after divergence.

        The singular vectors are those of the last W, so that a mode that changes its sign does not
        seem to reflect.
        """
        start = np.asarray(self.iterates.iteration)
        U, _, Vt = np.linalg.svd(self._last, full_matrices=False)
        windows = np.full((len(start), 2 * WINDOW, min(MODES, U.shape[2])), np.nan)

        def visit(sample: int, iterates: Iterates) -> None:
            alive = np.asarray(iterates.alive)
            modes = strengths(U, Vt, self._matrices(iterates))
            windows[alive, sample] = modes[alive, : windows.shape[2]]

        visited = np.arange(1, WINDOW + 1)
        gaps = np.minimum(start, APART)[:, None]
        count = start[:, None] + np.concatenate([visited + 0 * gaps, visited + WINDOW + gaps], 1)
        iterate(self.descent, self.iterates, count, visit)
        return [_behaviour(modes) if np.isfinite(modes).all() else None for modes in windows]

    @cached_property
    def _initial_loss(self) -> float:
        return float(self.problem.loss.evaluate(self.problem.layers))

    @cached_property
    def _last(self) -> np.ndarray:
        """W of every step size at its last iterate."""
        return self._matrices(self.iterates)

    @staticmethod
    def _matrices(iterates: Iterates) -> np.ndarray:
        return np.asarray(
            network.end_to_end(tuple(np.asarray(W, dtype=np.float64) for W in iterates.layers))
        )


def _behaviour(modes: np.ndarray) -> LongTermBehaviour:
    """Return the behaviour of modes `(iterate, mode)`, with the range of the widest."""
    found = long_term_behaviour(modes[:WINDOW], modes[WINDOW:])
    if not found.modes:
        return found
    late = modes[WINDOW:, list(found.modes)]
    # the smooth oscillations of momentum have a small alternating part too
    if np.ptp(alternating_part(late)) < ALTERNATING * np.ptp(late, axis=0).max():
        return LongTermBehaviour(Behaviour.DRIFTS, found.modes)
    widest = late[:, np.argmax(np.ptp(late, axis=0))]
    return replace(found, low=float(widest.min()), high=float(widest.max()))
