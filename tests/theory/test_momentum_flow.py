"""Flows that describe momentum: exact solutions at one layer, limits, and orders in the layers."""

from __future__ import annotations

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from scenario_texts import SQUARED, spoilt, the_mistake
from scipy.special import j1, jv, y1, yv

from flowsim.dynamics.rules import named
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization
from flowsim.problem.losses import Linear, Squared
from flowsim.problem.problem import Problem
from flowsim.results.run import Run
from flowsim.solvers.iterate import DescentOptions
from flowsim.solvers.monitor import Monitor
from flowsim.theory.modified_flows.objective import Objective, flatten
from flowsim.theory.modified_flows.solution import RTOL, FlowSolution
from flowsim.theory.momentum_flow.formulas import Description, descriptions
from flowsim.theory.setting import replay

START, TARGET, DECAY = np.array([[2.0, -0.5]]), np.array([[0.5, 1.0]]), 0.25
LAMBDA = 1 + DECAY
"""The curvature of ½‖W - Φ‖² + (λ/2)‖W‖² at one layer, λ = 0.25."""

REST = TARGET / LAMBDA


def described(
    rule: str, momentum: float | str, eta: float, loss: object = None, decay: float = DECAY
) -> dict[str, Description]:
    objective = Objective.of(loss or Squared(TARGET), (START,), decay)
    return dict(descriptions(objective, flatten((START,)), eta, rule, momentum))


def agrees(found: FlowSolution, modes: np.ndarray) -> None:
    """Compare θ - rest, over START - REST, with a closed form, within the error that is told."""
    wanted = REST.ravel() + modes[:, None] * (START - REST).ravel()
    away = np.linalg.norm(found.theta - wanted, axis=1)
    assert (away <= 10 * found.error + 1e3 * RTOL).all()
    assert found.error.max() < 1e-6
    assert found.reason == ""


K = np.arange(0, 201, 5)


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.02, 0.4])
@pytest.mark.parametrize("mu", [0.3, 0.9])
@pytest.mark.parametrize("rule", ["gradient", "nesterov"])
def test_at_one_layer_they_are_damped_oscillators(rule: str, mu: float, eta: float) -> None:
    """ηm ẍ + (1 - μ + ηbλ) ẋ + λx = 0 with x(0) = 1: two exponentials, complex or not."""
    a = mu if rule == "nesterov" else 0.0
    pairs = {"inertia": ((1 + mu) / 2 - a * (1 - mu), 0.0), "high_resolution": ((1 + mu) / 2, a)}
    found = described(rule, mu, eta)
    assert set(found) == {"flow", "inertia"} | ({"high_resolution"} if a else set())
    agrees(found["flow"].at(K), np.exp(-LAMBDA * K * eta / (1 - mu)))
    for name in set(found) - {"flow"}:
        m, b = pairs[name]
        roots = np.roots([eta * m, 1 - mu + eta * b * LAMBDA, LAMBDA]).astype(complex)
        speed = -(1 - mu / m) / (1 - mu) * LAMBDA
        shares = np.linalg.solve([[1, 1], roots], [1, speed])
        agrees(found[name].at(K), (np.exp(np.outer(K * eta, roots)) @ shares).real)


@pytest.mark.parametrize("eta", [0.01, 0.36])
def test_with_increasing_momentum_they_are_bessel_functions(eta: float) -> None:
    """2 J_1(ωt)/(ωt), ω² = λ; with h, e^{-hλt/2} times a solution at ω² = λ - h²λ²/4."""
    h = np.sqrt(eta)
    found = described("nesterov", "increasing", eta)
    t, omega = K[1:] * h, np.sqrt(LAMBDA)
    agrees(found["inertia"].at(K), np.append(1, 2 * j1(omega * t) / (omega * t)))
    omega, decay = np.sqrt(LAMBDA - h**2 * LAMBDA**2 / 4), h * LAMBDA / 2
    at, t = h / 2, (K + 0.5) * h
    basis = [  # of Ÿ + (3/t)Ẏ + ω²Y = 0 and its derivatives at the start, Z_1(ωt)/t
        (Z(omega * at) / at, -omega * Z2(2, omega * at) / at) for Z, Z2 in ((j1, jv), (y1, yv))
    ]
    start = [1, -5 / 8 * h * LAMBDA + decay]
    shares = np.linalg.solve(np.transpose(basis), start)
    shape = shares[0] * j1(omega * t) / t + shares[1] * y1(omega * t) / t
    agrees(found["high_resolution"].at(K), np.exp(-decay * (t - at)) * shape)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["gradient", "nesterov"])
