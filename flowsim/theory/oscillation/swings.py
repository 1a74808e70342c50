"""Which of many modes swing for ever, with what period and amplitude: told from two tails.

Each mode is judged on its own, from iterates in a row half-way and at the end of a walk.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowsim.theory.long_run.classification import (
    STATIONARY_LONG_TERM,
    alternating_part,
    attractor,
    oscillation_behaviour,
    period,
)
from flowsim.theory.long_run.regimes import Behaviour

APERIODIC = 0.0


class Swing(NamedTuple):
    """What one mode does in the long run.

    `period` is 1 at rest, the number of iterations after which a lasting swing comes back, 0 where
    it never does within half a tail, nan where a longer walk has to tell: the swing grows, or fades
    slowly, or has followed on disorder. `amplitude` is half its range, `centre` the mean, over the
    late tail.
    """

    period: float
    amplitude: float
    centre: float


def swings(early: np.ndarray, late: np.ndarray, size: float) -> list[Swing]:
    """Return what each mode does, given its strengths `(iterate, mode)` early and late.

    What is less than `STATIONARY_LONG_TERM` of `size`, the strength of the largest target, is rest.
    """
    pairs = zip(early.T, late.T, strict=True)
    return [_swing(before, after, STATIONARY_LONG_TERM * size) for before, after in pairs]


def _swing(early: np.ndarray, late: np.ndarray, least: float) -> Swing:
    amplitude, centre = float(np.ptp(late)) / 2, float(late.mean())
    before, after = (alternating_part(tail[:, None])[:, 0] for tail in (early, late))
    first, last = float(np.ptp(before)), float(np.ptp(after))
    if last <= least:
        return Swing(1.0, amplitude, centre)
    cycle = period(after[:, None])
    kind = oscillation_behaviour(first, last, cycle, [attractor(before, after, least)])
    if kind in (Behaviour.GROWING, Behaviour.UNDECIDED):
        return Swing(np.nan, amplitude, centre)
    return Swing(1.0 if kind is Behaviour.DECAYING else float(cycle), amplitude, centre)
