"""Period and amplitude of each mode in the long run, from two windows of consecutive iterates.

Each mode is classified on its own. One window lies half-way along the run, one at its end.
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


class Oscillation(NamedTuple):
    """The long-term behaviour of one mode.

    Attributes
    ----------
    period
        1 if the mode converges; the period in iterations if it is periodic; 0 if it is irregular,
        no iterate of the window recurring within half the window; nan if a longer run is required,
        because the oscillation grows, decays slowly, or follows irregular dynamics.
    amplitude
        Half the range over the late window.
    centre
        The mean over the late window.

    """

    period: float
    amplitude: float
    centre: float


def oscillations(early: np.ndarray, late: np.ndarray, size: float) -> list[Oscillation]:
    """Return the long-term behaviour of each mode from its strengths `(iterate, mode)`.

    Motion below `STATIONARY_LONG_TERM` times `size`, the strength of the largest target, is
    rounding in a mode that converges.
    """
    pairs = zip(early.T, late.T, strict=True)
    return [_oscillation(before, after, STATIONARY_LONG_TERM * size) for before, after in pairs]


def _oscillation(early: np.ndarray, late: np.ndarray, least: float) -> Oscillation:
    amplitude, centre = float(np.ptp(late)) / 2, float(late.mean())
    # a slow monotone approach to the limit is no oscillation and would pass for a large amplitude
    before, after = (alternating_part(tail[:, None])[:, 0] for tail in (early, late))
    first, last = float(np.ptp(before)), float(np.ptp(after))
    if last <= least:
        return Oscillation(1.0, amplitude, centre)
    cycle = period(after[:, None])
    kind = oscillation_behaviour(first, last, cycle, [attractor(before, after, least)])
    if kind in (Behaviour.GROWING, Behaviour.UNDECIDED):
        return Oscillation(np.nan, amplitude, centre)
    return Oscillation(1.0 if kind is Behaviour.DECAYING else float(cycle), amplitude, centre)
