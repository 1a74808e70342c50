"""Small problems with exact solutions, of few shapes so that they share compiled programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowsim.problem import initialization, network
from flowsim.problem.losses import LeastSquares, Loss, Squared
from flowsim.problem.problem import Problem
from flowsim.theory.exact.solution import ExactSolution
from flowsim.theory.exact.solutions import exact_solutions

SAMPLES = 21
"""Times at which the flow is compared."""

FINE = 400
"""Times of the trapezoidal rule for the exponent of `Case.magnification`."""


@dataclass(frozen=True, eq=False)
class Case:
    """A problem, and every exact solution that applies to it."""

    name: str
    problem: Problem

    @cached_property
    def solutions(self) -> list[ExactSolution]:
        """Return the exact solutions."""
        return exact_solutions(self.problem)

    @cached_property
    def times(self) -> np.ndarray:
        """Return the times at which the flow is compared."""
        return np.linspace(0.0, self.problem.horizon, SAMPLES)

    @cached_property
    def exact(self) -> list[np.ndarray]:
        """Return W(t) by each of the solutions."""
        return [solution.end_to_end(self.times) for solution in self.solutions]

    @property
    def balanced(self) -> bool:
        """Return whether the end-to-end flow equals that of the layers."""
        return network.is_balanced(self.problem.layers)

    @cached_property
    def magnification(self) -> float:
        """Return an upper bound on the error of W per step and per relative error of the state.

        The Hessian of φ is the sum of a positive semidefinite matrix and one of norm at most
        μ = (N-1) ‖G‖ ‖W‖^{1-2/N}. Errors of the layers therefore grow at most by the factor
        e^{∫μ dt} (compare Elkabetz & Cohen 2021). With n entries in all and layers of norm at most
        M they are up to 2M √n, and change W by √N M^{N-1} times as much.
        """
        problem, N = self.problem, self.problem.depth
        times = np.linspace(0.0, problem.horizon, FINE)
        path = self.solutions[0].end_to_end(times)
        W = np.linalg.norm(path, 2, axis=(1, 2))
        G = [float(np.linalg.norm(problem.loss.gradient(W_t), 2)) for W_t in path]
        # spectral norms bound the action of G and W on perturbations of any shape
        growth = np.exp(np.trapezoid((N - 1) * np.asarray(G) * W ** (1 - 2 / N), times))
        start = max(float(np.sum(np.square(layer))) for layer in problem.layers)
        M = np.sqrt(np.max(W) ** (2 / N) + start)
        n = sum(layer.size for layer in problem.layers)
        return float(2 * np.sqrt(N * n) * M**N * growth)


def cases() -> list[Case]:
    """Return the cases: one, two and three layers, aligned or not, balanced or not."""
    rng = np.random.default_rng(0)
    U, V = _orthogonal(3, rng), _orthogonal(4, rng)[:, :3]
    modes = Squared((U * np.array([2.0, 1.0, 0.5])) @ V.T)
    generic = Squared(rng.standard_normal((3, 4)))
    row = Squared(rng.standard_normal((1, 4)))
    H = _orthogonal(3, rng)
    unbalanced = (H * [0.1, 0.5, 0.2]) @ V.T, (U * [0.7, 0.2, 0.2]) @ H.T
    Phi = np.asarray(row.Phi)
    along = np.eye(1), np.array([0.05]), Phi / np.linalg.norm(Phi)
    deep = initialization.from_svd((4, 3, 3, 1), *along)
    data = LeastSquares.from_data(rng.standard_normal((4, 12)), rng.standard_normal((3, 12)))
    return [
        _case("one layer, data", data, [rng.standard_normal((3, 4))], 6.0),
        _case(
            "modes, N = 2", modes, initialization.from_svd((4, 3, 3), U, np.full(3, 0.02), V.T), 6.0
        ),
        _case("unbalanced modes, N = 2", modes, unbalanced, 4.0),
        _case("any start, N = 2", generic, initialization.balanced((4, 3, 3), 0.1, rng), 4.0),
        _case(
            "any start, λ = ½, N = 2",
            generic,
            initialization.lambda_balanced((4, 3, 3), 0.1, 0.5, rng),
            4.0,
        ),
        _case("mode, N = 3", row, deep, 6.0),
        _case("one output, N = 3", row, initialization.balanced((4, 3, 3, 1), 0.1, rng), 4.0),
    ]


def _case(name: str, loss: Loss, layers: Sequence[np.ndarray], horizon: float) -> Case:
    return Case(name, Problem(loss, layers, horizon))


def _orthogonal(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.linalg.qr(rng.standard_normal((size, size)))[0])
