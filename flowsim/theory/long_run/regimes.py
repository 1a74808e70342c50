"""The regimes of the step size, by the long-term behaviour of gradient descent.

At a minimum the Jacobian of one step, I - η∇²φ, is symmetric, so its eigenvalues 1 - ηλ are real.
For η < 2/λ_max all lie inside (-1, 1) and descent converges. Beyond 2/λ_max the smallest one passes
-1, where the sign of the deviation alternates: a period-doubling bifurcation. With growing η a run
usually shows 2-cycles, longer cycles, irregular (chaotic) dynamics, and divergence, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from math import isnan, nan

from flowsim.solvers.behaviour import Behaviour


class Regime(Enum):
    """The regime of a step size: its stored code, its name, and its meaning.

    The codes increase in the order in which the regimes usually appear as η grows.
    """

    TRACKS_FLOW = 0, "tracks the flow", "W_k stays within the allowed distance of W(kη)"
    OFF_FLOW = 1, "converges, off the flow", "W_k converges, but deviates further from W(kη)"
    PERIODIC = 2, "periodic", "W_k approaches a cycle of two or more matrices"
    APERIODIC = 3, "aperiodic", "W_k stays bounded, but approaches no cycle"
    DIVERGES = 4, "diverges", "the loss exceeds the ceiling of divergence"

    def __init__(self, code: int, word: str, meaning: str) -> None:
        self.code, self.word, self.meaning = code, word, meaning


_BY_BEHAVIOUR = {
    Behaviour.PERSISTENT: Regime.PERIODIC,
    Behaviour.IRREGULAR: Regime.APERIODIC,
    Behaviour.DIVERGES: Regime.DIVERGES,
}


def regime_code(kind: Behaviour, distance: float, allowed: float) -> float:
    """Return the code of the regime of a run whose largest distance to the flow is `distance`.

    nan means undecided: the oscillation grows, or a longer run is required, or the distance of a
    run that converges is nan because its error does not permit to compare it with `allowed`.
    """
    if kind in _BY_BEHAVIOUR:
        return float(_BY_BEHAVIOUR[kind].code)
    if kind in (Behaviour.GROWING, Behaviour.UNDECIDED) or isnan(distance):
        return float("nan")
    return float((Regime.OFF_FLOW if distance > allowed else Regime.TRACKS_FLOW).code)


PASSED: Mapping[str, Mapping[Behaviour, float]] = {
    "convergence_lost": {
        Behaviour.PERSISTENT: 1,
        Behaviour.IRREGULAR: 1,
        Behaviour.DIVERGES: 1,
        Behaviour.GROWING: 1,
        Behaviour.UNDECIDED: nan,
    },
    "oscillation": {
        Behaviour.PERSISTENT: 1,
        Behaviour.IRREGULAR: 1,
        Behaviour.GROWING: nan,
        Behaviour.UNDECIDED: nan,
    },
    "divergence": {
        Behaviour.DIVERGES: 1,
        Behaviour.GROWING: nan,
        Behaviour.UNDECIDED: nan,
    },
}
"""The behaviours beyond each threshold in η (1), and those that leave it undecided (nan).

All others are below the threshold. A growing oscillation certainly does not converge, but a longer
run is required to see whether it saturates or diverges.
"""


def threshold_passed(threshold: str, kinds: Sequence[Behaviour]) -> list[float]:
    """Return 1, 0 or nan (undecided) per behaviour: whether η lies beyond the threshold."""
    return [float(PASSED[threshold].get(kind, 0)) for kind in kinds]
