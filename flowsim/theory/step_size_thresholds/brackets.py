"""Brackets of thresholds in the step size.

A property of gradient descent, say oscillation, is not monotone in η: windows of stability lie
beyond the first instability, so that bisection could converge to the end of any of them. A
threshold is therefore the smallest step size with the property that a scan finds, refined from
there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bracket(NamedTuple):
    """An interval that contains a threshold.

    `high` is the smallest step size found with the property, `low` the next smaller one known to
    lack it, 0 if none is known. Both are nan if the property was not found.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """The width of the bracket, an upper bound on the error of the threshold."""
        return self.high - self.low

    def narrow(self, fraction: float) -> bool:
        """Return whether the width is at most a fraction of `high`, or no threshold was found."""
        return not self.width > fraction * self.high  # true for nan


def bracket(eta: np.ndarray, happens: np.ndarray) -> Bracket:
    """Return the bracket of the smallest η with `happens` = 1, rather than 0 or nan (undecided)."""
    if not (happens == 1).any():
        return Bracket(np.nan, np.nan)
    high = eta[happens == 1].min()
    below = eta[(happens == 0) & (eta < high)]
    return Bracket(float(below.max()) if below.size else 0.0, float(high))


def inside(interval: Bracket, count: int) -> np.ndarray:
    """Return `count` step sizes that divide a bracket evenly, without its ends."""
    return np.linspace(interval.low, interval.high, count + 2)[1:-1]