def test_where_the_gradient_is_constant_they_lag_as_the_iterates_do(rule: str) -> None:
    """θ_k = θ_0 - (ηg/(1 - μ)) (k - μ/(1 - μ)) once μ^k is gone."""
    mu, eta, k = 0.8, 0.1, np.array([0, 400, 900])
    steps = k - mu / (1 - mu) * (k > 0)
    wanted = START.ravel() + eta / (1 - mu) * steps[:, None] * TARGET.ravel()
    for name, one in described(rule, mu, eta, Linear(TARGET), 0.0).items():
        off = np.abs(one.at(k).theta - wanted)[1:] / np.abs(TARGET.ravel())
        lag = eta / (1 - mu) * mu / (1 - mu) if name == "flow" else 0.0
        np.testing.assert_allclose(off, lag, rtol=0, atol=1e-6)


def test_increasing_momentum_on_a_constant_gradient() -> None:
    eta, k = 0.09, np.array([0, 1, 2, 50])
    found = described("nesterov", "increasing", eta, Linear(TARGET), 0.0)
    for name, sums in (("inertia", k**2), ("high_resolution", k**2 + 5 * k)):
        wanted = START.ravel() + eta / 8 * sums[:, None] * TARGET.ravel()
        np.testing.assert_allclose(found[name].at(k).theta, wanted, rtol=1e-7)
    problem = Problem(Linear(TARGET), [START], 1.0)
    iterates = layers_at(problem, [eta], k[None], "nesterov", "increasing")[0]
    sums = (k**2 + 5 * k + 2) * (k > 0)
    np.testing.assert_allclose(iterates, START.ravel() + eta / 8 * sums[:, None] * TARGET.ravel())


def layers_at(
    problem: Problem, sizes: list[float], count: np.ndarray, rule: str, momentum: float | str
) -> np.ndarray:
    """Return θ_k at iterations `count(step_size, sample)`."""
    found = np.full((*count.shape, sum(W.size for W in problem.layers)), np.nan)

    def visit(k: int, sample: int, layers: list[np.ndarray], sums: object) -> None:
        found[k, sample] = np.concatenate([np.ravel(W) for W in layers])

    replay(problem, sizes, count, visit, options=DescentOptions(named(rule, momentum=momentum)))
    return found


def two_layers(decay: float = 0.1) -> Problem:
    layers = initialization.gaussian([3, 4, 2], 0.6, np.random.default_rng(3))
    target = np.array([[2.0, 0.3, -0.4], [0.1, 1.0, 0.5]])
    return Problem(Squared(target), layers, 2.0, decay)


@cache
def distances(rule: str, momentum: float | str, at_rest: bool = False) -> dict:
    """Return the largest distance at a few times, the same at each of three step sizes."""
    problem = two_layers()
    objective = Objective.of(problem.loss, problem.layers, problem.weight_decay)
    sizes = [0.01, 0.0025, 0.000625] if momentum == "increasing" else [0.01, 0.005, 0.0025]
    unit = np.sqrt(sizes) if momentum == "increasing" else np.array(sizes)
    count = np.rint(np.array([0.0, 1.0, 1.5, 2.0]) / unit[:, None]).astype(int)
    iterates = layers_at(problem, sizes, count, rule, momentum)
    result: dict[str, list[float]] = {}
    for k, eta in enumerate(sizes):
        given = descriptions(objective, flatten(problem.layers), eta, rule, momentum)
        for name, one in given.items():
            if at_rest and name != "flow":
                still = (one.start[0], jnp.zeros_like(one.start[1]))
                one = Description(one.motion, still, one.unit, one.shift)  # noqa: PLW2901
            apart = np.linalg.norm(one.at(count[k]).theta - iterates[k], axis=1)
            result.setdefault(name, []).append(float(apart.max()))
    return {name: np.array(values) for name, values in result.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "momentum", "orders"),
    [
        ("gradient", 0.0, {"flow": 1, "inertia": 2}),
        ("gradient", 0.5, {"flow": 1, "inertia": 2}),
        ("nesterov", 0.5, {"flow": 1, "inertia": 2, "high_resolution": 2}),
        ("nesterov", "increasing", {"inertia": 0.5, "high_resolution": 1}),
    ],
)
def test_distances_are_of_their_order(
    rule: str, momentum: float | str, orders: dict[str, float]
) -> None:
    """At fixed times: of kη, or of k√η where momentum increases."""
    found = distances(rule, momentum)
    assert set(found) == set(orders)
    factor = 4 if momentum == "increasing" else 2
    for name, order in orders.items():
        slopes = np.log(found[name][:-1] / found[name][1:]) / np.log(factor)
        assert abs(slopes[-1] - order) < 0.15, (name, slopes)
        assert found[name][-1] > 1e-8


