"""One output and white data: the end-to-end flow in the plane of w(0) and φ, by one quadrature.

ẇ = -‖w‖^{2-2/N} (∇ℓ + (N-1) Pr_w ∇ℓ) (Arora, Cohen & Hazan 2018, Claim 2) with ∇ℓ = w - φ. In
polar coordinates, ρ = ‖w‖, f = ‖φ‖ and ψ the angle between w and φ, it reads

    ρ̇ = N ρ^{2-2/N} (f cos ψ - ρ),   ψ̇ = -f ρ^{1-2/N} sin ψ.

With x = -log tan(ψ/2), cos ψ = tanh x and ẋ = f ρ^{1-2/N}. The equation of the path is linear in
1/ρ: d(1/ρ)/dx = N/f - N tanh(x)/ρ, hence cosh^N(x)/ρ = cosh^N(x_0)/ρ_0 + (N/f) ∫ cosh^N. The time
along the path is t = ∫ ρ^{2/N-1} dx / f: (x - x_0)/f at N = 2, else a quadrature. This is derived
here; at N = 2 it is a case of the Riccati solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowsim.dynamics.fixed_basis import ALIGNED
from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.solution import ExactSolution

SETTLED = 19.0
"""x from which on 1 - tanh x rounds to 0: w points along φ."""

LARGEST = 300.0
"""Largest x, up to which cosh²x is finite; w has converged to rounding long before."""

PANEL, NODES = 0.125, 16
"""Width in x of a panel of Gauss–Legendre quadrature (at most 8/N) and its nodes."""


@dataclass(frozen=True, eq=False)
class OneOutput(ExactSolution):
    """w(t) = ρ (cos ψ · φ/f + sin ψ · e) with e the part of w(0) across φ, normalized."""

    shape: tuple[int, int]
    along: np.ndarray
    across: np.ndarray
    f: float
    h: float
    x_0: float
    rho_0: float
    depth: int

    source = "Arora, Cohen & Hazan 2018, Claim 2, integrated along its path"

    @classmethod
    def of(cls, problem: Problem) -> OneOutput:
        """Return the solution for one output or input, white data, balanced initialization."""
        if min(problem.initial.shape) != 1 or problem.depth == 1:
            raise NotApplicable(
                "the network must have one output or one input, and 2 layers or more"
            )
        if problem.weight_decay:
            raise NotApplicable("there must be no weight decay")
        if not network.is_balanced(problem.layers, tolerance=ALIGNED):
            raise NotApplicable("the initialization must be balanced, but it is not")
        loss = problem.loss.isotropic()
        w, phi = np.asarray(problem.initial).ravel(), loss.Phi.ravel()
        f, rho = float(np.linalg.norm(phi)), float(np.linalg.norm(w))
        along = phi / (f or 1.0)
        across = w - (w @ along) * along
        angle = np.arctan2(np.linalg.norm(across), w @ along)
        if f == 0 or rho == 0 or min(angle, np.pi - angle) < 1e-8:
            raise NotApplicable("the initialization must not point along φ: that is a single mode")
        across = across / np.linalg.norm(across)
        x_0 = float(-np.log(np.tan(angle / 2)))
        shape = len(problem.initial), w.size // len(problem.initial)
        return cls(shape, along, across, f, loss.h, x_0, rho, problem.depth)

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return w(t), as matrices of one row or one column."""
        x = self._reached(self.h * times)
        rho = 1 / self._inverse_length(x)
        w = (rho * np.tanh(x))[:, None] * self.along + (rho / np.cosh(x))[:, None] * self.across
        return np.asarray(w.reshape(-1, *self.shape))

    def _inverse_length(self, x: np.ndarray) -> np.ndarray:
        """Return 1/ρ at x."""
        # divided by cosh^N(x), which overflows, and with J = ∫ cosh^N / cosh^N(x), which is bounded
        N, f, J = self.depth, self.f, _scaled_integral
        at_start = 1 / self.rho_0 - N / f * J(np.asarray(self.x_0), N)
        shrunk = np.exp(N * (_log_cosh(np.asarray(self.x_0)) - _log_cosh(x)))
        return np.asarray(at_start * shrunk + N / f * J(x, N))

    def _pace(self, x: np.ndarray) -> np.ndarray:
        """Return dt/dx."""
        return np.asarray(self._inverse_length(x) ** (1 - 2 / self.depth) / self.f)

    def _reached(self, times: np.ndarray) -> np.ndarray:
        """Return x at the times, by inverting t(x), a sum of quadratures over panels."""
        if self.depth == 2:
            return np.asarray(np.minimum(self.x_0 + self.f * times, LARGEST))
        panel_width = min(PANEL, 8 / self.depth)
        edges = np.arange(self.x_0, self._settled(), panel_width)
        elapsed = np.concatenate([[0.0], np.cumsum(self._quadrature(edges[:-1], panel_width))])
        panel = np.searchsorted(elapsed, times, side="right") - 1
        left = times - elapsed[panel]
        width = left / self._pace(edges[panel])
        for _ in range(8):  # Newton: t(x) is convex or concave over so narrow a panel
            width = np.clip(width, 0.0, panel_width)
            miss = self._quadrature(edges[panel], width) - left
            width = width - miss / self._pace(edges[panel] + width)
        settled = panel == len(edges) - 1  # from here on ρ = f
        late = edges[-1] + left * self.f ** (2 - 2 / self.depth)
        return np.asarray(np.minimum(np.where(settled, late, edges[panel] + width), LARGEST))

    def _settled(self) -> float:
        """Return an x beyond which w = φ to rounding, as the term with 1/ρ_0 has decayed."""
        size = np.log(max(self.f / self.rho_0, 1.0)) / self.depth + abs(self.x_0)
        return float(size + SETTLED + self.depth)

    def _quadrature(self, left: np.ndarray, width: np.ndarray | float) -> np.ndarray:
        """Return ∫ dt/dx from `left` over `width`, for each of them."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        half = np.broadcast_to(np.asarray(width) / 2, left.shape)
        x = left[:, None] + half[:, None] * (1 + nodes)
        return np.asarray(half * (self._pace(x) @ weights))


def _log_cosh(x: np.ndarray) -> np.ndarray:
    # up to the constant log 2, which cancels in differences; cosh itself would overflow
    return np.asarray(np.logaddexp(x, -x))


def _scaled_integral(x: np.ndarray, N: int) -> np.ndarray:
    """Return J_N = ∫_0^x cosh^N / cosh^N(x) = tanh(x)/N + (N-1)/(N cosh²x) J_{N-2}."""
    J = x if N % 2 == 0 else np.tanh(x)
    for n in range(2 + N % 2, N + 1, 2):
        J = np.tanh(x) / n + (n - 1) / n * J / np.cosh(x) ** 2
    return np.asarray(J)
