"""Two layers on white data from unaligned initialization: a matrix Riccati equation.

If W_2ᵀW_2 - W_1W_1ᵀ = λI at initialization (and therefore at all times), Q = [W_1ᵀ; W_2] has
QQᵀ(t) = e^{Ft} Q_0 [I + Q_0ᵀ C Q_0]^{-1} Q_0ᵀ e^{Ft}, F = [[-λ/2 I, Φᵀ], [Φ, λ/2 I]],
C = ∫_0^t e^{2Fs} ds (Fukumizu 1998; Braun et al. 2022; Dominé et al. 2025), and W is a block of it.

As printed, the formula overflows and cancels. In the eigenbasis of F, with eigenvalues f, the rows
of [I; C^{1/2}Q_0] grow as 1 and e^{f_i t}. QQᵀ = D P D, with P the lower block of the projection
onto its columns and a bounded D = e^{ft} C^{-1/2}. Column operations do not change the projection.
A Gauss–Jordan elimination with complete pivoting, which keeps exponents as logarithms, turns the
largest rows into a unit matrix. The other entries are then bounded and cannot overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.dynamics.fixed_basis import ALIGNED
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.solution import ExactSolution


@dataclass(frozen=True, eq=False)
class TwoLayers(ExactSolution):
    """W(t) in the eigenbasis of F.

    Attributes
    ----------
    rates
        The eigenvalues f of F.
    upper, lower
        The rows of its eigenvectors that belong to inputs and to outputs.
    Q
        Q_0 in the eigenbasis, reduced to independent columns.
    h
        The curvature of the loss, a factor on time.

    """

    rates: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    Q: np.ndarray
    h: float

    source = "Fukumizu 1998; Braun et al. 2022; Dominé et al. 2025"

    @classmethod
    def of(cls, problem: Problem) -> TwoLayers:
        """Return the solution for white data and two layers with W_2ᵀW_2 - W_1W_1ᵀ = λI."""
        if problem.depth != 2:
            raise NotApplicable(f"the network must have 2 layers, but has {problem.depth}")
        if problem.weight_decay:
            raise NotApplicable("there must be no weight decay")
        loss = problem.loss.isotropic()
        W_1, W_2 = problem.layers
        defect = W_2.T @ W_2 - W_1 @ W_1.T
        lam = float(np.trace(defect)) / len(defect)
        rest = np.linalg.norm(defect - lam * np.eye(len(defect)))
        if rest > ALIGNED * (np.linalg.norm(W_1) ** 2 + np.linalg.norm(W_2) ** 2):
            raise NotApplicable(
                f"W_2ᵀW_2 - W_1W_1ᵀ must be a multiple of I, but deviates by {rest:.2g}"
            )
        rates, upper, lower = _eigen(loss.Phi, lam)
        Q = upper.T @ W_1.T + lower.T @ W_2
        return cls(rates, upper, lower, _of_full_rank(Q), loss.h)

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return the block W = W_2W_1 of QQᵀ(t)."""
        return np.array([self._at(float(t)) for t in self.h * times])

    def _at(self, t: float) -> np.ndarray:
        if t == 0:
            return np.asarray(self.lower @ self.Q @ (self.upper @ self.Q).T)
        # C^{1/2} = scale · e^{max(f, 0) t}, D = e^{ft} C^{-1/2} = e^{min(f, 0) t} / scale
        grown = 2 * np.abs(self.rates) * t
        mean = np.where(grown > 0, -np.expm1(-grown) / np.where(grown > 0, grown, 1.0), 1.0)
        scale = np.sqrt(mean * t)
        top = np.eye(self.Q.shape[1])
        rows = np.vstack([top, scale[:, None] * self.Q])
        logs = np.concatenate([np.zeros(len(top)), np.maximum(self.rates, 0.0) * t])
        frame = np.linalg.qr(_levelled(rows, logs))[0][len(top) :]
        Z = (np.exp(np.minimum(self.rates, 0.0) * t) / scale)[:, None] * frame
        return np.asarray(self.lower @ Z @ (self.upper @ Z).T)


def _eigen(Phi: np.ndarray, lam: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the eigenvalues of F, and the upper and lower rows of its eigenvectors.

    The eigenvalues are ±√(φ² + λ²/4), and ∓λ/2 on null spaces. They follow from the SVD of Φ mode
    by mode, since an eigensolver would round small and zero eigenvalues.
    """
    U, phi, Vt = np.linalg.svd(Phi)
    (outputs, inputs), rank = Phi.shape, len(phi)
    rate = np.hypot(phi, lam / 2)
    angle = np.arctan2(phi, -lam / 2) / 2  # of the eigenvector (cos, sin) of [[-λ/2, φ], [φ, λ/2]]
    cos, sin = np.cos(angle), np.sin(angle)
    V, U_r = Vt.T[:, :rank], U[:, :rank]
    rates = [rate, -rate, np.full(inputs - rank, -lam / 2), np.full(outputs - rank, lam / 2)]
    upper = [V * cos, -V * sin, Vt.T[:, rank:], np.zeros((inputs, outputs - rank))]
    lower = [U_r * sin, U_r * cos, np.zeros((outputs, inputs - rank)), U[:, rank:]]
    return np.concatenate(rates), np.hstack(upper), np.hstack(lower)


def _of_full_rank(Q: np.ndarray) -> np.ndarray:
    """Return a matrix of independent columns with the same QQᵀ.

    Dependent columns would hold rounding errors, which the flow amplifies exponentially.
    """
    U, sigma, _ = np.linalg.svd(Q, full_matrices=False)
    kept = sigma > np.finfo(float).eps * max(Q.shape) * sigma[:1]
    return np.asarray(U[:, kept] * sigma[kept])


def _levelled(rows: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return a matrix with the column space of diag(e^logs) rows, without large entries.

    Its largest rows are those of a unit matrix; other entries are at most 1 up to pivot growth.
    """
    A, free, pivots = rows.copy(), np.ones(len(rows), dtype=bool), []
    columns = np.arange(A.shape[1])
    for k in range(A.shape[1]):
        size = np.abs(A[:, k:]).max(axis=1)
        with np.errstate(divide="ignore"):
            pivot = int(np.argmax(np.where(free, np.log(size) + logs, -np.inf)))
        best = k + int(np.argmax(np.abs(A[pivot, k:])))
        A[:, [k, best]] = A[:, [best, k]]
        A[:, k] /= A[pivot, k]
        others = columns != k
        A[:, others] -= np.outer(A[:, k], A[pivot, others])
        free[pivot] = False
        pivots.append(pivot)
    # limited to 700, where exp is finite: entries of A with larger exponents vanish, 0 · inf is nan
    with np.errstate(over="ignore"):
        weights = np.exp(np.minimum(logs[:, None] - logs[pivots], 700.0))
    return np.asarray(A * weights)
