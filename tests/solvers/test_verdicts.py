"""A table of problems with known ends, random plateaus, and blow-ups at known times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.limit import power_of_time
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.verdict import Verdict

PHI = np.diag([4.0, 1.0])
"""From W(0) = ε I at N = 2 mode φ is learned at t = log(φ/ε)/2φ."""
LOG_TIMES = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 60)])


def identity(depth: int, scale: float, horizon: float, loss: Any = None, **more: Any) -> Problem:
    layers = initialization.identity((2,) * (depth + 1), scale)
    return Problem(loss or losses.Squared(PHI), layers, horizon, **more)


def scalar(loss: Any, *layers: float, horizon: float, weight_decay: float = 0.0) -> Problem:
    return Problem(loss, [np.full((1, 1), w) for w in layers], horizon, weight_decay)


def zero(depth: int) -> Problem:
    return Problem(losses.Squared(PHI), [np.zeros((2, 2))] * depth, 5.0)


def one_mode(scale: float, horizon: float) -> Problem:
    """Return balanced layers that hold the first mode alone, in widths that admit both."""
    layers = [np.diag([scale**0.5, 0.0])] * 2
    return Problem(losses.Squared(PHI), layers, horizon)


def narrow(scale: float, horizon: float) -> Problem:
    rng = np.random.default_rng(3)
    layers = initialization.balanced((2, 1, 2), scale, rng)
    return Problem(losses.Squared(PHI), layers, horizon)


def regression(X: np.ndarray, horizon: float, kind: Callable[..., Any]) -> Problem:
    layers = initialization.balanced((2, 2, 1), 0.1, np.random.default_rng(0))
    return Problem(kind(X, SIGNS), layers, horizon)


AT = losses.Squared(np.eye(2))
SPACES = ("layers", "end_to_end", "spectral", "modes")
SIGNS = np.array([[1.0, -1.0, 1.0, -1.0]])
SEPARABLE = np.array([[1.0, -1.0, 0.5, -2.0], [0.3, 0.7, -0.2, 0.6]])
PARTLY = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
"""Two samples contradict each other along the first input, two are separable by the second."""
MIXED = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0]])
COMPLETION = losses.Completion(np.ones((2, 2)), np.array([[1.0, 0.0], [1.0, 1.0]]))


@dataclass(frozen=True)
class Case:
    """A problem with the verdict that its flow should have."""

    name: str
    verdict: Verdict
    problem: Callable[[], Problem]
    space: str = "layers"
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}, {self.space}"


def log_times(horizon: float) -> dict[str, Any]:
    return {"times": horizon * LOG_TIMES}


FLOWS = [
    *(
        Case(*case, space)
        for space in SPACES
        for case in (
            ("all modes learned", Verdict.CONVERGED, lambda: identity(2, 1e-2, 40.0)),
            ("before the first mode", Verdict.PLATEAU, lambda: identity(2, 1e-8, 0.7)),
            ("between the modes", Verdict.PLATEAU, lambda: identity(2, 1e-8, 5.0)),
            ("while a mode is learned", Verdict.REACHED_HORIZON, lambda: identity(2, 1e-8, 9.2)),
            ("a horizon of nothing", Verdict.REACHED_HORIZON, lambda: identity(2, 1.0, 1e-17)),
            ("at depth 3", Verdict.CONVERGED, lambda: identity(3, 1e-1, 40.0)),
            ("before the first mode at depth 3", Verdict.PLATEAU, lambda: identity(3, 1e-6, 1.0)),
            ("only one mode at the start", Verdict.SADDLE, lambda: one_mode(0.1, 8.0)),
        )
    ),
    *(
        Case("a start at the minimum", Verdict.CONVERGED, lambda: identity(2, 1.0, 3.0, AT), space)
        for space in SPACES
    ),
    *(
        Case("the best of rank 1", Verdict.CONVERGED, lambda: narrow(1e-2, 15.0), space)
        for space in SPACES[:3]
    ),
    *(Case(f"0 at depth {N}", Verdict.SADDLE, lambda N=N: zero(N)) for N in (2, 3, 4)),
    Case("0 end to end", Verdict.SADDLE, lambda: zero(2), "end_to_end"),
    Case("depth 1", Verdict.CONVERGED, lambda: identity(1, 0.0, 40.0)),
    Case("depth 1, early", Verdict.REACHED_HORIZON, lambda: identity(1, 0.0, 1.0)),
    Case(
        "on a saddle's stable manifold",
        Verdict.SADDLE,
        lambda: scalar(losses.Squared(np.eye(1)), 0.5, -0.5, horizon=12.0),
    ),
    Case(
        "a target of 0 at depth 3",
        Verdict.SLOW,
        lambda: scalar(losses.Squared(np.zeros((1, 1))), 0.5, 0.5, 0.5, horizon=1e5),
        options=log_times(1e5),
    ),
    Case(
        "a quartic minimum",
        Verdict.SLOW,
        lambda: scalar(lambda W: jnp.sum((W - 1.0) ** 4), 0.5, horizon=1e4),
        options=log_times(1e4),
    ),
    Case(
        "an own quadratic loss",
        Verdict.CONVERGED,
        lambda: scalar(lambda W: jnp.sum((W - 2.0) ** 2), 0.5, 0.5, horizon=20.0),
    ),
    Case(
        "an own loss with two minima",
        Verdict.CONVERGED,
        lambda: scalar(lambda W: jnp.sum((W**2 - 1.0) ** 2), 0.5, 0.5, horizon=20.0),
    ),
    Case(
        "an exponential",
        Verdict.NO_FINITE_MINIMIZER,
        lambda: scalar(lambda W: jnp.sum(jnp.exp(-W)), 0.5, 0.5, horizon=1e3),
        options=log_times(1e3),
    ),
    Case(
        "a linear loss",
        Verdict.REACHED_HORIZON,
        lambda: scalar(losses.Linear(np.eye(1)), 0.5, horizon=10.0),
    ),
    Case(
        "a linear loss at depth 2 for long",
        Verdict.OUT_OF_RANGE,
        lambda: scalar(losses.Linear(np.eye(1)), 0.5, 0.5, horizon=400.0),
    ),
    Case(
        "a linear loss at depth 3",
        Verdict.BLOW_UP,
        lambda: scalar(losses.Linear(np.eye(1)), 0.5, 0.5, 0.5, horizon=10.0),
    ),
    Case(
        "a root that reaches 0",
        Verdict.TOLERANCE_TOO_TIGHT,
        lambda: scalar(lambda W: jnp.sum(jnp.sqrt(W)), 1.0, horizon=5.0),
    ),
    Case("weight decay", Verdict.CONVERGED, lambda: identity(2, 0.1, 60.0, weight_decay=0.1)),
    Case("weight decay, early", Verdict.PLATEAU, lambda: identity(2, 1e-7, 0.7, weight_decay=0.1)),
    Case(
        "least squares",
        Verdict.CONVERGED,
        lambda: regression(SEPARABLE, 200.0, losses.LeastSquares.from_data),
    ),
    Case(
        "logistic, separable",
        Verdict.NO_FINITE_MINIMIZER,
        lambda: regression(SEPARABLE, 1e3, losses.Logistic),
    ),
    Case(
        "logistic, partly separable",
        Verdict.NO_FINITE_MINIMIZER,
        lambda: regression(PARTLY, 1e3, losses.Logistic),
    ),
    Case(
        "logistic, contradictory",
        Verdict.CONVERGED,
        lambda: regression(MIXED, 300.0, losses.Logistic),
    ),
    Case("completion", Verdict.CONVERGED, lambda: identity(2, 1e-2, 60.0, COMPLETION)),
    Case(
        "a loss to stop at",
        Verdict.STOPPED_AT_CRITERION,
        lambda: identity(2, 0.1, 40.0),
        options={"stop_at_loss": 1e-3},
    ),
    Case(
        "few steps",
        Verdict.BUDGET_EXHAUSTED,
        lambda: identity(2, 0.1, 40.0),
        options={"max_steps": 5},
    ),
    Case(
        "a stop request",
        Verdict.INTERRUPTED,
        lambda: identity(2, 0.1, 40.0),
        options={"monitor": Monitor(stop_requested=lambda: True)},
    ),
]


def marked(case: Case) -> Any:
    """Return a case, slow where its space compiles long."""
    slow = case.space != "layers"
    return pytest.param(case, id=str(case), marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("case", [marked(case) for case in FLOWS])
def test_flows_end_as_they_should(case: Case) -> None:
    trajectory = solve(case.problem(), case.space, **case.options)
    assert trajectory.verdict is case.verdict, trajectory.ending


DESCENTS = {
    0.1: Verdict.CONVERGED,
    0.9: Verdict.CONVERGED,
    1.0: Verdict.SLOW,
    1.05: Verdict.OSCILLATING,
    1.2: Verdict.OSCILLATING,
    1.24: Verdict.OSCILLATING,
    1.45: Verdict.IRREGULAR,
    1.55: Verdict.IRREGULAR,
    2.5: Verdict.DIVERGED,
    9.0: Verdict.DIVERGED,
}
"""Verdicts at step sizes η for the target 1 at depth 2, where λ_max = 2 at the minimum."""


@pytest.fixture(scope="module")
def descents() -> Any:
    problem = scalar(losses.Squared(np.eye(1)), 0.1, 0.1, horizon=1.0)
    return descend(problem, list(DESCENTS), np.linspace(0, 3000.0, 60))


@pytest.mark.parametrize("row", range(len(DESCENTS)))
def test_descents_end_as_they_should(descents, row) -> None:
    assert descents.verdicts[row] is list(DESCENTS.values())[row], descents.endings[row]
    assert descents.outcome[row] == descents.verdicts[row].outcome


def test_an_oscillation_has_its_period_and_range(descents) -> None:
    """From equal layers W = w² follows W ↦ W (1 + η(1 - W))²."""
    eta = 1.05
    ending = descents.endings[list(DESCENTS).index(eta)]
    low, high = ending.details["low"], ending.details["high"]

    def step(W: float) -> float:
        return W * (1 + eta * (1 - W)) ** 2

    assert ending.details["period"] == 2
    assert step(low) == pytest.approx(high, rel=1e-9)
    assert step(high) == pytest.approx(low, rel=1e-9)
    assert descents.endings[list(DESCENTS).index(1.24)].details["period"] == 4


def test_a_divergence_has_its_iteration(descents) -> None:
    w, k = 0.1, 0
    while 0.5 * (w * w - 1) ** 2 <= 0.5e12:
        w, k = w + 2.5 * w * (1 - w * w), k + 1
    assert descents.endings[list(DESCENTS).index(2.5)].at == k


@pytest.mark.parametrize(
    ("problem", "verdict"),
    [(identity(2, 1e-8, 1.0), Verdict.PLATEAU), (zero(2), Verdict.SADDLE)],
    ids=["plateau", "saddle"],
)
def test_descent_near_saddles(problem, verdict) -> None:
    found = descend(problem, [0.01, 0.05], np.linspace(0, 0.7, 20))
    assert found.verdicts == (verdict, verdict)


def test_an_interrupted_descent() -> None:
    problem = identity(2, 0.1, 1.0)
    stop = Monitor(stop_requested=lambda: True)
    found = descend(problem, [0.01], np.linspace(0, 1.0, 5), monitor=stop)
    assert found.verdicts == (Verdict.INTERRUPTED,)


def test_there_are_sixty_cases() -> None:
    assert len(FLOWS) + len(DESCENTS) >= 60


@pytest.mark.parametrize("p", [0.5, 1.0, 3.0])
def test_the_exponent_of_a_power_law(p) -> None:
    times = np.concatenate([[0.0], np.geomspace(1e-2, 1e4, 100)])
    assert power_of_time(times, (1.0 + times) ** -p) == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize("rate", [1e-3, 1e-2, 1.0])
def test_exponentials_and_constants_have_no_exponent(rate) -> None:
    times = np.linspace(0, 1e3, 200)
    assert power_of_time(times, np.exp(-rate * times) + 0.0) is None
    assert power_of_time(times, np.ones_like(times)) is None


def plateau(rng: np.random.Generator) -> tuple[Problem, str]:
    """Return a flow that ends half-way between two modes, in random bases, widths and depths."""
    n, depth = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    sigma = np.sort(np.exp(rng.uniform(np.log(0.2), np.log(5.0), n)))[::-1]
    sigma *= 3.0 ** np.arange(n)[::-1]
    U, V_ = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    scale = 10 ** rng.uniform(-9, -5)
    layers = initialization.from_svd((n,) * (depth + 1), U, np.full(n, scale), V_.T)
    k = int(rng.integers(0, n - 1)) if n > 1 else 0
    if depth == 2:
        learned = [np.log(s / scale) / (2 * s) for s in sigma]
    else:
        learned = [1 / (s * scale ** (1 / 3)) for s in sigma]
    horizon = 0.5 * (learned[k] + learned[k + 1])
    spaces = ("layers", "end_to_end", "spectral")
    return Problem(losses.Squared((U * sigma) @ V_.T), layers, horizon), spaces[rng.integers(3)]


def false_convergences(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        problem, space = plateau(rng)
        trajectory = solve(problem, space, times=np.linspace(0, problem.horizon, 20), rtol=1e-7)
        if trajectory.verdict is Verdict.CONVERGED:
            found.append(f"{k} in {space}: {trajectory.loss[-1]}")
    return found


@pytest.mark.slow
def test_many_plateaus_are_not_convergence() -> None:
    """With 500 of them there is none either, which takes some minutes."""
    assert false_convergences(150, seed=2) == []


@pytest.mark.parametrize("depth", [3, 4])
def test_blow_ups_have_their_time(depth) -> None:
    """ẇ = φ w^{N-1} from w_0 is infinite at t* = w_0^{2-N}/((N - 2) φ)."""
    rng = np.random.default_rng(depth)
    for _ in range(20):
        w, phi = np.exp(rng.uniform(-1, 1, 2))
        expected = w ** (2 - depth) / ((depth - 2) * phi)
        problem = scalar(losses.Linear(np.full((1, 1), phi)), *[w] * depth, horizon=3 * expected)
        trajectory = solve(problem, estimate_error=False)
        assert trajectory.verdict is Verdict.BLOW_UP
        assert trajectory.ending.at == pytest.approx(expected, rel=1e-2)
        assert trajectory.times[-1] <= expected
        assert np.isfinite(trajectory.end_to_end).all()


def test_a_smooth_oscillation_of_momentum_is_none() -> None:
    """With increasing momentum W swings about its minimum, over many iterates at small steps."""
    problem = identity(2, 0.1, 1.0)
    times = np.linspace(0, 40.0, 100)
    found = descend(problem, [0.002], times, rule="nesterov", momentum="increasing")
    assert found.verdicts == (Verdict.CONVERGED,)
