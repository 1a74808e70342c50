"""Random plateaus with known solutions: ½‖W - Φ‖² from small starts, at N ≤ 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from flowsim import Problem
from flowsim.problem import initialization, losses, network
from flowsim.problem.errors import NotApplicable
from flowsim.theory.exact.modes import ExactModes
from flowsim.theory.exact.quadratic import LinearFlow

SHAPES = ((3, 3), (3, 3, 3), (4, 2, 3), (3, 3, 3, 3), (4, 5, 4, 3))
STARTS = ("aligned", "balanced", "gaussian")
SAMPLES = (5, 100)
SMALLEST_START, LARGEST_START = 1e-12, 1e-2
CLOSED_FORM, REFERENCE = 1e-14, 2e-13
"""How true a solution is, relative to Φ: in closed form, and by LSODA at rtol 1e-13."""

Curve = Callable[[np.ndarray], np.ndarray]
"""W at given times, shape (time, d_N, d_0)."""


@dataclass(frozen=True)
class Case:
    """One random problem, and how it is solved."""

    widths: tuple[int, ...]
    start: str
    scale: float
    space: str
    method: str
    rtol: float
    samples: int
    seed: int

    @property
    def depth(self) -> int:
        """Return N."""
        return len(self.widths) - 1


def drawn(
    rng: np.random.Generator,
    methods: Sequence[str],
    spaces: Sequence[str],
    rtol: tuple[float, float],
) -> Case:
    """Draw a case: the shape, the start, its scale, the samples, and how to solve it."""
    space = str(rng.choice(spaces))
    # away from balance the other flows are not that of the layers
    starts = STARTS if space == "layers" else STARTS[:2]
    # with one layer singular values may pass through 0, where spectral space has no logarithm
    shapes = SHAPES[1:] if space == "spectral" else SHAPES
    return Case(
        widths=shapes[rng.integers(len(shapes))],
        start=str(rng.choice(starts)),
        scale=_log_uniform(rng, SMALLEST_START, LARGEST_START),
        space=space,
        method=str(rng.choice(methods)),
        rtol=_log_uniform(rng, *rtol),
        samples=int(rng.choice(SAMPLES)),
        seed=int(rng.integers(1 << 31)),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Plateau:
    """The problem of a case up to three times its first exit, its true W(t), and how true."""

    problem: Problem
    end_to_end: Curve
    trust: float

    @classmethod
    def of(cls, case: Case) -> Plateau:
        """Return the plateau of a case."""
        rng = np.random.default_rng(case.seed)
        shape = (case.widths[-1], case.widths[0])
        U, _, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
        phi = np.sort(rng.uniform(0.5, 3, min(shape)))[::-1]
        Phi = (U * phi) @ Vt
        if case.start == "aligned":
            layers = initialization.aligned(case.widths, case.scale, Phi)
        else:
            layers = getattr(initialization, case.start)(case.widths, case.scale, rng)
        longest = 1e3 + 1e2 * case.scale ** (2 / case.depth - 1)

        def unlearned(W: np.ndarray) -> float:
            return float(U[:, 0] @ W @ Vt[0] / phi[0] - 0.5)

        endless = Problem(losses.Squared(Phi), layers, longest)
        closed = _closed_form(endless)
        if closed is None:
            by_scipy = Layers(layers, Phi)
            horizon = 3 * by_scipy.first_root(unlearned, longest)
            return cls(Problem(endless.loss, layers, horizon), by_scipy.end_to_end, REFERENCE)
        horizon = 3 * brentq(lambda t: unlearned(closed(np.array([t]))[0]), 0, longest)
        return cls(Problem(endless.loss, layers, horizon), closed, CLOSED_FORM)


def _closed_form(problem: Problem) -> Curve | None:
    for kind in (ExactModes, LinearFlow):
        with suppress(NotApplicable):
            return kind.of(problem).end_to_end
    return None


class Layers:
    """Gradient flow of ½‖W_N⋯W_1 - Φ‖² by SciPy's LSODA."""

    def __init__(self, layers: Sequence[np.ndarray], Phi: np.ndarray) -> None:
        """Take the layers at t = 0 and the target."""
        self.shapes, self.Phi = [W.shape for W in layers], Phi
        self.start = np.concatenate([W.ravel() for W in layers])
        self.cuts = np.cumsum([W.size for W in layers])[:-1]

    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return W(t) nearly to rounding."""
        return np.array([self._product(y) for y in self._solve(times[-1], t_eval=times).y.T])

    def first_root(self, function: Callable[[np.ndarray], float], longest: float) -> float:
        """Return the first time at which a function of W vanishes."""
        event = lambda _, y: function(self._product(y))  # noqa: E731
        event.terminal = True  # type: ignore[attr-defined]
        return float(self._solve(longest, rtol=1e-9, events=event).t[-1])

    def _split(self, y: np.ndarray) -> list[np.ndarray]:
        return [W.reshape(s) for W, s in zip(np.split(y, self.cuts), self.shapes, strict=True)]

    def _product(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(network.end_to_end(self._split(y)))

    def _velocity(self, _: float, y: np.ndarray) -> np.ndarray:
        layers = self._split(y)
        gradients = network.layer_gradients(layers, lambda W: W - self.Phi)
        return -np.concatenate([g.ravel() for g in gradients])

    def _solve(self, end: float, rtol: float = 1e-13, **choices: Any) -> Any:
        atol = 0.01 * rtol * float(np.sqrt(np.mean(self.start**2)))
        return solve_ivp(
            self._velocity, (0, end), self.start, "LSODA", rtol=rtol, atol=atol, **choices
        )
