"""What becomes of iterates: they settle, drift, swing for ever, wander or fade, told from a tail.

Numbers followed along the iterates, say the strength u_rᵀ W v_r of each mode, are judged one by one
by `movement`, together by `moving`. `in_the_long_run` compares two tails far apart, which tells a
swing that lasts from one that dies out or still grows: at a fixed point of gradient descent the
Jacobian I - η∇²φ is symmetric, so that every instability at η > 2/λ_max begins as a swing whose
sign alternates (a period doubling), and grows as |1 - ηλ_max|^k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STILL = 1e-3
"""A mode stands still if it moves less than this share of its size over the tail."""
SMALL = 1e-2
"""A mode under this share of the largest is measured against this share of the largest."""
SHRUNK = 0.95
"""A swing shrinks if in the tail's second half it is under this share of its first half's."""
NOISE = 0.01
"""A range that grows by less than this share of the first does not grow."""
LEAST_CROSSINGS = 3
LEAST_ITERATES = 6
"""Fewer different iterates in the tail tell nothing."""

AT_REST = 1e-9
"""In the long run a mode stands still if it moves less than this share of its size."""
DYING, LASTING = 0.5, 0.01
"""A swing that halves from the early tail to the late one dies; one within 1 % lasts.

At the threshold itself a swing fades as 1/√k: from iteration k to 2k to 0.71 of what it was.
"""
ROUNDING = 1e-14
"""A change of less than this share of what changes may be rounding."""
LAGS = (1, 2, 4, 8)
"""Iterates come ever nearer to a cycle of one of these lengths."""
RETURNS = 1e-3
"""Iterates are periodic if each comes back to within this share of their range."""


@dataclass(frozen=True)
class Fate:
    """How iterates end, as far as a tail of them shows.

    `kind` is "settles", "drifts", "shrinks", "wavers" or "swings"; in the long run also "grows" or
    "unclear"; `modes` are those that move, from `low` to `high` where it is one that swings;
    `period` is that of a swing, in iterations, 0 for none; `time` is when iterates end that do.
    Figures know more kinds: of iterates that were not saved one by one, or not to the end.
    """

    kind: str
    modes: tuple[int, ...] = ()
    low: float = np.nan
    high: float = np.nan
    time: float = np.nan
    stride: int = 1
    period: int = 0


def tail_rows(iteration: np.ndarray) -> np.ndarray:
    """Return the samples that hold the last iterates, each iterate once.

    These are the last quarter of the time; where that holds few, as with logarithmic times, a few
    more, but never more than half of all iterates.
    """
    different, rows = np.unique(iteration, return_index=True)
    late = int(np.count_nonzero(different >= 0.75 * different[-1]))
    return np.asarray(rows[-max(late, min(LEAST_ITERATES, len(rows) // 2), 1) :])


def moving(tail: np.ndarray) -> Fate:
    """Return what the modes do over the last iterates `(iterate, mode)`."""
    kinds = _movements(tail, STILL * _sizes(np.abs(tail.mean(axis=0))))
    for kind in ("swings", "wavers", "shrinks", "drifts"):
        movers = tuple(r for r, found in enumerate(kinds) if found == kind)
        if movers:
            first = tail[:, movers[0]]
            return Fate(kind, movers, float(first.min()), float(first.max()))
    return Fate("settles")


def _sizes(modes: np.ndarray) -> np.ndarray:
    """Return the size that each mode's movement is measured against."""
    return np.asarray(np.maximum(modes, SMALL * modes.max()))


def _movements(tail: np.ndarray, least: np.ndarray) -> list[str]:
    return [movement(column, float(few)) for column, few in zip(tail.T, least, strict=True)]


def movement(values: np.ndarray, least: float) -> str:
    """Say what one mode does: "settles", "drifts", "swings", "shrinks" or, unevenly, "wavers".

    It swings only if it crosses its mean at least three times, each time by over half of `least`.
    """
    if np.ptp(values) <= least:
        return "settles"
    off = values - values.mean()
    side = np.sign(off[np.abs(off) > least / 2])
    if np.count_nonzero(np.diff(side)) < LEAST_CROSSINGS:
        return "drifts"
    first, second = (float(np.ptp(half)) for half in np.array_split(values, 2))
    if second > least and second >= SHRUNK * first:
        return "swings"
    if not steadily_less(values):
        return "wavers"
    third, fourth = (float(np.ptp(part)) for part in np.array_split(values, 4)[2:])
    # as it shrinks from half to half, so it should at the end; else a burst has ended in a swing
    expected = third * (1 - (1 - second / first) / 4)
    return "shrinks" if fourth <= expected else "swings"


