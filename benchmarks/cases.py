"""What the integrators are timed on: networks whose solution is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowsim import Problem
from flowsim.problem import initialization, losses
from flowsim.theory.exact.modes import ExactModes

SAVED = 6


@dataclass(frozen=True)
class Case:
    """½‖W - Φ‖² on N layers of d × d, from a balanced start aligned with Φ.

    `start` is the scale of each layer, so that W(0) has singular values start^N. Φ has random
    singular vectors, and singular values from `strongest` down to ½. Solutions are compared at
    `SAVED` times, of which the last is the horizon, with the closed form of Saxe et al. 2014.
    """

    name: str
    depth: int
    size: int
    start: float
    horizon: float
    strongest: float = 1.0

    @property
    def title(self) -> str:
        """Return what tables and plots call it."""
        sizes = f"N = {self.depth}, d = {self.size}"
        target = f"σ(Φ) ≤ {self.strongest:g}"
        return f"{self.name}: {sizes}, {target}, layers from {self.start:g}, T = {self.horizon:g}"

    @cached_property
    def problem(self) -> Problem:
        """Return the problem in flowsim's own form."""
        rng = np.random.default_rng(0)
        U, V = (np.linalg.qr(rng.standard_normal((self.size, self.size)))[0] for _ in range(2))
        Phi = U * np.linspace(self.strongest, 0.5, self.size) @ V.T
        widths = [self.size] * (self.depth + 1)
        scale = np.full(self.size, self.start**self.depth)
        return Problem(
            losses.Squared(Phi), initialization.from_svd(widths, U, scale, V.T), self.horizon
        )

    @cached_property
    def times(self) -> np.ndarray:
        """Return the times at which solutions are compared."""
        return np.linspace(0, self.horizon, SAVED)

    @cached_property
    def Phi(self) -> np.ndarray:
        """Return the target."""
        return np.asarray(self.problem.loss.target)

    @cached_property
    def layers(self) -> list[np.ndarray]:
        """Return the starting layers."""
        return [np.array(W) for W in self.problem.layers]

    @cached_property
    def solution(self) -> np.ndarray:
        """Return the exact W at the times."""
        modes = ExactModes.of(self.problem)
        return modes.end_to_end(self.times)

    def error(self, found: np.ndarray) -> float:
        """Return the largest Frobenius error over the times, relative to ‖Φ‖."""
        gaps = np.linalg.norm(found - self.solution, axis=(1, 2))
        return float(gaps.max() / np.linalg.norm(self.Phi))


CASES = [
    Case("small", 3, 10, 0.3, 20.0),
    Case("medium", 3, 64, 0.3, 20.0),
    Case("plateau", 4, 20, 0.1, 150.0),
    Case("long plateau", 4, 20, 1e-2, 1.2e4, 4.0),
    Case("very long plateau", 4, 20, 1e-4, 1.2e8, 4.0),
    Case("large", 3, 256, 0.3, 10.0),
]
