"""The search for thresholds in the step size: a scan, and scans again where one lies in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from flowsim.problem.problem import Problem
from flowsim.results.power_law import PowerLaw, power_law
from flowsim.solvers.monitor import Monitor
from flowsim.theory.long_run.regimes import PASSED, threshold_passed
from flowsim.theory.step_size_thresholds.brackets import Bracket, bracket, inside
from flowsim.theory.step_size_thresholds.following import Course
from flowsim.theory.step_size_thresholds.scanning import BLOCK, Scan, Scanner

SCANNED, FROM, TO = 192, 1e-3, 8.0
"""Step sizes of the scan, from and to these multiples of the least and the largest 2/λ_max."""
ITERATIONS, MORE_ITERATIONS = 1 << 12, 1 << 15
"""Least iterations of the scan and of its refinement.

Near a threshold oscillations grow or decay slowly, so that the refinement requires longer runs.
"""
DIVIDED, NARROW, ROUNDS = 15, 5e-4, 4
"""Step sizes that divide a bracket, its final relative width, and the most rounds of division."""
EXTENSIONS, FACTOR, MORE = 3, 8.0, 32
"""Extensions of a scan that ends before a threshold: number, factor, and step sizes of each."""
MOST_ITERATIONS = 1 << 18
"""Step sizes that take more iterations to the final time are not scanned."""
KNOWN = 30
"""Distances below this multiple of their error do not enter the fit of the order."""
SCAN_SHARE, WIDEN_SHARE = 0.5, 0.6
"""Fractions of the work that are done after the scan and after its extensions."""


@dataclass(eq=False)
class Search:
    """Step sizes that are scanned, and scanned again where a threshold lies between them."""

    scanner: Scanner
    levels: np.ndarray
    error: float
    monitor: Monitor
    found: Scan = field(default_factory=Scan.nothing)

    @classmethod
    def along(
        cls,
        problem: Problem,
        course: Course,
        levels: np.ndarray,
        error: float,
        *,
        monitor: Monitor,
    ) -> Search:
        """Return a search for where descent comes further than `levels` from a course.

        Distances from it are known to the `error`.
        """
        scanner = Scanner.of(problem, course, monitor.silent())
        return cls(scanner, levels, error, monitor)

    def scan(self, wanted: np.ndarray, scale: np.ndarray) -> None:
        """Scan the step sizes wanted and a grid on the scale of 2/λ_max, widened where it ends."""
        low, high = FROM * scale.min(), TO * scale.max()
        grid = self._affordable(np.geomspace(low, high, SCANNED))
        self.add(np.concatenate([wanted, grid]), ITERATIONS, SCAN_SHARE)
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
        """Scan evenly from where convergence is lost to divergence, where windows may lie."""
        lost, gone = self.threshold("convergence_lost"), self.threshold("divergence")
        if lost.high < gone.low:
            self.add(inside(Bracket(lost.high, gone.low), BLOCK), ITERATIONS, WIDEN_SHARE)

    def refine(self) -> None:
        """Divide the brackets of all thresholds until they are narrow."""
        for turn in range(ROUNDS):
            wide = [found for found in self.brackets() if not found.narrow(NARROW)]
            points = [inside(found, DIVIDED) for found in wide if found.low > 0]
            if not points:
                break
            self.add(
                np.concatenate(points),
                MORE_ITERATIONS,
                WIDEN_SHARE + (1 - WIDEN_SHARE) * (turn + 1) / ROUNDS,
            )

    def add(self, sizes: np.ndarray, least: int, share: float) -> None:
        """Scan more step sizes; then this share of the work is done."""
        if sizes.size and not self.monitor.stop_requested():
            self.found = self.found.joined(self.scanner.scan(sizes, least))
            self.monitor.report(share)

    def _affordable(self, sizes: np.ndarray) -> np.ndarray:
        affordable = sizes * MOST_ITERATIONS >= self.scanner.course.times[-1]
        return np.asarray(sizes[affordable])

    def brackets(self) -> Iterator[Bracket]:
        """Yield the bracket of every threshold."""
        yield from map(self.threshold, PASSED)
        yield from map(self.tracking, self.levels.tolist())

    def threshold(self, name: str) -> Bracket:
        """Return where descent stops converging, oscillates or diverges."""
        return bracket(self.found.eta, np.array(threshold_passed(name, self.found.kinds())))

    def tracking(self, level: float) -> Bracket:
        """Return where descent comes further than this from the flow, beyond the error of that."""
        off = self.found.distance - level
        passed = np.where(np.abs(off) > self.error, off > 0, np.nan)
        return bracket(self.found.eta, passed)

    def order(self) -> PowerLaw:
        """Return the order of the distance over the step sizes scanned that track the flow closely.

        These are within the smallest of the distances asked for, and known to a thirtieth.
        """
        eta, distance = self.found.eta, self.found.distance
        leaves = self.tracking(float(self.levels.min()))
        tracks = eta <= (leaves.low if np.isfinite(leaves.high) else np.inf)
        good = tracks & (distance > KNOWN * self.error)
        return power_law(eta[good], distance[good])
