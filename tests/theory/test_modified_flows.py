"""Flows that describe descent: against exact solutions, and in the orders that theory gives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import initialization, losses, network
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.modified_flows import solution
from flowsim.theory.modified_flows.measure import COMPLEX, UNSTABLE, compare
from flowsim.theory.modified_flows.objective import (
    FIELDS,
    Objective,
    flatten,
    layer_velocities,
    shrinkage,
)
from flowsim.theory.modified_flows.solution import solve_field
from flowsim.theory.modified_flows.spec import APPROXIMATING

QUADRATIC = losses.Differentiable(lambda W: W[0, 0] ** 2 + 0.01 * W[0, 1] ** 2)
START = (np.array([[-0.35, -0.2]]),)
CURVATURE = np.array([2.0, 0.02])
"""Rosca et al.'s xᵀ diag(1, 0.01) x from (-0.35, -0.2)."""


def curved_network():
    """Return a network that is no quadratic, of two layers, with its loss."""
    layers = initialization.gaussian((3, 3, 3), 1.5, np.random.default_rng(0))
    return losses.Squared(np.diag([3.0, 2.0, 1.0])), layers


def iterates(objective, start, eta, counts):
    step = jax.jit(lambda theta: theta - eta * objective.gradient(theta))
    found, theta = [np.asarray(start)], start
    for k in range(1, counts[-1] + 1):
        theta = step(theta)
        if k in counts:
            found.append(np.asarray(theta))
    return np.array(found)


@pytest.mark.parametrize("eta", [0.1, 0.2, 0.49])
def test_the_principal_flow_is_descent_on_a_quadratic(eta):
    """θ_k = (I - ηH)^k θ_0, to the estimated error of the solution."""
    objective, k = Objective.of(QUADRATIC, START), np.arange(21)
    found = solve_field("principal", objective, flatten(START), eta, k * eta)
    wanted = np.asarray(START[0]) * (1 - eta * CURVATURE) ** k[:, None]
    assert found.reason == ""
    assert (np.linalg.norm(found.theta - wanted, axis=1) <= found.error + 1e-15).all()
    assert found.error.max() < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.7, 0.9, 1.05])
def test_past_1_over_the_curvature_it_keeps_the_size_and_not_the_sign(eta):
    """log|1 - ηλ|: the size of every iterate, which shrinks up to ηλ = 2 and grows beyond."""
    objective, k = Objective.of(QUADRATIC, START), np.arange(21)
    found = solve_field("principal", objective, flatten(START), eta, k * eta)
    sizes = np.abs(START[0]) * np.abs(1 - eta * CURVATURE) ** k[:, None]
    np.testing.assert_allclose(np.abs(found.theta), sizes, rtol=1e-8, atol=1e-9)
    assert (np.diff(np.abs(found.theta[:, 0])) > 0).all() == (eta > 1)
    told = compare(objective, np.asarray(flatten(START)), eta, k)
    assert told is not None
    assert told.valid_until["principal"].time == 0
    assert told.valid_until["principal"].reason == COMPLEX
    # every other iterate is on the other side of the minimum
    apart = told.columns["principal"][1::2]
    np.testing.assert_allclose(apart, 2 * sizes[1::2, 0], rtol=1e-6, atol=1e-9)


def test_shrinkage_meets_its_limits():
    x = jnp.array([0.0, 1e-9, -1e-9, 1e-7, 0.5, -3.0, 2.0, 3.0])
    wanted = [-1, -1, -1, -1 - 5e-8, 2 * np.log(0.5), np.log(4) / -3, 0, np.log(2) / 3]
    np.testing.assert_allclose(shrinkage(x), wanted, rtol=1e-9, atol=1e-15)