@pytest.mark.slow
def test_from_rest_inertia_is_of_order_one() -> None:
    still, started = (distances("gradient", 0.5, at_rest)["inertia"] for at_rest in (True, False))
    assert abs(np.log2(still[1] / still[2]) - 1) < 0.15
    assert (still > 10 * started).all()


TEXT = """
title = "Momentum"
[network]
widths = [3, 4, 2]
[loss]
kind = "squared"
target = { spectrum = [3.0, 1.0] }
[init]
kind = "balanced"
scale = 0.5
[flow]
horizon = 6.0
samples = 7
spaces = ["layers"]
[descent]
step_sizes = [0.05, 0.025, 1.0]
rule = "nesterov"
momentum = 0.6
[output]
measures = ["momentum_flow"]
"""


@pytest.fixture(scope="module")
def measured() -> Run:
    return run(from_toml(TEXT), "momentum")


@pytest.mark.slow
def test_it_is_measured_at_every_sample(measured: Run) -> None:
    group = {name: measured[f"momentum_flow.{name}"] for name in measured.groups["momentum_flow"]}
    np.testing.assert_array_equal(group["time"], measured["descent.time"])
    sigma = measured["descent.singular_values"][..., 0]
    np.testing.assert_allclose(group["strength"], sigma, rtol=1e-12)
    alive = np.isfinite(measured["descent.loss"])
    assert not alive[2].all()
    for name in ("flow", "inertia", "high_resolution"):
        np.testing.assert_array_equal(np.isfinite(group[name]), alive)
        np.testing.assert_allclose(group[name][:, 0], 0, atol=1e-14)
    assert (group["high_resolution"][:2, 1:] < group["flow"][:2, 1:]).all()
    assert (group["high_resolution_error"][:2] < group["high_resolution"][:2] + 1e-9).all()
    told = "momentum_flow: the iterates diverge at η = 1; the flows are stable at a minimum"
    assert any(note.startswith(told) for note in measured.summary["notes"])


def test_increasing_momentum_follows_no_gradient_flow() -> None:
    given = {"descent.momentum": "increasing", "descent.step_sizes": [0.04]}
    found = run(from_toml(TEXT, overrides=given), "increasing")
    assert np.isnan(found["momentum_flow.flow"]).all()
    count = found["descent.iteration"]
    np.testing.assert_allclose(found["momentum_flow.time"], 0.2 * count, rtol=1e-14)
    last = [found[f"momentum_flow.{name}"][0, -1] for name in ("inertia", "high_resolution")]
    assert last[1] < 0.3 * last[0]


def test_an_interrupt_leaves_what_was_reached() -> None:
    told: list[float] = []
    found = run(
        from_toml(TEXT),
        "stopped",
        monitor=Monitor(
            lambda label, share: (
                told.append(share) if label == "momentum flow" and share > 0 else None
            ),
            lambda: bool(told),
        ),
    )
    known = np.isfinite(found["momentum_flow.inertia"]).any(axis=1)
    np.testing.assert_array_equal(known, [True, False, False])


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ("", "descent has no momentum; write descent.momentum = 0.9, or leave it out"),
        ('momentum = 0.9\nprecision = "float32"', "it is computed in float64; write"),
    ],
)
def test_it_needs_momentum_in_double_precision(added: str, says: str) -> None:
    text = spoilt("[0.4, 0.1]", f"[0.4, 0.1]\n{added}")
    text += '\n[output]\nmeasures = ["momentum_flow"] #!\n'
    assert says in the_mistake(text)


def test_it_needs_descent() -> None:
    text = SQUARED[: SQUARED.index("[descent]")] + '[output]\nmeasures = ["momentum_flow"] #!\n'
    assert "there is no descent; write [descent] with step_sizes and momentum" in the_mistake(text)
