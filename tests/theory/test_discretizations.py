"""Descent by other rules: Runge-Kutta steps of the flow, and Nesterov's momentum."""

from __future__ import annotations

import diffrax
import numpy as np
import pytest
from scenario_texts import SQUARED, spoilt, the_mistake
from scipy.optimize import brentq

from flowsim.dynamics.update_rules import TABLEAUS
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.toml.writing import dumps
from flowsim.solvers.descend import descend
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.solve import solve

PHI = np.array([[2.0, 0.3, -0.4], [0.1, 1.0, 0.5]])
ORDERS = {"gradient": 1, "midpoint": 2, "heun": 2, "rk4": 4}
GROWTH = {
    "gradient": lambda z: 1 - z,
    "midpoint": lambda z: 1 - z + z**2 / 2,
    "heun": lambda z: 1 - z + z**2 / 2,
    "rk4": lambda z: 1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24,
}
"""R(-ηλ): what a step makes of a mode with curvature λ (Hairer & Wanner, Solving ODEs II, IV.2)."""

LIMITS = {
    name: brentq(lambda z, R=R: abs(R(z)) - 1, 1.5, 3.5, xtol=1e-14) for name, R in GROWTH.items()
}
MOMENTA = [0.0, 0.6, 0.9, "increasing"]


def problem(decay: float = 0.0) -> Problem:
    layers = initialization.gaussian([3, 4, 2], 0.5, np.random.default_rng(3))
    return Problem(Squared(PHI), layers, 1.0, decay)


def each_step(
    given: Problem, eta: float, steps: int, rule: str, **options: object
) -> DescentTrajectory:
    """Descend so that every iterate is saved."""
    times = eta * np.arange(steps + 1)
    return descend(given, [eta], times, rule=rule, **options)


@pytest.mark.parametrize(("name", "solver"), [("heun", "Heun"), ("midpoint", "Midpoint")])
def test_tableaus_are_those_of_diffrax(name: str, solver: str) -> None:
    known = getattr(diffrax, solver).tableau
    np.testing.assert_array_equal(TABLEAUS[name].b, known.b_sol)
    for row, wanted in zip(TABLEAUS[name].a, known.a_lower, strict=True):
        np.testing.assert_array_equal(row, wanted)


def test_rk4_has_order_four() -> None:
    """The eight conditions of order 4 (Hairer, Nørsett & Wanner, Solving ODEs I, II.1)."""
    A = np.zeros((4, 4))
    for i, row in enumerate(TABLEAUS["rk4"].a, 1):
        A[i, : len(row)] = row
    b, c = np.array(TABLEAUS["rk4"].b), A.sum(axis=1)
    found = [b.sum(), b @ c, b @ c**2, b @ A @ c, b @ c**3, (b * c) @ A @ c]
    found += [b @ A @ c**2, b @ A @ A @ c]
    wanted = [1, 1 / 2, 1 / 3, 1 / 6, 1 / 4, 1 / 8, 1 / 12, 1 / 24]
    np.testing.assert_allclose(found, wanted, rtol=1e-15)


@pytest.fixture(scope="module")
def flow() -> dict[float, np.ndarray]:
    found = solve(problem(0.2), times=np.array([0.0, 1.0, 2.0]), rtol=1e-13)
    assert found.error_estimate.max() < 1e-10
    return dict(found.matrices())


