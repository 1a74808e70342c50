"""The central flow: against solutions known in full, and the oscillations it predicts."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from flowsim.problem import losses
from flowsim.theory.modified_flows import complementarity
from flowsim.theory.modified_flows.central_flow import central_step
from flowsim.theory.modified_flows.measure import compare
from flowsim.theory.modified_flows.objective import Objective

ETA = 0.1
LIMIT = 2 / ETA


def objective_of(function, size):
    """Return φ of the entries of one row, as a network of one layer."""
    loss = losses.Differentiable(lambda W: function(W[0]))
    return Objective.of(loss, (np.zeros((1, size)),))


@eqx.filter_jit
def followed(objective, start, h, count):
    """Return θ, tr Σ and the failure after each step."""

    def body(theta, _):
        after, by = central_step(objective, theta, jnp.asarray(ETA), h)
        return after, (after, by.variance, by.failure)

    return jax.lax.scan(body, start, None, length=count)[1]


def run(objective, start, horizon, count):
    found = followed(objective, jnp.asarray(start), jnp.asarray(horizon / count), count)
    return tuple(map(np.asarray, found))


def valley(x):
    """Return ½x²(10 + y) - 0.3y: a valley along y that grows sharper at rate 0.3."""
    return 0.5 * x[0] ** 2 * (10 + x[1]) - 0.3 * x[1]


def test_a_valley_is_followed_up_to_2_over_eta_and_no_further():
    """y = 0.3t until 10 + y = 2/η; there ẏ = 0.3 - ½Σ = 0, so Σ = 0.6: exactly, to rounding."""
    theta, variance, failure = run(objective_of(valley, 2), [0.0, 0.0], 60.0, 240)
    time = np.arange(1, 241) * 0.25
    assert not failure.any()
    np.testing.assert_allclose(theta[:, 0], 0, atol=1e-14)
    np.testing.assert_allclose(theta[:, 1], np.minimum(0.3 * time, 10), rtol=1e-12)
    held = theta[:, 1] > 10 - 1e-9
    np.testing.assert_allclose(variance[held][2:], 0.6, rtol=1e-12)
    np.testing.assert_array_equal(variance[~held][:-2], 0)


def test_it_leaves_the_edge_where_the_flow_turns_away():
    """With -0.3 y + 0.02 y² instead, y would come to rest at 7.5, below the limit: Σ = 0."""
    objective = objective_of(lambda x: valley(x) + 0.02 * x[1] ** 2, 2)
    theta, variance, failure = run(objective, [0.0, 0.0], 100.0, 1000)
    assert not failure.any()
    assert not variance.any()
    # y = 7.5 (1 - e^{-0.04t}), to the h² of the midpoint rule
    assert theta[-1, 1] == pytest.approx(7.5 * (1 - np.exp(-4)), abs=1e-5)


@pytest.mark.slow
def test_several_critical_directions_share_a_covariance():
    """½xᵀ(10 I + Y)x - ⟨B, Y⟩: Y = Bt up to where 10 I + Y meets 2/η; Σ = 2B there."""
    B = np.array([[0.3, 0.1], [0.1, 0.2]])

    def function(x):
        Y = x[2:].reshape(2, 2)
        return 0.5 * x[:2] @ (10 * jnp.eye(2) + (Y + Y.T) / 2) @ x[:2] - jnp.sum(B * Y)

    values, V = np.linalg.eigh(B)
    for horizon in (40.0, 100.0):  # one direction is critical, then both are
        theta, variance, failure = run(objective_of(function, 6), np.zeros(6), horizon, 400)
        assert not failure.any()
        Y = (V * np.minimum(values * horizon, LIMIT - 10)) @ V.T
        np.testing.assert_allclose(theta[-1, 2:].reshape(2, 2), Y, atol=1e-11)
        held = values * horizon > LIMIT - 10
        assert variance[-1] == pytest.approx(2 * values[held].sum(), rel=1e-9)


@pytest.mark.slow
def test_on_a_curved_edge_it_is_the_projected_flow_in_order_2():
    """½x²(10 + y² + z) - cᵀ(y, z): on the edge the velocity c loses its part across the edge."""
    c = np.array([0.5, 1.0])
    objective = objective_of(lambda x: 0.5 * x[0] ** 2 * (10 + x[1] ** 2 + x[2]) - c @ x[1:], 3)
    start = np.array([3.2, LIMIT - 10 - 3.2**2])

    def projected(t, at):
        normal = np.array([2 * at[0], 1.0])
        return c - normal * max(normal @ c, 0) / (normal @ normal)

    exact = solve_ivp(projected, (0, 20), start, rtol=1e-12, atol=1e-12, method="DOP853").y[:, -1]
    assert np.linalg.norm(exact - start) > 1
    errors = []
    for count in (200, 400, 800):
        theta, variance, failure = run(objective, [0.0, *start], 20.0, count)
        assert not failure.any()
        assert (variance > 0).all()
        errors.append(np.linalg.norm(theta[-1, 1:] - exact))
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.2)


@pytest.mark.slow
def test_the_covariance_predicts_the_oscillation_of_descent():
    """In the valley the mean of x² is 0.6 up to what y moves: Δy = Σ η(0.3 - x²/2) exactly.

    So |mean x² - 0.6| = 2|Δy|/t, with y within ½ of the edge all along.
    """
    samples = np.arange(0, 401, 4)
    found = compare(objective_of(valley, 2), np.array([0.7, 9.9]), ETA, samples)
    assert found is not None
    assert "central" not in found.valid_until
    since = samples[-1] * ETA - (LIMIT - 10 - 9.9) / 0.3
    assert found.columns["variance_predicted"][-1] == pytest.approx(0.6, rel=1e-2)
    # measured is ((2 + ηλ - 2)/4 · 2)² x² with ηλ within 5 % of 2, besides the bound above
    assert found.columns["variance_measured"][-1] == pytest.approx(0.6, abs=2 / since + 0.1 * 0.6)
    np.testing.assert_allclose(found.columns["central_sharpness_over_limit"][-50:], 1, rtol=1e-9)


@pytest.mark.slow
def test_below_the_edge_it_is_the_gradient_flow():
    found = compare(objective_of(valley, 2), np.array([0.3, 0.0]), ETA, np.arange(0, 200, 10))
    assert found is not None
    np.testing.assert_array_equal(found.columns["central"], found.columns["flow"])
    np.testing.assert_array_equal(found.columns["central_error"], found.columns["flow_error"])
    assert not found.columns["variance_predicted"].any()


@pytest.mark.slow
def test_more_critical_directions_than_it_holds_are_told():
    """Five equal valleys reach the edge at once."""

    def function(x):
        return 0.5 * jnp.sum(x[:5] ** 2 * (10 + x[5:])) - 0.3 * jnp.sum(x[5:])

    start = np.r_[np.zeros(5), np.full(5, 9.0)]
    samples = np.arange(0, 200, 10)
    found = compare(objective_of(function, 10), start, ETA, samples)
    assert found is not None
    broken = found.valid_until["central"]
    assert "more than 4 eigenvalues" in broken.reason
    assert broken.time == pytest.approx(1 / 0.3, abs=10 * ETA)
    later = samples * ETA >= broken.time
    assert np.isnan(found.columns["central"][later]).all()
    assert np.isfinite(found.columns["central"][~later]).all()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_complementarity_is_solved(k):
    """X ⪰ 0, Y = C + Q[X] ⪰ 0, ⟨X, Y⟩ = 0 for random C of either sign and Q of spread sizes."""
    rng, E = np.random.default_rng(k), complementarity.basis(k)
    solve = jax.jit(complementarity.solve)
    for _ in range(25):
        T = rng.standard_normal((len(E), 20)) * 10 ** rng.uniform(-1, 1, (len(E), 1))
        C = rng.standard_normal((k, k))
        C, Q = C + C.T, T @ T.T
        found = solve(C, Q)
        X = np.asarray(found.X)
        Y = C + np.einsum("ij,j,iab->ab", Q, np.einsum("iab,ab->i", E, X), E)
        assert found.residual < 1e-9
        size = np.linalg.norm(X)
        # Q is solved with `LEAST` of its mean eigenvalue added, which Y here lacks
        off = complementarity.LEAST * np.trace(Q) / len(E) * size + 1e-9 * np.linalg.norm(C)
        assert np.linalg.eigvalsh(X)[0] >= -1e-9 * size
        assert np.linalg.eigvalsh(Y)[0] >= -off
        assert abs(np.sum(X * Y)) <= 2 * off * size
        if k == 1:
            assert X[0, 0] == pytest.approx(max(0, -C[0, 0] / Q[0, 0]), abs=1e-9)
            assert complementarity.solve_scalar(C, Q).X[0, 0] == pytest.approx(X[0, 0], abs=1e-9)


@pytest.mark.slow
def test_complementarity_without_a_solution_says_so():
    """C ≺ 0 and Q = 0: nothing makes Y ⪰ 0."""
    nothing = np.zeros((3, 3))
    assert complementarity.solve(-np.eye(2), nothing).residual > 1e-3
    assert complementarity.solve_scalar(-np.eye(1), nothing[:1, :1]).residual == 1
    assert complementarity.solve_scalar(np.eye(1), nothing[:1, :1]).residual == 0
