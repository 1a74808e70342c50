"""Depth 1 on a linear or quadratic loss: linear equations solved in the eigenbasis of the loss.

∇ℓ(W) = H[W] - B with a symmetric H ≥ 0. In H's eigenbasis, with κ = h + λ for weight decay λ:
flow      ẇ = b - κ w,              w(t) = e^{-κt} w(0) + b (1 - e^{-κt})/κ;
descent   w_{k+1} = w_k + η(b - κ w_k),   w_k = (1 - ηκ)^k w_0 + b (1 - (1 - ηκ)^k)/κ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.solution import ExactSolution


@dataclass(frozen=True, eq=False)
class LinearFlow(ExactSolution):
    """A single layer, in coordinates w of W in which the Hessian H of the loss is diagonal.

    Attributes
    ----------
    h, b
        Eigenvalues of H, and coordinates of B.
    start
        Coordinates of W(0).
    rest
        The part of W(0) outside these coordinates, in the null space of H.
    decay
        The weight decay λ.
    assembled
        Maps coordinates to a matrix.

    """

    h: np.ndarray
    b: np.ndarray
    start: np.ndarray
    rest: np.ndarray
    decay: float
    assembled: Callable[[np.ndarray], np.ndarray]

    source = "linear differential equation; H diagonalized"

    @classmethod
    def of(cls, problem: Problem) -> LinearFlow:
        """Return the solution for one layer, a linear or quadratic loss and any weight decay.

        Raises
        ------
        NotApplicable
            If the network has several layers, or the gradient is not linear in W.

        """
        if problem.depth != 1:
            raise NotApplicable(f"the network must have 1 layer, but has {problem.depth}")
        form = problem.loss.diagonalized()
        if form is None:
            raise NotApplicable(
                "the gradient must be linear in W, as that of a linear, squared, completion or "
                "sensing loss or of regression with p = 2, but the loss is "
                f"{type(problem.loss).__name__}"
            )
        W = np.asarray(problem.initial)
        start = form.coordinates(W)
        rest = W - form.assemble(start)
        return cls(form.h, form.b, start, rest, problem.weight_decay, form.assemble)

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return W(t) by the matrix exponential: e^{-κt} w(0) + b (1 - e^{-κt})/κ, assembled."""
        rates = self.h + self.decay
        t = times.reshape(-1, *(1,) * rates.ndim)
        # (1 - e^{-κt})/κ by expm1, as the difference cancels for small κt; its limit t for κ = 0
        safe = np.where(rates > 0, rates, 1.0)
        grown = np.where(rates > 0, -np.expm1(-rates * t) / safe, t)
        return self._assembled(np.exp(-rates * t), grown, np.exp(-self.decay * times))

    def iterates(self, step_size: float, iterations: np.ndarray) -> np.ndarray:
        """Return W_k of gradient descent without momentum for each k, by powers of I - η(H + λ)."""
        rates = self.h + self.decay
        k = iterations.reshape(-1, *(1,) * rates.ndim)
        factor = (1 - step_size * rates) ** k
        safe = np.where(rates > 0, rates, 1.0)
        grown = np.where(rates > 0, (1 - factor) / safe, step_size * k)
        return self._assembled(factor, grown, (1 - step_size * self.decay) ** iterations)

    def _assembled(self, factor: np.ndarray, sum_of: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Return the matrices of coordinates factor·w(0) + sum_of·b, plus `rest` times the rest."""
        coordinates = factor * self.start + sum_of * self.b
        return np.asarray(self.assembled(coordinates) + rest[:, None, None] * self.rest)
