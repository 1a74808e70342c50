"""The least η at which something happens, between step sizes at which it is known.

Nothing says that what happens at η happens at every larger step size: gradient descent has windows
of stability beyond its first instability. So a threshold is the smallest step size *found*, in a
scan that is refined where it first happens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Bracket(NamedTuple):
    """It happens at `high`, the smallest step size found, and not at `low`, the next one below.

    What is unknown lies between. `low` is 0 where it happens from the smallest step size on, both
    are nan where it does not happen.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """Return high - low."""
        return self.high - self.low

    def narrow(self, share: float) -> bool:
        """Say whether there is nothing left to find, to a share of `high`."""
        return not self.width > share * self.high


def bracket(eta: np.ndarray, happens: np.ndarray) -> Bracket:
    """Return where it first happens: `happens` is 1, 0 or, where that is not known, nan."""
    if not (happens == 1).any():
        return Bracket(np.nan, np.nan)
    high = eta[happens == 1].min()
    below = eta[(happens == 0) & (eta < high)]
    return Bracket(float(below.max()) if below.size else 0.0, float(high))


def inside(found: Bracket, count: int) -> np.ndarray:
    """Return `count` step sizes that divide a bracket evenly, without its ends."""
    return np.linspace(found.low, found.high, count + 2)[1:-1]