def test_the_modified_flow_descends_the_modified_loss():
    """-∇(φ + (η/4)‖∇φ‖²) by differentiating that sum."""
    loss, layers = curved_network()
    eta = 0.1

    def modified_loss(at):
        slopes = network.layer_gradients(at, loss.gradient)
        return loss.value(network.end_to_end(at)) + eta / 4 * sum(jnp.sum(g**2) for g in slopes)

    wanted = jax.grad(modified_loss)(tuple(map(jnp.asarray, layers)))
    for found, slope in zip(layer_velocities("modified", loss, layers, eta), wanted, strict=True):
        np.testing.assert_allclose(found, -slope, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_the_hessian_and_its_derivative_are_those_of_the_loss():
    loss, layers = curved_network()
    objective, theta = Objective.of(loss, layers), flatten(layers)
    wanted = jax.hessian(lambda x: objective.value(x) + 0.0)(theta)
    np.testing.assert_allclose(objective.hessian(theta), wanted, rtol=1e-12, atol=1e-12)
    u, v = np.random.default_rng(1).standard_normal((2, theta.size))
    slope = jax.grad(lambda x: u @ objective.hessian(x) @ v)(theta)
    np.testing.assert_allclose(
        objective.third_derivative(theta, u, v), slope, rtol=1e-11, atol=1e-11
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "order"), [("flow", 1), ("modified", 2), ("principal", 2)])
def test_distances_to_descent_are_of_their_order(name, order):
    """Halving η halves or quarters the distance at a fixed time, up to the next order."""
    loss, layers = curved_network()
    objective, theta = Objective.of(loss, layers), flatten(layers)
    away = []
    for eta in (0.004, 0.002):
        counts = np.rint(np.array([0, 0.5, 1.0, 1.5, 2.0]) / eta).astype(int)
        found = solve_field(name, objective, theta, eta, counts * eta)
        off = np.linalg.norm(found.theta - iterates(objective, theta, eta, counts), axis=1)
        assert found.error.max() < 1e-2 * off.max()
        away.append(off.max())
    assert np.log2(away[0] / away[1]) == pytest.approx(order, abs=0.05)


def test_a_flow_that_blows_up_says_when():
    """φ = -x³/3: x = x_0/(1 - x_0 t) has its pole at t = 1/x_0 = 2."""
    loss = losses.Differentiable(lambda W: -(W[0, 0] ** 3) / 3)
    start = (np.array([[0.5]]),)
    times = np.linspace(0, 3, 31)
    found = solve_field("flow", Objective.of(loss, start), flatten(start), 0.1, times)
    assert found.valid_until == pytest.approx(2, abs=1e-3)
    assert "loss exceeds" in found.reason
    assert np.isfinite(found.theta[times < 2]).all()
    assert np.isnan(found.theta[times > 2]).all()
    np.testing.assert_allclose(found.theta[:15, 0], 0.5 / (1 - 0.5 * times[:15]), rtol=1e-8)


@pytest.mark.slow
def test_descent_past_the_edge_breaks_the_flows_that_do_not_oscillate():
    """On ½·10x², η = 0.21 is past 2/10: descent grows as 1.1^k, and the flow decays."""
    loss = losses.Differentiable(lambda W: 5 * W[0, 0] ** 2)
    start = (np.array([[1e-3]]),)
    found = compare(Objective.of(loss, start), np.array([1e-3]), 0.21, np.arange(0, 41, 2))
    assert found is not None
    assert found.valid_until["flow"].reason == found.valid_until["modified"].reason == UNSTABLE
    assert "no covariance" in found.valid_until["central"].reason
    np.testing.assert_allclose(found.columns["sharpness_over_limit"], 1.05, rtol=1e-12)
    # at even iterations the real part of the logarithm is all there is
    np.testing.assert_allclose(found.columns["principal"], 0, atol=1e-9)
    assert np.isnan(found.columns["central"][1:]).all()
    assert set(FIELDS) <= set(found.columns)


@pytest.mark.slow
def test_descent_that_diverges_is_compared_up_to_there():
    loss = losses.Differentiable(lambda W: 5 * W[0, 0] ** 2 + W[0, 0] ** 4)
    start = (np.array([[1.0]]),)
    found = compare(Objective.of(loss, start), np.array([1.0]), 0.5, np.arange(20))
    assert found is not None
    gone = np.isnan(found.columns["flow"])
    np.testing.assert_array_equal(gone, np.isnan(found.columns["sharpness_over_limit"]))
    assert gone[np.argmax(gone) :].all()
    assert not gone[0]


