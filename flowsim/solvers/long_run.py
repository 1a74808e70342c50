"""Classification of long-term behaviour from windows of consecutive iterates.

The input are numbers per iterate, e.g. the mode strengths u_rᵀ W_k v_r. One window (`window_rows`,
`window_behaviour`) suffices for figures, which have only the recorded iterates. Two windows that
are far apart (`long_term_behaviour`) distinguish an oscillation that persists from one that decays
or grows: near its threshold η = 2/λ_max an oscillation evolves as |1 - ηλ_max|^k, arbitrarily
slowly, so that no single window can decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

import numpy as np

from flowsim.solvers.behaviour import Behaviour, LongTermBehaviour

STATIONARY = 1e-3
"""In one window, a mode is stationary if its range is below this fraction of its size.

Figures show no smaller motion.
"""
SMALL = 1e-2
"""The size of a mode is at least this fraction of the largest mode.

Otherwise rounding in a mode near 0 would count as motion.
"""
DECAYED = 0.95
"""An oscillation decays if its range falls below this fraction from the first half of a window to
the second."""
RANGE_NOISE = 0.01
"""A range that grows by less than this fraction of the first one counts as constant.

The iterates of a window rarely meet the extremes of an oscillation exactly.
"""
LEAST_CROSSINGS = 3
"""Crossings of the mean that distinguish an oscillation from an overshoot, which has one or two."""
LEAST_ITERATES = 6
"""Fewer different iterates than this leave the behaviour undecided."""

STATIONARY_LONG_TERM = 1e-9
"""With two windows, a mode is stationary if its range is below this fraction of its size."""
HALVED, CONSTANT = 0.5, 0.01
"""An oscillation that halves between the windows decays; one that changes by 1 % persists.