@pytest.mark.parametrize("rule", ORDERS)
def test_each_follows_the_flow_in_its_order(rule: str, flow: dict[float, np.ndarray]) -> None:
    etas, order = [0.1, 0.05, 0.025], ORDERS[rule]
    times = np.array([0.0, 1.0, 2.0])
    found = descend(problem(0.2), etas, times, rule=rule, reference=flow)
    assert found.follows_flow
    gaps = found.vs_flow.max(axis=1)
    assert gaps[-1] > 1e-9  # above the flow's own error
    # the next term is smaller by ηλ, λ = 6 the sharpness: it moves the slope by as much at most
    assert abs(np.log2(gaps[1] / gaps[2]) - order) < 0.2
    assert abs(np.log2(gaps[1] / gaps[2]) - order) < abs(np.log2(gaps[0] / gaps[1]) - order)


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("rule", ORDERS)
def test_on_a_quadratic_a_step_is_its_stability_function(rule: str, decay: float) -> None:
    """N = 1: the distance to the minimum is multiplied by R(-η(1 + λ)) at every step."""
    start = np.array([[3.0, -1.0]])
    target = np.array([[1.0, 2.0]])
    given = Problem(Squared(target), [start], 1.0, decay)
    rest = target / (1 + decay)
    for eta in (0.3, 1.1):
        found = each_step(given, eta, 12, rule)
        powers = GROWTH[rule](eta * (1 + decay)) ** np.arange(13)
        wanted = rest + powers[:, None, None] * (start - rest)
        np.testing.assert_allclose(found.end_to_end[0], wanted, atol=1e-14)


def test_the_limits_of_stability() -> None:
    """2/λ for Euler's method, the midpoint rule and Heun's; 2.785/λ for Kutta's."""
    wanted = {"gradient": 2, "midpoint": 2, "heun": 2, "rk4": 2.785293563405282}
    assert pytest.approx(wanted, abs=1e-12) == LIMITS
    for rule, limit in LIMITS.items():
        below, above = losses_after(2000, limit, rule)
        assert below < 1e-6
        assert above > 1e6


def losses_after(steps: int, limit: float, rule: str, momentum: float = 0.0) -> np.ndarray:
    """Return the share of the loss that is left of (w - 1)²/2 a little below and above a limit."""
    given = Problem(Squared(np.array([[1.0]])), [np.array([[0.5]])], 1.0)
    found = [
        descend(given, [eta], eta * np.array([0.0, steps]), rule=rule, momentum=momentum)
        for eta in (limit - 0.02, limit + 0.02)
    ]
    return np.array([each.loss[0, -1] / each.loss[0, 0] for each in found])


def nesterov(eta: float, steps: int, momentum: float | str, decay: float = 0.0) -> np.ndarray:
    """Return W_0, W_1, … by two sequences: X_{k+1} = Y_k - η∇φ(Y_k), Y_{k+1} = X + μ(X - X_k)."""
    X = Y = [np.array(W) for W in problem().layers]
    found = [X[1] @ X[0]]
    for k in range(steps):
        G = Y[1] @ Y[0] - PHI
        slopes = [Y[1].T @ G + decay * Y[0], G @ Y[0].T + decay * Y[1]]
        after = [W - eta * g for W, g in zip(Y, slopes, strict=True)]
        mu = k / (k + 3) if momentum == "increasing" else momentum
        Y = [new + mu * (new - old) for new, old in zip(after, X, strict=True)]
        X = after
        found.append(X[1] @ X[0])
    return np.array(found)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", MOMENTA)
def test_nesterov_takes_the_steps_of_its_paper(momentum: float | str, decay: float) -> None:
    found = each_step(problem(decay), 0.1, 40, "nesterov", momentum=momentum)
    wanted = nesterov(0.1, 40, momentum, decay)
    np.testing.assert_allclose(found.end_to_end[0], wanted, atol=1e-13)
    assert found.follows_flow == (momentum != "increasing")


def test_without_momentum_nesterov_is_gradient_descent() -> None:
    plain = each_step(problem(), 0.1, 30, "gradient")
    found = each_step(problem(), 0.1, 30, "nesterov", momentum=0.0)
    np.testing.assert_allclose(found.end_to_end, plain.end_to_end, atol=1e-14)


