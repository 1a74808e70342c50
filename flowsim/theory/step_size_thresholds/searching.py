"""The search for thresholds in the step size: a coarse scan, and refinement of every bracket.

A property of gradient descent, say oscillation, is not monotone in η: windows of stability lie
beyond the first instability, so that bisection could converge to the end of any of them. A
threshold is therefore the smallest step size with the property that a scan finds, refined from
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from flowsim.results.power_law import PowerLaw, power_law
from flowsim.solvers.monitor import Monitor
from flowsim.theory.long_run.regimes import PASSED, threshold_passed
from flowsim.theory.step_size_thresholds.scanning import Scan, Scanner
from flowsim.theory.step_size_thresholds.spec import BLOCK, ITERATIONS, MORE_ITERATIONS

SCANNED, FROM, TO = 192, 1e-3, 8.0
"""Number of step sizes of the scan, and its ends as multiples of the least and largest 2/λ_max."""

DIVIDED, NARROW, ROUNDS = 15, 5e-4, 4
"""Step sizes that divide a bracket, its final relative width, and the most rounds of division.

Each round narrows a bracket 16-fold, so that four rounds narrow it 65 536-fold."""

EXTENSIONS, FACTOR, MORE = 3, 8.0, 32
"""Extensions of a scan that ends before a threshold: number, factor, and step sizes of each."""

MOST_ITERATIONS = 1 << 18
"""Step sizes that take more iterations to the final time are not scanned."""

KNOWN = 30
"""Distances below this multiple of their error do not enter the fit of the order."""

SCAN_SHARE, WIDEN_SHARE = 0.5, 0.6
"""Fractions of the work that are done after the scan and after its extensions."""


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


@dataclass(eq=False)
class Search:
    """A search for all thresholds, and the results of its scans so far.

    Attributes
    ----------
    scanner
        Runs gradient descent at given step sizes.
    levels
        Distances ‖W_k - W(kη)‖_F beyond which descent no longer tracks the flow.
    error
        Estimated error of those distances.
    monitor
        Receives progress and answers stop requests.
    found
        The results at all step sizes scanned so far.

    """

    scanner: Scanner
    levels: np.ndarray
    error: float
    monitor: Monitor
    found: Scan = field(default_factory=Scan.nothing)

    def scan(self, sizes: np.ndarray, scale: np.ndarray) -> None:
        """Scan given step sizes and a logarithmic grid around the values 2/λ_max in `scale`.

        The grid is extended upwards until descent diverges, and downwards until it tracks the flow.
        """
        low, high = FROM * scale.min(), TO * scale.max()
        grid = self._affordable(np.geomspace(low, high, SCANNED))
        self.add(np.concatenate([sizes, grid]), ITERATIONS, SCAN_SHARE)
        for _ in range(EXTENSIONS):
            if not np.isfinite(self.threshold("divergence").high):
                self.add(np.geomspace(high, FACTOR * high, MORE + 1)[1:], ITERATIONS, SCAN_SHARE)
                high *= FACTOR
        for _ in range(EXTENSIONS):
            if self.tracking(float(self.levels.min())).low == 0:
                lower = self._affordable(np.geomspace(low, low / FACTOR, MORE + 1)[1:])
                self.add(lower, ITERATIONS, WIDEN_SHARE)
                low /= FACTOR

    def look_between(self) -> None:
        """Scan evenly from the loss of convergence to divergence.

        Windows of convergence or oscillation there may be narrower than the spacing of the grid.
        """
        lost, gone = self.threshold("convergence_lost"), self.threshold("divergence")
        if lost.high < gone.low:
            self.add(inside(Bracket(lost.high, gone.low), BLOCK), ITERATIONS, WIDEN_SHARE)

    def refine(self) -> None:
        """Divide the brackets of all thresholds until they are narrow."""
        for turn in range(ROUNDS):
            wide = [each for each in self.brackets() if not each.narrow(NARROW)]
            # a bracket from 0 has no step size below the threshold that could be divided from
            points = [inside(each, DIVIDED) for each in wide if each.low > 0]
            if not points:
                break
            self.add(
                np.concatenate(points),
                MORE_ITERATIONS,
                WIDEN_SHARE + (1 - WIDEN_SHARE) * (turn + 1) / ROUNDS,
            )

    def add(self, sizes: np.ndarray, least: int, fraction: float) -> None:
        """Scan more step sizes; then this fraction of the work is done."""
        if sizes.size and not self.monitor.stop_requested():
            self.found = self.found.joined(self.scanner.scan(sizes, least))
            self.monitor.report(fraction)

    def _affordable(self, sizes: np.ndarray) -> np.ndarray:
        affordable = sizes * MOST_ITERATIONS >= self.scanner.course.times[-1]
        return np.asarray(sizes[affordable])

    def brackets(self) -> Iterator[Bracket]:
        """Yield the bracket of every threshold."""
        yield from map(self.threshold, PASSED)
        yield from map(self.tracking, self.levels.tolist())

    def threshold(self, name: str) -> Bracket:
        """Return the bracket of a threshold in `PASSED`, such as "divergence"."""
        return bracket(self.found.eta, np.array(threshold_passed(name, self.found.kinds())))

    def tracking(self, level: float) -> Bracket:
        """Return the bracket of the smallest step size whose distance to the flow exceeds `level`.

        Distances within `error` of the level are undecided.
        """
        off = self.found.distance - level
        passed = np.where(np.abs(off) > self.error, off > 0, np.nan)
        return bracket(self.found.eta, passed)

    def order(self) -> PowerLaw:
        """Return the order p of the distance, as a fit of distance ∝ η^p.

        The fit takes step sizes below the threshold of the smallest level, where the distance is at
        least `KNOWN` times its error: larger steps are not in the asymptotic range.
        """
        eta, distance = self.found.eta, self.found.distance
        leaves = self.tracking(float(self.levels.min()))
        tracks = eta <= (leaves.low if np.isfinite(leaves.high) else np.inf)
        good = tracks & (distance > KNOWN * self.error)
        return power_law(eta[good], distance[good])
