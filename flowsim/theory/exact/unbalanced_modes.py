"""Two aligned layers of any imbalance: each mode decouples into a scalar network w_2 w_1.

With a = w_2 w_1 and the constant λ = w_2² - w_1², a mode obeys ȧ = √(λ² + 4a²) (φ - a) (Dominé et
al. 2025). P = (w_2 + w_1)²/2 and M = (w_2 - w_1)²/2 obey the scalar Riccati equations
Ṗ = λ²/4 + 2φP - P² and Ṁ = λ²/4 - 2φM - M², which are solved without cancellation; a = (P - M)/2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.dynamics.fixed_basis import ALIGNED, FixedBasis, aligned_basis
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.solution import ExactSolution


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
