"""Exact modes: the end-to-end flow decoupled into one scalar equation per singular value.

ṡ = h N s^{2-2/N} (φ - s), from a balanced initialization aligned with the minimizer of a quadratic
loss (Saxe, McClelland & Ganguli 2014; Arora, Cohen, Hu & Luo 2019). Weight decay subtracts λ N s
from the right-hand side. At N = 2 the equation then is the same with φ - λ/h in place of φ.

Two aligned layers of any imbalance: each mode decouples into a scalar network w_2 w_1. With
a = w_2 w_1 and the constant λ = w_2² - w_1², it obeys ȧ = √(λ² + 4a²) (φ - a) (Dominé et al. 2025).
P = (w_2 + w_1)²/2 and M = (w_2 - w_1)²/2 obey the scalar Riccati equations Ṗ = λ²/4 + 2φP - P² and
Ṁ = λ²/4 - 2φM - M², which are solved without cancellation; a = (P - M)/2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.dynamics.fixed_basis import ALIGNED, FixedBasis, aligned_basis, fixed_basis
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.solution import ExactSolution

LAST_STRETCH = 20.0
"""log|s/(φ - s)| above which s approaches φ exponentially, up to e^{-2·20} = 4e-18 of φ."""


@dataclass(frozen=True, eq=False)
class ExactModes(ExactSolution):
    """W(t) = U diag(s(t)) Vᵀ with constant singular vectors."""

    basis: FixedBasis
    depth: int
    weight_decay: float = 0.0

    source = "Saxe, McClelland & Ganguli 2014; Arora, Cohen, Hu & Luo 2019, Theorem 3"

    @classmethod
    def of(cls, problem: Problem) -> ExactModes:
        """Return the solution for a quadratic loss and an aligned balanced initialization."""
        if problem.weight_decay and problem.depth != 2:
            raise NotApplicable(
                f"there must be no weight decay at any depth but N = 2, and N = {problem.depth}"
            )
        return cls(fixed_basis(problem), problem.depth, problem.weight_decay)

    def strengths(self, times: np.ndarray) -> np.ndarray:
        """Return s_r(t), shape (time, mode), in the order of the basis."""
        modes = zip(self.basis.h, self.basis.initial, self.basis.phi, strict=True)
        return np.stack([self._mode(times, *each) for each in modes], axis=1)

    def _mode(self, times: np.ndarray, h: float, s_0: float, phi: float) -> np.ndarray:
        """Return s(t) of one mode; where the loss is flat, h = 0, only weight decay acts."""
        if self.weight_decay and h == 0:
            return np.asarray(s_0 * np.exp(-self.depth * self.weight_decay * times))
        return mode(h * times, s_0, phi - self.weight_decay / h if h else phi, self.depth)

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return U diag(s(t)) Vᵀ."""
        U, Vt = self.basis.U, self.basis.Vt
        return np.asarray((U * self.strengths(times)[:, None, :]) @ Vt)

    def singular_values(self, times: np.ndarray) -> np.ndarray:
        """Return |s(t)|, sorted, without an SVD: small ones keep their relative accuracy."""
        return np.asarray(-np.sort(-np.abs(self.strengths(times)), axis=1))


def mode(times: np.ndarray, s_0: float, phi: float, depth: int) -> np.ndarray:
    """Return the solution of ṡ = N s^{2-2/N}(φ - s), s(0) = s_0, at `times`; s_0 ≥ 0 if N ≥ 2.

    N = 1: s = φ + (s_0 - φ) e^{-t}. N = 2: s = s_0 φ / (s_0 + (φ - s_0) e^{-2φt}) (Saxe et al.
    2014, eq. 8). N ≥ 3 inverts t = [F(s) - F(s_0)]/N, F an antiderivative of s^{2/N-2}/(φ - s).
    At N ≥ 2, φ may be 0 or negative; s then decays to 0.
    """
    if depth == 1:
        return np.asarray(phi + (s_0 - phi) * np.exp(-times))
    if s_0 in (0, phi):  # equilibria
        return np.full(times.shape, s_0)
    if phi == 0:
        power = 2 - 2 / depth
        return np.asarray((s_0**-power + depth * power * times) ** (-1 / power))
    if depth == 2:
        # with e^{-2|φ|t} rather than e^{2φt} nothing overflows, and all terms are positive
        decay, gap = np.exp(-2 * abs(phi) * times), -np.expm1(-2 * abs(phi) * times)
        if phi < 0:
            return np.asarray(s_0 * decay / (1 + s_0 * gap / -phi))
        return np.asarray(s_0 / (decay + s_0 * gap / phi))
    return _inverted(times, s_0, phi, depth) if phi > 0 else _sinking(times, s_0, -phi, depth)