def steadily_less(values: np.ndarray) -> bool:
    """Say whether the range of values, over a window of a quarter of them, never grows."""
    window = max(len(values) // 4, 2)
    ranges = np.ptp(np.lib.stride_tricks.sliding_window_view(values, window), axis=1)
    return bool((np.diff(ranges) <= NOISE * ranges[0]).all())


def in_the_long_run(early: np.ndarray, late: np.ndarray) -> Fate:
    """Return what becomes of the modes, given two tails `(iterate, mode)` far apart.

    Each tail holds iterates in a row, equally many. It "swings" where the swing is periodic and the
    same in both tails, "wavers" where it is not periodic, "shrinks" where it dies out; it "grows"
    or is "unclear" where a longer run has to tell: a periodic swing that is growing, or fading
    slowly, as it does near a threshold, or one that disorder has ended in.
    """
    before, after = swing(early), swing(late)
    least = AT_REST * _sizes(np.abs(late).max(axis=0))
    kinds = _movements(np.concatenate([before, after]), least)
    movers = [r for r, kind in enumerate(kinds) if kind not in ("settles", "drifts")]
    if not movers:
        moved = np.abs(late[-1] - early[0]) > STILL * _sizes(np.abs(late[-1]))
        return Fate("drifts" if moved.any() else "settles", tuple(map(int, np.flatnonzero(moved))))
    first = late[:, movers[0]]
    ranges = [float(np.ptp(part[:, movers], axis=0).max()) for part in (before, after)]
    cycle = period(after[:, movers])
    approaches = [approach(before[:, r], after[:, r], float(least[r])) for r in movers]
    kind = lasting(ranges[0], ranges[1], cycle, approaches)
    low, high = float(first.min()), float(first.max())
    return Fate(kind, tuple(movers), low, high, period=cycle if kind == "swings" else 0)


def approach(before: np.ndarray, after: np.ndarray, least: float) -> str:
    """Say what the swing of one mode goes to in the late tail: "rest", a "cycle" or "nothing".

    It goes to a cycle, or to rest, if at some lag it comes back ever nearer. In three thirds of
    the tail its ranges are a, b and c; if they go to a limit geometrically, that is
    c - (b - c)²/((a - b) - (b - c)). It goes to rest if it falls, to far below c, and was larger
    early, or if it is at most `least`. That it was larger early says nothing alone: disorder, too,
    may end in a cycle.
    """
    if np.ptp(after) <= least:
        return "rest"
    slack = ROUNDING * float(np.abs(after).max())
    if not any(_comes_nearer(after, lag, slack) for lag in LAGS):
        return "nothing"
    a, b, c = (float(np.ptp(third)) for third in np.array_split(after, 3))
    falls = min(a - b, b - c) > slack and np.ptp(after) < np.ptp(before)
    far_below = c * ((a - b) - (b - c)) <= 2 * (b - c) ** 2  # the limit is at most c/2
    return "rest" if falls and far_below else "cycle"


def _comes_nearer(values: np.ndarray, lag: int, slack: float) -> bool:
    moved = np.abs(values[lag:] - values[:-lag])
    return bool((moved[lag:] <= moved[:-lag] + slack).all())


def lasting(before: float, after: float, cycle: int, approaches: list[str]) -> str:
    """Say what becomes of a swing of these ranges, early and late, with a period or with none."""
    if after > (1 + LASTING) * before and (cycle or DYING * after > before):
        return "grows"
    if cycle and after >= (1 - LASTING) * before:
        return "swings"
    if not cycle and "nothing" in approaches:
        return "wavers"
    to_rest = all(each == "rest" for each in approaches)
    return "shrinks" if to_rest and (not cycle or after <= DYING * before) else "unclear"


def swing(tail: np.ndarray) -> np.ndarray:
    """Return (2x_k - x_{k-1} - x_{k+1})/4: a 2-cycle keeps its size, smooth motion leaves O(η²)."""
    return np.asarray((2 * tail[1:-1] - tail[:-2] - tail[2:]) / 4)


def period(iterates: np.ndarray) -> int:
    """Return after how many steps iterates `(iterate, mode)` come back, 0 if they do not.

    At most half of the number of iterates.
    """
    reach = RETURNS * np.ptp(iterates, axis=0)
    for cycle in range(1, len(iterates) // 2 + 1):
        if (np.abs(iterates[cycle:] - iterates[:-cycle]) <= reach).all():
            return cycle
    return 0


NAMES = ("tracks", "departs", "oscillates", "wanders", "diverges")
"""What is said of a step size, in the order in which it usually comes as η grows."""

HAPPENS: dict[str, dict[str, float]] = {
    "convergence_lost": {"swings": 1, "wavers": 1, "diverges": 1, "grows": 1, "unclear": np.nan},
    "oscillation": {"swings": 1, "wavers": 1, "grows": np.nan, "unclear": np.nan},
    "divergence": {"diverges": 1, "grows": np.nan, "unclear": np.nan},
}
"""By threshold, the kinds of fate at which it is passed (1) or not known to be (nan); else not."""


def happens(threshold: str, kinds: list[str]) -> np.ndarray:
    """Return by fate whether a threshold is passed: 1, 0, or nan where that is not known."""
    return np.array([HAPPENS[threshold].get(kind, 0) for kind in kinds], dtype=float)


def numbered(kind: str, distance: float, within: float) -> float:
    """Return the place in `NAMES` of descent that came so far from the flow; nan if undecided.

    It tracks the flow or departs from it where it comes to rest or goes on smoothly.
    """
    if kind in ("swings", "wavers", "diverges"):
        return float({"swings": 2, "wavers": 3, "diverges": 4}[kind])
    if kind in ("grows", "unclear") or np.isnan(distance):
        return float("nan")
    return float(distance > within)
