"""Exact modes: where gradient flow decouples into one scalar equation a singular value.

For ℓ = ½‖W - Φ‖² from balanced layers whose product is aligned with Φ, every mode obeys
ṡ = N s^{2-2/N} (φ - s) on its own (Saxe, McClelland & Ganguli 2014; Arora, Cohen, Hu & Luo 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize.elementwise import find_root
from scipy.special import hyp2f1

from flowsim import network
from flowsim.losses import Squared
from flowsim.problem import Problem

ALIGNED = 1e-12
"""Largest off-diagonal part of W in Φ's singular basis, relative to W, that counts as none."""


LAST_STRETCH = 20.0
"""log|s/(φ - s)| from which on s approaches φ exponentially, up to e^{-2·20} = 4e-18 of φ."""


@dataclass(frozen=True, eq=False)
class ExactModes:
    """W(t) = U diag(s(t)) Vᵀ with U, V the singular vectors of Φ = U diag(φ) Vᵀ."""

    U: np.ndarray
    Vt: np.ndarray
    phi: np.ndarray
    start: np.ndarray
    depth: int

    source = "Saxe, McClelland & Ganguli 2014; Arora, Cohen, Hu & Luo 2019, Theorem 3"

    def strengths(self, times: np.ndarray) -> np.ndarray:
        """Return s_r(t), shape (time, mode), in the order of Φ's singular values."""
        columns = [
            mode(times, s, phi, self.depth) for s, phi in zip(self.start, self.phi, strict=True)
        ]
        return np.stack(columns, axis=1)

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return W(t), shape (time, d_N, d_0)."""
        return np.asarray(np.einsum("or,tr,ri->toi", self.U, self.strengths(times), self.Vt))


def exact_modes(problem: Problem) -> ExactModes | None:
    """Return the exact solution of a problem, or None where it does not decouple.

    It does for the squared loss, no weight decay, a balanced start (any start at N = 1), and a W(0)
    that is diagonal in Φ's singular basis with entries of one sign per mode (≥ 0).
    """
    if not isinstance(problem.loss, Squared) or problem.weight_decay:
        return None
    if not network.is_balanced(problem.layers, tolerance=ALIGNED):
        return None
    Phi, W = np.asarray(problem.loss.Phi), np.asarray(problem.start)
    U, phi, Vt = np.linalg.svd(Phi, full_matrices=False)
    phi = np.where(phi > np.finfo(float).eps * max(Phi.shape) * phi[0], phi, 0.0)
    inner = U.T @ W @ Vt.T
    start = np.diag(inner).copy()
    rest = np.linalg.norm(W - (U * start) @ Vt)
    if rest > ALIGNED * np.linalg.norm(W) or (start < -ALIGNED * np.abs(start).max()).any():
        return None
    if problem.depth > 1:  # a mode that the start has not is 0 for ever: W holds its roundoff
        start[np.argsort(-start)[network.rank_bound(problem.layers) :]] = 0.0
    return ExactModes(U, Vt, phi, np.maximum(start, 0.0), problem.depth)


def mode(times: np.ndarray, s_0: float, phi: float, depth: int) -> np.ndarray:
    """Return the solution of ṡ = N s^{2-2/N}(φ - s), s(0) = s_0 ≥ 0, φ ≥ 0, at `times`.

    N = 1: s = φ + (s_0 - φ) e^{-t}. N = 2: s = s_0 φ / (s_0 + (φ - s_0) e^{-2φt}) (Saxe et al.
    2014, eq. 8). N ≥ 3 inverts t = [F(s) - F(s_0)]/N, F an antiderivative of s^{2/N-2}/(φ - s).
    """
    if depth == 1:
        return np.asarray(phi + (s_0 - phi) * np.exp(-times))
    if s_0 in (0, phi):
        return np.full(times.shape, s_0)
    if phi == 0:
        power = 2 - 2 / depth
        return np.asarray((s_0**-power + depth * power * times) ** (-1 / power))
    if depth == 2:
        x = -2 * phi * times
        return np.asarray(s_0 / (np.exp(x) - s_0 * np.expm1(x) / phi))
    return _inverted(times, s_0, phi, depth)


def _inverted(times: np.ndarray, s_0: float, phi: float, depth: int) -> np.ndarray:
    """Solve t = [F(s) - F(s_0)]/N for s between s_0 and φ, at all times at once.

    The unknown is x = log(s/(φ - s)) from below, x = -log(s/φ - 1) from above: both ends of the
    way from s_0 to φ are resolved, and the time grows with x.
    """
    below = s_0 < phi
    x_0 = np.log(s_0 / (phi - s_0)) if below else -np.log(s_0 / phi - 1)

    def at(x: np.ndarray) -> np.ndarray:
        return np.asarray(phi / (1 + np.exp(-x)) if below else phi * (1 + np.exp(-x)))

    def excess(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.asarray(_elapsed(s_0, at(x), phi, depth) - t)

    x_last = max(LAST_STRETCH, x_0)
    t_last = 0.0 if x_last == x_0 else _elapsed(s_0, at(np.asarray(x_last)), phi, depth)
    x = x_last + depth * phi ** (2 - 2 / depth) * (times - t_last)
    under_way = (times > 0) & (times < t_last)
    x[under_way] = find_root(excess, (x_0 - 1, x_last + 1), args=(times[under_way],)).x
    x[times == 0] = x_0
    return np.where(times == 0, s_0, at(x))


def _elapsed(s_0: float, s: np.ndarray, phi: float, depth: int) -> np.ndarray:
    """Return the time from s_0 to s."""
    a = 2 - 2 / depth
    F = _above if s_0 > phi else _below
    return np.asarray((F(s / phi, a) - F(np.asarray(s_0 / phi), a)) * phi**-a / depth)


def _below(x: np.ndarray, a: float) -> np.ndarray:
    """Return an antiderivative of x^{-a}/(1 - x) on 0 < x < 1, a ≠ 1."""
    return np.asarray(x ** (1 - a) / (1 - a) * hyp2f1(1, 1 - a, 2 - a, x))


def _above(x: np.ndarray, a: float) -> np.ndarray:
    """Return an antiderivative of x^{-a}/(1 - x) on x > 1, the series in 1/x summed."""
    return np.asarray(x**-a / a * hyp2f1(1, a, 1 + a, 1 / x))