@pytest.mark.parametrize("mu", [0.5, 0.9])
def test_the_limits_of_momentum(mu: float) -> None:
    """ηλ < 2(1 + μ) for the heavy ball, 2(1 + μ)/(1 + 2μ) for Nesterov: the roots pass -1."""
    for rule, limit in (("gradient", 2 * (1 + mu)), ("nesterov", 2 * (1 + mu) / (1 + 2 * mu))):
        below, above = losses_after(3000, limit, rule, mu)
        assert below < 1e-6
        assert above > 1e6


@pytest.mark.parametrize(
    ("rule", "momentum"),
    [("nesterov", 0.9), ("nesterov", "increasing"), ("midpoint", 0.0), ("rk4", 0.0)],
)
def test_single_precision_exposes_rounding(rule: str, momentum: float | str) -> None:
    double, single = (
        each_step(problem(), 0.05, 30, rule, momentum=momentum, precision=precision)
        for precision in ("float64", "float32")
    )
    gap = np.abs(double.end_to_end - single.end_to_end).max()
    assert 1e-9 < gap < 1e-4


def test_momentum_is_asked_where_there_is_any() -> None:
    for rule in ("rk4", "adagrad"):
        with pytest.raises(ValueError, match=f"Momentum is not used by '{rule}', but is 0.5"):
            each_step(problem(), 0.1, 1, rule, momentum=0.5)
    with pytest.raises(ValueError, match="increases in 'nesterov' alone, not in 'gradient'"):
        each_step(problem(), 0.1, 1, "gradient", momentum="increasing")


def scenario(rule: str, momentum: str = "0.0") -> Scenario:
    text = SQUARED + f'rule = "{rule}"\nmomentum = {momentum}\n'
    return from_toml(text, overrides={"flow.horizon": 2.0, "flow.samples": 5})


@pytest.mark.slow
def test_a_scenario_follows_the_flow_by_rk4() -> None:
    found = run(scenario("rk4"), "kutta")
    gaps = np.nanmax(found["comparison.descent_vs_flow"], axis=1)
    assert abs(np.log(gaps[0] / gaps[1]) / np.log(4) - 4) < 1
    assert "rk4, step sizes" in str(found.scenario)
    assert "optax" not in found.summary["versions"]


@pytest.mark.slow
def test_increasing_momentum_has_no_times_of_the_flow() -> None:
    given = scenario("nesterov", '"increasing"')
    found = run(given, "nesterov")
    assert "time" not in found.groups["descent"]
    assert "descent_vs_flow" not in found.groups["comparison"]
    assert "nesterov, step sizes 0.4, 0.1, momentum increasing" in str(given)
    assert from_toml(dumps(given)) == given
    claim = '\n[[claims]]\nquantity = "descent.time" #!\nbelow = 1\n'
    text = SQUARED + 'rule = "nesterov"\nmomentum = "increasing"\n' + claim
    reason = 'steps of "nesterov" with increasing momentum have no time of the flow'
    assert reason in the_mistake(text)


@pytest.mark.parametrize(
    ("rule", "momentum", "says"),
    [
        ("nesterov", "0.0", 'is 0, at which "nesterov" is gradient descent; write momentum = 0.9'),
        ("rk4", "0.5", 'is not used by rule = "rk4", only by "gradient" and "nesterov"'),
        (
            "gradient",
            '"increasing"',
            'is "increasing", which "nesterov" alone can be; write rule =',
        ),
        ("nesterov", '"growing"', 'is "growing", but a number is required; write momentum = 0.9'),
        ("nesterov", "true", "is true, but a number is required; write momentum = 0.9"),
        ("nesterov", "-0.1", "is -0.1, but must be at least 0; write momentum = 0.9"),
        ("nesterov", "1", "is 1, but must be below 1; write momentum = 0.9"),
    ],
)
def test_momentum_that_does_not_fit_is_refused(rule: str, momentum: str, says: str) -> None:
    written = f'[0.4, 0.1]\nrule = "{rule}"\nmomentum = {momentum} #!'
    assert the_mistake(spoilt("[0.4, 0.1]", written)).startswith(f"descent.momentum: {says}")
