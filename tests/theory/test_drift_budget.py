"""The drift of balance under descent: recursions written out, its bound, and what it costs."""

from __future__ import annotations

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization, losses, network
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.iterate import iterations
from flowsim.solvers.monitor import Monitor
from flowsim.theory.drift_budget.measure import Budgeting, balanced_step, compared, layer_movement
from flowsim.theory.setting import replay
from flowsim.theory.tangent_kernel import measure as tangent_kernel

RNG = np.random.default_rng(4)
WIDTHS = [(1, 1, 2), (4, 2, 3), (4, 6, 5, 3), (3, 4, 4, 3, 5)]
NUMBERED = pytest.mark.parametrize("widths", WIDTHS, ids=str)


def drawn(widths, scale=0.7, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(scale * rng.standard_normal((b, a)) for a, b in pairwise(widths))


def squared(widths, seed=1):
    rng = np.random.default_rng(seed)
    return losses.Squared(rng.standard_normal((widths[-1], widths[0])))


def classes(widths, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, widths[-1], 20)
    return losses.CrossEntropy(rng.standard_normal((widths[0], 20)), labels)


def budgets(problem, sizes, times):
    """Return what is visited: by (step size, sample), the layers and the budget."""
    found = {}
    replay(
        problem,
        sizes,
        iterations(times, sizes),
        lambda k, sample, layers, budget: found.update({(k, sample): (layers, budget)}),
        accumulator=Budgeting(network.rank_bound(problem.layers)),
    )
    return found


@NUMBERED
@pytest.mark.parametrize("kind", [squared, classes])
def test_the_sum_of_the_steps_is_the_change_that_is_measured(widths, kind):
    """Within a bound on rounding that is far below the change itself."""
    problem = Problem(kind(widths), drawn(widths), 3.0)
    sizes, times = [0.02, 0.1], np.linspace(0, 3, 7)
    for (_, sample), (layers, budget) in budgets(problem, sizes, times).items():
        accumulated, measured, difference, error = compared(layers, problem.layers, budget)
        assert (difference <= error).all()
        rounding = 4 * np.finfo(float).eps * measured  # of the norms themselves
        assert (np.abs(accumulated - measured) <= difference + rounding).all()
        if sample:
            assert (error < 1e-9 * measured).all()


def test_two_scalar_layers_drift_as_their_recursion_says():
    """D = w_2² - w_1² changes by η²g²(w_1² - w_2²), g = w_2w_1 - φ: so by (1 - η²g²) each step."""
    phi, eta, w = 1.5, 0.1, (0.6, 1.1)
    problem = Problem(losses.Squared(np.array([[phi]])), [[[w[0]]], [[w[1]]]], 2.0)
    found = budgets(problem, [eta], np.array([0.0, 1.0, 2.0]))
    D = first = w[1] ** 2 - w[0] ** 2
    for k in range(1, 21):
        g = w[0] * w[1] - phi
        D *= 1 - eta**2 * g**2
        w = w[0] - eta * g * w[1], w[1] - eta * g * w[0]
        if k % 10 == 0:
            drift = float(found[0, k // 10][1].drift[0][0, 0])
            assert drift == pytest.approx(D - first, rel=1e-13)
            assert drift == pytest.approx(w[1] ** 2 - w[0] ** 2 - first, rel=1e-13)


def test_a_formula_that_is_not_that_of_the_step_is_found_out():
    """One step from elsewhere is within no bound: so the bound can fail."""
    widths = (4, 6, 5, 3)
    problem = Problem(squared(widths), drawn(widths), 1.0)
    layers, budget = budgets(problem, [0.05], np.array([0.0, 1.0]))[0, 1]
    off = tuple(S * (1 + 1e-8) for S in budget.drift)
    _, _, difference, error = compared(layers, problem.layers, budget._replace(drift=off))
    assert (difference > error).all()


@NUMBERED
def test_layers_move_w_by_the_tangent_kernel(widths):
    layers, loss = drawn(widths), squared(widths)
    G = loss.gradient(network.end_to_end(layers))
    wanted = sum(L @ G @ R for L, R in tangent_kernel.factors(layers))
    found = layer_movement(layers, network.layer_gradients(layers, loss.gradient))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("hidden", [3, 5])
def test_a_balanced_step_is_one_of_any_balanced_layers(hidden):
    """Wider layers with zeros, turned against each other, make the same product."""
    widths, eta = (4, hidden, hidden, 3), 0.1
    layers, loss = initialization.balanced(widths, 1.3, np.random.default_rng(2)), squared(widths)
    turn = np.linalg.qr(RNG.standard_normal((hidden, hidden)))[0]
    turned = (turn @ layers[0], layers[1] @ turn.T, layers[2])
    g = network.layer_gradients(turned, loss.gradient)
    wanted = network.end_to_end(tuple(W - eta * s for W, s in zip(turned, g, strict=True)))
    found = balanced_step(loss, jnp.asarray(eta), network.end_to_end(layers), 3, 3)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


def test_the_cost_is_of_order_one_and_all_that_lies_between_it_and_balance():
    """At η → 0, from balance, ‖W - Ŵ‖ and Σ η‖Θ[G] - P_W[G]‖ go as η, the former below."""
    widths = (4, 5, 5, 3)
    problem = Problem(
        squared(widths), initialization.balanced(widths, 0.8, np.random.default_rng(3)), 0.3
    )
    sizes = [0.01, 0.005, 0.0025]
    found = budgets(problem, sizes, np.array([0.0, 0.3]))
    last = [found[k, 1] for k in range(3)]
    cost = np.array([float(budget.cost) for _, budget in last])
    apart = [np.linalg.norm(network.end_to_end(W) - budget.rebalanced) for W, budget in last]
    np.testing.assert_allclose(cost[:-1] / cost[1:], 2, atol=10 * sizes[0])
    np.testing.assert_allclose(np.divide(apart[:-1], apart[1:]), 2, atol=10 * sizes[0])
    assert (apart < cost).all()
    assert (cost > 1e-5).all()


def test_the_first_step_from_balance_costs_nothing():
    """Θ = P_W there; σ^{1/N} are those of an SVD, and the rounding its own."""
    widths = (4, 5, 5, 3)
    layers, loss = initialization.balanced(widths, 0.8, np.random.default_rng(3)), squared(widths)
    _, after = budgets(Problem(loss, layers, 1.0), [0.1], np.array([0.0, 0.1]))[0, 1]
    assert float(after.cost) < 1e-14
    g = network.layer_gradients(layers, loss.gradient)
    moved = [W - 0.1 * s for W, s in zip(layers, g, strict=True)]
    np.testing.assert_allclose(after.rebalanced, network.end_to_end(moved), rtol=0, atol=1e-14)


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_the_steps_are_those_of_descent_with_its_divergence(decay):
    widths = (4, 5, 3)
    problem = Problem(squared(widths), drawn(widths), 8.0, weight_decay=decay)
    sizes, times = [0.02, 0.1, 0.9], np.linspace(0, 8, 9)
    descent, found = descend(problem, sizes, times), budgets(problem, sizes, times)
    assert descent.outcome == ("completed", "completed", "diverged")
    np.testing.assert_array_equal(
        np.isfinite(descent.loss), [[(k, i) in found for i in range(9)] for k in range(3)]
    )
    for (k, i), (layers, _) in found.items():
        W = network.end_to_end(layers)
        scale = max(1.0, float(np.abs(W).max()))
        np.testing.assert_allclose(W, descent.end_to_end[k, i], rtol=0, atol=1e-12 * scale)


TEXT = """
title = "Drift"
[network]
widths = [4, 5, 3]
[loss]
kind = "squared"
target = { spectrum = [3.0, 1.0] }
[init]
kind = "xavier"
[flow]
horizon = 4.0
samples = 9
[descent]
step_sizes = [0.1, 0.05, 1.5]
[output]
measures = ["drift_budget"]
"""


@pytest.mark.slow
def test_it_is_measured_at_every_sample_until_descent_diverges():
    found = run(from_toml(TEXT), "drift")
    assert found["drift_budget.accumulated"].shape == (3, 9, 1)
    np.testing.assert_array_equal(found["drift_budget.time"], found["descent.time"])
    alive = np.isfinite(found["descent.loss"])
    assert not alive[2, -1]
    for name in ("accumulated", "measured", "difference", "error"):
        np.testing.assert_array_equal(np.isfinite(found[f"drift_budget.{name}"][..., 0]), alive)
    good = found["drift_budget.error"][alive]
    assert (found["drift_budget.difference"][alive] <= good).all()
    start = found["descent.imbalance"][:, :1]
    change = np.abs(found["descent.imbalance"] - start)[alive]
    assert (change <= found["drift_budget.measured"][alive] + good).all()


def test_an_interrupt_leaves_what_was_reached():
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "drift budget":
            told.append(fraction)

    found = run(
        from_toml(TEXT), "drift", monitor=Monitor(progress, lambda: max(told, default=0) >= 3 / 9)
    )
    known = np.isfinite(found["drift_budget.accumulated"][0, :, 0])
    np.testing.assert_array_equal(known, np.arange(9) < 3)