@pytest.mark.slow
def test_repeated_times_and_none_at_all():
    """Saved times nearer than η fall on one iterate; a horizon below η/2 on the start."""
    loss, layers = curved_network()
    objective, theta = Objective.of(loss, layers), np.asarray(flatten(layers))
    several = compare(objective, theta, 0.01, np.array([0, 1, 1, 1, 2, 10]))
    none = compare(objective, theta, 0.01, np.zeros(6, dtype=int))
    assert several is not None
    assert none is not None
    for name in APPROXIMATING:
        distance = several.columns[name]
        assert distance[1] == distance[2] == distance[3] > 0
        assert np.isfinite(several.columns[f"{name}_error"]).all()
        np.testing.assert_array_equal(none.columns[name], 0)


@pytest.mark.slow
def test_an_interrupt_ends_the_comparison():
    loss, layers = curved_network()
    objective, theta = Objective.of(loss, layers), np.asarray(flatten(layers))
    told = []

    monitor = Monitor(lambda _, share: told.append(share), lambda: len(told) >= 5)
    assert compare(objective, theta, 0.01, np.arange(6), monitor) is None
    assert len(told) == 5
    assert told == sorted(told)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_solution_in_pieces_is_that_at_once_and_answers_a_stop_request(monkeypatch, name):
    """Of many weights, progress and stop requests come between any two saved times."""
    loss, layers = curved_network()
    objective, theta = Objective.of(loss, layers), np.asarray(flatten(layers))
    times = np.linspace(0, 0.2, 6)
    whole = solve_field(name, objective, theta, 0.01, times)
    monkeypatch.setattr(solution, "AT_ONCE", 1)
    told = []
    pieces = solve_field(name, objective, theta, 0.01, times, Monitor(lambda _, x: told.append(x)))
    np.testing.assert_allclose(pieces.theta, whole.theta, rtol=1e-8)
    assert told == pytest.approx(np.linspace(0.1, 1, 10))
    stopped = Monitor(lambda _, x: told.append(x), lambda: len(told) >= 12)
    some = solve_field(name, objective, theta, 0.01, times, stopped)
    np.testing.assert_array_equal(some.theta[:3], pieces.theta[:3])
    assert np.isnan(some.theta[3:]).all()


def test_pieces_end_where_the_solution_blows_up(monkeypatch):
    """On -w⁴/4 the flow from 0.5 is (4 - 2t)^(-1/2), to t = 2."""
    loss = losses.Differentiable(lambda W: -(W[0, 0] ** 4) / 4)
    start = (np.array([[0.5]]),)
    times = np.linspace(0, 3, 31)
    monkeypatch.setattr(solution, "AT_ONCE", 0)
    found = solve_field("flow", Objective.of(loss, start), flatten(start), 0.1, times, SILENT)
    assert found.valid_until == pytest.approx(2, abs=1e-3)
    assert "loss exceeds" in found.reason
    assert np.isfinite(found.theta[times < 2]).all() and np.isnan(found.theta[times > 2]).all()
    np.testing.assert_allclose(found.theta[:15, 0], (4 - 2 * times[:15]) ** -0.5, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [0, 64])
def test_a_stop_request_is_answered_after_few_steps_of_a_long_interval(monkeypatch, at_once):
    """Work between two questions is bounded by steps, whatever the saved times are."""
    loss, layers = curved_network()
    objective, theta = Objective.of(loss, layers), np.asarray(flatten(layers))
    times = np.array([0.0, 1.0])
    whole = solve_field("flow", objective, theta, 0.01, times)
    monkeypatch.setattr(solution, "AT_ONCE", at_once)
    monkeypatch.setattr(solution, "STEPS", 4)
    monkeypatch.setattr(solution, "STEPS_AT_ONCE", 4)
    taken, asked, once = [], [], solution._solve_once

    def counted(*arguments):
        piece = once(*arguments)
        taken.append(int(piece.steps))
        return piece

    monkeypatch.setattr(solution, "_solve_once", counted)
    stop = Monitor(stop_requested=lambda: asked.append(len(taken)))
    found = solve_field("flow", objective, theta, 0.01, times, stop)
    np.testing.assert_allclose(found.theta, whole.theta, rtol=1e-8)
    assert max(taken) <= 4 and sum(taken) > 40
    assert np.diff([*asked, len(taken)]).max() <= 2  # a first call of all times, and one of few
