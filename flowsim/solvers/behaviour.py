"""Names of the long-term behaviour of gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import nan


class Behaviour(Enum):
    """Long-term behaviour of the iterates, as inferred from one or two windows of them."""

    CONVERGES = "converges"
    DRIFTS = "drifts"
    DECAYING = "decaying oscillation"
    PERSISTENT = "persistent oscillation"
    IRREGULAR = "irregular oscillation"
    GROWING = "growing oscillation"
    UNDECIDED = "undecided"
    DIVERGES = "diverges"
    UNMOVED_WHERE_RECORDED = "unmoved at the recorded iterates"
    MOVES_BETWEEN_MODES = "W moves although its modes do not"
    INCOMPLETE = "not recorded to the end"


@dataclass(frozen=True)
class LongTermBehaviour:
    """The behaviour of one run of gradient descent, and what describes it further.

    Attributes
    ----------
    kind
        The behaviour.
    modes
        Indices of the modes that move, from 0.
    low, high
        Smallest and largest strength of the first of them over the window, else nan.
    time
        Time at which the iterates diverge or are incomplete, else nan.
    stride
        Iterations between recorded iterates where these do not move.
    period
        Period of a periodic oscillation in iterations, else 0.

    """

    kind: Behaviour
    modes: tuple[int, ...] = ()
    low: float = nan
    high: float = nan
    time: float = nan
    stride: int = 1
    period: int = 0