At the threshold itself an oscillation decays as k^{-1/2}, from iteration k to 2k to 0.71 of its
range. It lies between the two, and is left undecided.
"""
ROUNDING = 1e-14
"""Changes below this fraction of the values may be rounding."""
LAGS = (1, 2, 4, 8)
"""Cycle lengths that an approach is tested for: those of the first period doublings."""
RECURRENCE = 1e-3
"""Iterates are periodic if each one recurs within this fraction of their range."""

_OSCILLATIONS = (Behaviour.PERSISTENT, Behaviour.IRREGULAR, Behaviour.DECAYING)


def window_rows(iteration: np.ndarray) -> np.ndarray:
    """Return the recorded samples in the last quarter of the iterations, each iterate once.

    Where that quarter holds fewer than `LEAST_ITERATES`, as with logarithmic times, earlier samples
    are included, up to half of all iterates.
    """
    different, rows = np.unique(iteration, return_index=True)
    late = int(np.count_nonzero(different >= 0.75 * different[-1]))
    return np.asarray(rows[-max(late, min(LEAST_ITERATES, len(rows) // 2), 1) :])


def window_behaviour(window: np.ndarray) -> LongTermBehaviour:
    """Return the behaviour of modes over one window `(iterate, mode)`.

    The most persistent behaviour of any mode counts: an oscillation before a drift.
    """
    kinds = _mode_behaviours(window, STATIONARY * _sizes(np.abs(window.mean(axis=0))))
    for kind in (*_OSCILLATIONS, Behaviour.DRIFTS):
        movers = tuple(r for r, found in enumerate(kinds) if found is kind)
        if movers:
            first = window[:, movers[0]]
            return LongTermBehaviour(kind, movers, float(first.min()), float(first.max()))
    return LongTermBehaviour(Behaviour.CONVERGES)


def _sizes(modes: np.ndarray) -> np.ndarray:
    """Return the size to which the motion of each mode is compared."""
    return np.asarray(np.maximum(modes, SMALL * modes.max()))


def _mode_behaviours(window: np.ndarray, least: np.ndarray) -> list[Behaviour]:
    return [mode_behaviour(column, float(few)) for column, few in zip(window.T, least, strict=True)]


def mode_behaviour(values: np.ndarray, least: float) -> Behaviour:
    """Return the behaviour of one mode over a window, motion below `least` being stationary.

    An oscillation crosses its mean at least three times, each time by more than `least`/2 to either
    side. It decays if its range falls steadily, and is irregular if the range falls otherwise.
    """
    if np.ptp(values) <= least:
        return Behaviour.CONVERGES
    off = values - values.mean()
    side = np.sign(off[np.abs(off) > least / 2])
    if np.count_nonzero(np.diff(side)) < LEAST_CROSSINGS:
        return Behaviour.DRIFTS
    first, second = (float(np.ptp(half)) for half in np.array_split(values, 2))
    if second > least and second >= DECAYED * first:
        return Behaviour.PERSISTENT
    if not range_decreases(values):
        return Behaviour.IRREGULAR
    third, fourth = (float(np.ptp(part)) for part in np.array_split(values, 4)[2:])
    # The last quarter should fall at the rate of the halves, of which a quarter is a generous
    # share. If it does not, the first half held a burst, after which the oscillation persists.
    expected = third * (1 - (1 - second / first) / 4)
    return Behaviour.DECAYING if fourth <= expected else Behaviour.PERSISTENT


def range_decreases(values: np.ndarray) -> bool:
    """Return whether the range over a sliding quarter of the values never grows."""
    width = max(len(values) // 4, 2)
    ranges = np.ptp(np.lib.stride_tricks.sliding_window_view(values, width), axis=1)
    return bool((np.diff(ranges) <= RANGE_NOISE * ranges[0]).all())


def long_term_behaviour(early: np.ndarray, late: np.ndarray) -> LongTermBehaviour:
    """Return the behaviour of modes from two windows `(iterate, mode)` that are far apart.

    Both windows hold equally many consecutive iterates. Undecided are oscillations that decay as
    slowly as they do near a threshold, and cycles that irregular dynamics ended in.
    """
    # Smooth motion, however slow, must not hide an oscillation, nor count as one.
    before, after = alternating_part(early), alternating_part(late)
    least = STATIONARY_LONG_TERM * _sizes(np.abs(late).max(axis=0))
    kinds = _mode_behaviours(np.concatenate([before, after]), least)
    movers = [r for r, kind in enumerate(kinds) if kind in _OSCILLATIONS]
    if not movers:
        moved = np.abs(late[-1] - early[0]) > STATIONARY * _sizes(np.abs(late[-1]))
        kind = Behaviour.DRIFTS if moved.any() else Behaviour.CONVERGES
        return LongTermBehaviour(kind, tuple(map(int, np.flatnonzero(moved))))
    first = late[:, movers[0]]
    ranges = [float(np.ptp(part[:, movers], axis=0).max()) for part in (before, after)]
    cycle = period(after[:, movers])
    limits = [attractor(before[:, r], after[:, r], float(least[r])) for r in movers]
    kind = oscillation_behaviour(ranges[0], ranges[1], cycle, limits)
    low, high = float(first.min()), float(first.max())
    cycle = cycle if kind is Behaviour.PERSISTENT else 0
    return LongTermBehaviour(kind, tuple(movers), low, high, period=cycle)


def alternating_part(window: np.ndarray) -> np.ndarray:
    """Return (2x_k - x_{k-1} - x_{k+1})/4, shape `(iterate - 2, mode)`.

    This filter keeps (-1)^k exactly, and reduces smooth motion x(kη) to -η²ẍ/4 = O(η²).
    """
    return np.asarray((2 * window[1:-1] - window[:-2] - window[2:]) / 4)


class Attractor(Enum):
    """What an oscillation approaches within a window."""

    FIXED_POINT = auto()
    CYCLE = auto()
    NONE = auto()


def attractor(before: np.ndarray, after: np.ndarray, least: float) -> Attractor:
    """Return what the oscillation of one mode approaches in the late window.

    It approaches a cycle, or a fixed point, if at some lag its return distances |x_{k+lag} - x_k|
    never grow. It approaches a fixed point if its range is at most `least`, or falls towards a
    limit far below the present one.
    """
    if np.ptp(after) <= least:
        return Attractor.FIXED_POINT
    slack = ROUNDING * float(np.abs(after).max())
    if not any(_return_distances_shrink(after, lag, slack) for lag in LAGS):
        return Attractor.NONE
    a, b, c = (float(np.ptp(third)) for third in np.array_split(after, 3))
    # That the range was larger early is no evidence alone: irregular dynamics may end in a cycle.
    falls = min(a - b, b - c) > slack and np.ptp(after) < np.ptp(before)
    # Ranges a, b, c that converge geometrically have the limit c - (b - c)²/((a - b) - (b - c)),
    # Aitken's extrapolation. It is at most c/2 where the following holds, free of division.
    far_below = c * ((a - b) - (b - c)) <= 2 * (b - c) ** 2
    return Attractor.FIXED_POINT if falls and far_below else Attractor.CYCLE


def _return_distances_shrink(values: np.ndarray, lag: int, slack: float) -> bool:
    distance = np.abs(values[lag:] - values[:-lag])
    return bool((distance[lag:] <= distance[:-lag] + slack).all())


def oscillation_behaviour(
    before: float, after: float, cycle: int, limits: Sequence[Attractor]
) -> Behaviour:
    """Return the long-term behaviour of an oscillation.

    Parameters
    ----------
    before, after
        Its range in the early and in the late window.
    cycle
        Its period in the late window, 0 if it has none.
    limits
        The attractor of each oscillating mode.

    """
    # An irregular oscillation covers its attractor unevenly: only a doubled range is growth.
    if after > (1 + CONSTANT) * before and (cycle or HALVED * after > before):
        return Behaviour.GROWING
    if cycle and after >= (1 - CONSTANT) * before:
        return Behaviour.PERSISTENT
    if not cycle and Attractor.NONE in limits:
        return Behaviour.IRREGULAR
    to_point = all(limit is Attractor.FIXED_POINT for limit in limits)
    decays = to_point and (not cycle or after <= HALVED * before)
    return Behaviour.DECAYING if decays else Behaviour.UNDECIDED


def period(iterates: np.ndarray) -> int:
    """Return the least period of iterates `(iterate, mode)`, or 0 if they are not periodic.

    Periods of up to half the number of iterates are found.
    """
    reach = RECURRENCE * np.ptp(iterates, axis=0)
    for cycle in range(1, len(iterates) // 2 + 1):
        if (np.abs(iterates[cycle:] - iterates[:-cycle]) <= reach).all():
            return cycle
    return 0
