"""Problems with known solutions, in few shapes so that tests share what is compiled."""

from __future__ import annotations

from dataclasses import dataclass

import exact
import numpy as np

from flowsim.problem import initialization
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem

SIZE = 3


@dataclass(frozen=True)
class Aligned:
    """½‖W - U diag(φ) Vᵀ‖² on equal widths from the balanced start W = scale · U Vᵀ."""

    depth: int
    scale: float
    U: np.ndarray
    phi: np.ndarray
    Vt: np.ndarray
    horizon: float

    @property
    def problem(self) -> Problem:
        widths = [SIZE] * (self.depth + 1)
        layers = initialization.from_svd(widths, self.U, np.full(SIZE, self.scale), self.Vt)
        return Problem(Squared(self.U * self.phi @ self.Vt), layers, self.horizon)

    @property
    def size(self) -> float:
        return float(np.linalg.norm(self.phi))

    def solution(self, times: np.ndarray) -> np.ndarray:
        return exact.aligned(times, self.U, self.phi, self.Vt, self.scale, self.depth)

    def error(self, trajectory) -> np.ndarray:
        """Return the Frobenius error of every kept W."""
        wanted = self.solution(trajectory.times[trajectory.kept])
        return np.linalg.norm(trajectory.end_to_end - wanted, axis=(1, 2))


def aligned(
    depth: int,
    scale: float = 0.01,
    phi=(3.0, 2.0, 1.0),
    *,
    seed: int | np.random.Generator = 0,
    horizon: float | None = None,
) -> Aligned:
    """Return an aligned problem, by default up to three times its first exit from the plateau."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0] for _ in range(2))
    end = 3 * exact.half_time(scale, max(phi), depth) if horizon is None else horizon
    return Aligned(depth, scale, U, np.asarray(phi, dtype=float), V.T, end)


def balanced(widths, *, scale: float = 0.5, horizon: float = 3.0, seed: int = 0) -> Problem:
    """Return ½‖W - Φ‖² with a random Φ from a random balanced start."""
    rng = np.random.default_rng(seed)
    layers = initialization.balanced(widths, scale, rng)
    return Problem(Squared(rng.standard_normal((widths[-1], widths[0]))), layers, horizon)