def _inverted(times: np.ndarray, s_0: float, phi: float, depth: int) -> np.ndarray:
    """Return the s between s_0 and φ with t = [F(s) - F(s_0)]/N, at all times at once.

    The unknown is x = log(s/(φ - s)) from below, x = -log(s/φ - 1) from above. It resolves s both
    near 0 and near φ, and the time increases with x.
    """
    below = s_0 < phi
    x_0 = np.log(s_0 / (phi - s_0)) if below else -np.log(s_0 / phi - 1)

    def at(x: np.ndarray) -> np.ndarray:
        return np.asarray(phi / (1 + np.exp(-x)) if below else phi * (1 + np.exp(-x)))

    def excess(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.asarray(_elapsed(s_0, at(x), phi, depth) - t)

    from scipy.optimize.elementwise import find_root

    x_last = max(LAST_STRETCH, x_0)
    t_last = 0.0 if x_last == x_0 else _elapsed(s_0, at(np.asarray(x_last)), phi, depth)
    # beyond x_last the flow is linear around φ, where x grows at the constant rate N φ^{2-2/N}
    x = x_last + depth * phi ** (2 - 2 / depth) * (times - t_last)
    under_way = (times > 0) & (times < t_last)
    x[under_way] = find_root(excess, (x_0 - 1, x_last + 1), args=(times[under_way],)).x
    x[times == 0] = x_0
    return np.where(times == 0, s_0, at(x))


def _sinking(times: np.ndarray, s_0: float, psi: float, depth: int) -> np.ndarray:
    """Return the s in (0, s_0) with t = [F(s) - F(s_0)]/N for φ = -ψ < 0; s ~ t^{-N/(N-2)}.

    With x = s/ψ, replacing 1 + x by 1 and by 1 + x_0 bounds the time from both sides, which yields
    a bracket of log x.
    """
    from scipy.optimize.elementwise import find_root

    a, x_0 = 2 - 2 / depth, s_0 / psi
    pace = depth * psi**a

    def excess(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.asarray(_sunk(np.exp(y), a) - _sunk(np.asarray(x_0), a) - pace * t)

    later = times > 0
    fallen = x_0 ** (1 - a) + (a - 1) * (1 + x_0) * pace * times[later]
    y = np.full(times.shape, np.log(x_0))
    bracket = (np.log(fallen) / (1 - a) - 1e-3, np.full(fallen.shape, np.log(x_0) + 1e-3))
    y[later] = find_root(excess, bracket, args=(times[later],)).x
    return np.where(later, psi * np.exp(y), s_0)


def _elapsed(s_0: float, s: np.ndarray, phi: float, depth: int) -> np.ndarray:
    """Return the time in which a mode evolves from s_0 to s, both on the same side of φ."""
    a = 2 - 2 / depth
    F = _above if s_0 > phi else _below
    return np.asarray((F(s / phi, a) - F(np.asarray(s_0 / phi), a)) * phi**-a / depth)


def _below(x: np.ndarray, a: float) -> np.ndarray:
    """Return an antiderivative of x^{-a}/(1 - x) on 0 < x < 1, a ≠ 1."""
    return np.asarray(x ** (1 - a) / (1 - a) * _hyp2f1(1 - a, x))


def _above(x: np.ndarray, a: float) -> np.ndarray:
    """Return an antiderivative of x^{-a}/(1 - x) on x > 1, the series in 1/x summed."""
    return np.asarray(x**-a / a * _hyp2f1(a, 1 / x))


def _sunk(x: np.ndarray, a: float) -> np.ndarray:
    """Return an antiderivative of -x^{-a}/(1 + x) on x > 0, a ≠ 1."""
    return np.asarray(x ** (1 - a) / (a - 1) * _hyp2f1(1 - a, -x))


def _hyp2f1(b: float, x: np.ndarray) -> np.ndarray:
    """Return Gauss's ₂F₁(1, b; 1 + b; x)."""
    from scipy.special import hyp2f1

    return np.asarray(hyp2f1(1, b, 1 + b, x))


@dataclass(frozen=True, eq=False)
class UnbalancedModes(ExactSolution):
    """W(t) = U diag(a(t)) Vᵀ from W_1 = O diag(w_1) Vᵀ, W_2 = U diag(w_2) Oᵀ.

    `P` and `M` are (w_2 ± w_1)²/2 of each mode at initialization.
    """

    basis: FixedBasis
    P: np.ndarray
    M: np.ndarray

    source = "Dominé et al. 2025, λ-balanced modes"

    @classmethod
    def of(cls, problem: Problem) -> UnbalancedModes:
        """Return the solution where two layers are diagonal in the modes of a quadratic loss."""
        if problem.depth != 2:
            raise NotApplicable(f"the network must have 2 layers, but has {problem.depth}")
        if problem.weight_decay:
            raise NotApplicable("there must be no weight decay")
        basis = aligned_basis(problem)
        W_1, W_2 = map(np.asarray, problem.layers)
        into, out = W_1 @ basis.Vt.T, W_2.T @ basis.U
        rest = np.linalg.norm(W_1 - into @ basis.Vt) + np.linalg.norm(W_2 - basis.U @ out.T)
        sizes = np.linalg.norm(W_1) ** 2 + np.linalg.norm(W_2) ** 2
        if rest > ALIGNED * np.sqrt(sizes) or _mixed(into, out) > ALIGNED * sizes:
            raise NotApplicable(
                "the layers must be diagonal in the modes of the loss, but they mix them"
            )
        plus, minus = np.sum((out + into) ** 2, axis=0) / 2, np.sum((out - into) ** 2, axis=0) / 2
        return cls(basis, plus, minus)

    def strengths(self, times: np.ndarray) -> np.ndarray:
        """Return a_r(t), shape (time, mode), in the order of the basis."""
        t = times[:, None] * self.basis.h
        phi, quarter = self.basis.phi, self.P * self.M  # (w_2² - w_1²)²/4 = λ²/4
        P, M = _riccati(t, self.P, phi, quarter), _riccati(t, self.M, -phi, quarter)
        return np.asarray((P - M) / 2)

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return U diag(a(t)) Vᵀ."""
        return np.asarray((self.basis.U * self.strengths(times)[:, None, :]) @ self.basis.Vt)


def _mixed(into: np.ndarray, out: np.ndarray) -> float:
    """Return the size of the coupling of modes by the hidden layer; 0 if they decouple.

    The hidden vectors are p_r = W_1v_r (`into`) and q_r = W_2ᵀu_r (`out`). They must be parallel
    within a mode and orthogonal between modes.
    """
    each = np.concatenate([into, out], axis=1)
    modes = np.tile(np.arange(into.shape[1]), 2)
    apart = np.where(modes[:, None] == modes, 0.0, each.T @ each)
    lengths = np.sum(into**2, axis=0)
    along = np.sum(into * out, axis=0) / np.where(lengths > 0, lengths, 1.0)
    across = np.linalg.norm(np.where(lengths > 0, out - into * along, 0.0), axis=0)
    return float(np.linalg.norm(apart) + np.max(np.sqrt(lengths) * across, initial=0.0))


def _riccati(t: np.ndarray, P: np.ndarray, phi: np.ndarray, quarter: np.ndarray) -> np.ndarray:
    """Return the solution of Ṗ = q + 2φP - P², P(0) = P ≥ 0, q = λ²/4 ≥ 0.

    With the roots P₊ ≥ 0 ≥ P₋ of the right-hand side, κ = P₊ - P₋ and E = e^{-κt} it is
    [P (P₊ - P₋E) + q (1 - E)] / [P (1 - E) + P₊E - P₋], a quotient of sums of positive terms.
    """
    half = np.hypot(phi, np.sqrt(quarter))
    # the root of smaller modulus from the product of the roots, as |φ| - half would cancel
    larger = np.abs(phi) + half
    smaller = np.divide(quarter, larger, out=np.zeros_like(larger), where=larger > 0)
    up, down = np.where(phi > 0, larger, smaller), np.where(phi > 0, smaller, larger)
    E, gap = np.exp(-2 * half * t), -np.expm1(-2 * half * t)
    top, bottom = P * (up + down * E) + quarter * gap, P * gap + up * E + down
    double = half == 0  # both roots are 0: P(t) = P / (1 + Pt)
    return np.asarray(np.where(double, P / (1 + P * t), top / np.where(bottom > 0, bottom, 1.0)))
