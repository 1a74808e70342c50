"""The law of singular values: closed forms, differences of trajectories, and its bound."""

from __future__ import annotations

from itertools import pairwise

import exact
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim.dynamics.layers import LayerFlow
from flowsim.problem import initialization, losses, network
from flowsim.problem.problem import Problem
from flowsim.solvers.solve import solve
from flowsim.theory.singular_value_law.measure import rates

EPS = np.finfo(float).eps
WIDTHS = [(4, 3), (4, 5, 3), (4, 2, 5, 3), (3, 4, 4, 3, 5)]
NUMBERED = pytest.mark.parametrize("widths", WIDTHS, ids=lambda w: f"N{len(w) - 1}")


def squared(widths, seed=1):
    rng = np.random.default_rng(seed)
    return losses.Squared(rng.standard_normal((widths[-1], widths[0])))


def unbalanced(widths, seed=0, scale=0.7):
    rng = np.random.default_rng(seed)
    return tuple(scale * rng.standard_normal((b, a)) for a, b in pairwise(widths))


def balanced(widths, seed=0):
    return initialization.balanced(widths, 1.5, np.random.default_rng(seed))


def bound_of(layers):
    return network.rank_bound(layers)


@NUMBERED
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("start", [balanced, unbalanced])
def test_the_difference_is_within_its_bound_and_rounding_alone_in_balance(widths, decay, start):
    layers, loss = start(widths), squared(widths)
    velocity, law, error = map(np.asarray, rates(loss, layers, bound_of(layers), decay))
    assert (np.abs(velocity - law) <= error).all()
    slope = float(np.linalg.norm(loss.gradient(network.end_to_end(layers))))
    sizes = np.array([np.linalg.norm(W) for W in layers])
    rounding = sum(np.prod(np.delete(sizes, j) ** 2) for j in range(len(sizes))) * slope
    rounding += decay * len(sizes) * np.prod(sizes)
    if start is balanced or len(widths) == 2:
        assert (error < 1e3 * sum(widths) * EPS * rounding).all()
    else:
        assert (np.abs(velocity - law) > 1e-3).any(), "away from balance the law fails"


@given(st.sampled_from(WIDTHS), st.integers(0, 2**32 - 1), st.floats(1e-3, 3.0))
@settings(max_examples=60, deadline=None)
def test_the_bound_holds_for_any_layers(widths, seed, scale):
    layers = unbalanced(widths, seed, scale)
    velocity, law, error = map(np.asarray, rates(squared(widths), layers, min(widths), 0.1))
    assert (np.abs(velocity - law) <= error).all()


@NUMBERED
def test_the_velocity_is_that_of_the_layers_product(widths):
    """Ẇ = Σ_j W_{N:j+1} Ẇ_j W_{j-1:1}, the product rule written out."""
    layers, loss = unbalanced(widths), squared(widths)
    moving = LayerFlow().velocity(layers, loss, 0.2)
    W_rate = 0.0
    for j in range(len(layers)):
        replaced = (*layers[:j], moving[j], *layers[j + 1 :])
        W_rate = W_rate + np.asarray(network.end_to_end(replaced))
    U, _, Vt = np.linalg.svd(np.asarray(network.end_to_end(layers)), full_matrices=False)
    wanted = np.einsum("ir,ij,rj->r", U, W_rate, Vt)
    found = rates(loss, layers, min(widths), 0.2).velocity
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.25])
@pytest.mark.parametrize("start", [balanced, unbalanced])
@NUMBERED
def test_the_velocity_is_the_derivative_of_the_singular_values(widths, start, decay):
    """Central differences of a trajectory, of order h⁴ by Richardson: balanced or not."""
    h, middle = 2e-4, 0.05
    times = np.array([0.0, *(middle + h * np.arange(-2, 3))])
    problem = Problem(squared(widths), start(widths), times[-1], weight_decay=decay)
    found = solve(problem, "layers", times=times, rtol=1e-13, keep_layers=True)
    sigma, layers = found.singular_values, tuple(history[3] for history in found.layers)
    one, two = (sigma[4] - sigma[2]) / (2 * h), (sigma[5] - sigma[1]) / (4 * h)
    wanted, told = (4 * one - two) / 3, rates(problem.loss, layers, bound_of(layers), decay)
    simple = sigma[3] > 1e-6
    # the solver's 1e-12 / h, and h⁴/8 of a fifth derivative of some 1e7
    np.testing.assert_allclose(told.velocity[simple], wanted[simple], rtol=0, atol=2e-8)
    if start is balanced:
        np.testing.assert_allclose(told.law[simple], wanted[simple], rtol=0, atol=2e-8)


@pytest.mark.parametrize("s", [1e-3, 0.5, 1.9])
def test_saxes_modes_move_at_twice_s_times_what_is_missing(s):
    """N = 2: s(t) = φ/(1 + (φ/s_0 - 1) e^{-2φt}) has ṡ = 2s(φ - s), with both taken here."""
    phi, U, V = (
        np.array([4.0, 3.0, 2.0]),
        *(np.linalg.qr(np.random.default_rng(k).standard_normal((3, 3)))[0] for k in (0, 1)),
    )
    t, h = np.linspace(0.2, 1.0, 5), 1e-4
    modes = np.stack([exact.mode(t, 0.1 * s, p, 2) for p in phi], axis=-1)
    later, sooner = (
        np.stack([exact.mode(t + d, 0.1 * s, p, 2) for p in phi], axis=-1) for d in (h, -h)
    )
    np.testing.assert_allclose((later - sooner) / (2 * h), 2 * modes * (phi - modes), atol=1e-5)
    for sigma in modes:
        layers = initialization.from_svd([3, 3, 3], U, sigma, V)
        found = rates(losses.Squared(U * phi @ V), layers, 3)
        wanted = 2 * sigma * (phi - sigma)
        order = np.argsort(-sigma)
        np.testing.assert_allclose(found.velocity, wanted[order], rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.law, wanted[order], rtol=0, atol=1e-13)


def test_equal_singular_values_agree_in_one_basis_and_not_across_two():
    """Of c·I every basis is one of singular vectors: single velocities depend on it, not sums."""
    rng = np.random.default_rng(5)
    root, loss = 1.3, losses.Squared(rng.standard_normal((3, 3)))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turned = losses.Squared(turn.T @ loss.Phi @ turn)
    layers = (root * np.eye(3),) * 3
    one, other = (rates(some, layers, 3) for some in (loss, turned))
    for found in (one, other):
        np.testing.assert_allclose(found.velocity, found.law, rtol=0, atol=1e-13)
    assert np.abs(np.asarray(one.velocity) - np.asarray(other.velocity)).max() > 0.1
    assert jnp.sum(one.velocity) == pytest.approx(float(jnp.sum(other.velocity)), rel=1e-13)
    assert jnp.sum(one.velocity) == pytest.approx(float(jnp.sum(other.law)), rel=1e-13)


def test_a_mode_beyond_the_rank_does_not_move():
    """Hidden layers of width 2: the law is exactly 0 there, and the velocity is its rounding."""
    widths = (4, 2, 2, 4)
    velocity, law, error = map(np.asarray, rates(squared(widths), balanced(widths), 2))
    assert (law[2:] == 0).all()
    assert (np.abs(velocity[2:]) <= error[2:]).all()
    assert (error < 1e-10).all()


def test_the_bound_on_rounding_stays_small_in_wide_layers():
    """Frobenius norms of all factors would say 5e-7 at a width of 100 already."""
    widths = (100, 100, 100, 100)
    velocity, law, error = map(np.asarray, rates(squared(widths), balanced(widths), 100))
    assert (np.abs(velocity - law) <= error).all()
    assert error.max() < 1e-8 * np.abs(velocity).max()


@pytest.mark.parametrize("size", [1e-3, 1e-2])
def test_the_difference_grows_linearly_with_the_imbalance(size):
    """To first order in δ: a tenfold imbalance makes a tenfold difference, to within O(δ)."""
    widths = (3, 3, 3)
    layers, loss = balanced(widths), squared(widths)
    push = unbalanced(widths, 7)

    def off(delta):
        moved = tuple(W + delta * M for W, M in zip(layers, push, strict=True))
        velocity, law, error = map(np.asarray, rates(loss, moved, 3))
        return velocity - law, error

    (small, small_error), (large, large_error) = off(size / 10), off(size)
    np.testing.assert_allclose(large, 10 * small, rtol=0, atol=100 * size**2)
    assert (np.abs(large) <= large_error).all()
    assert (large_error <= 20 * small_error).all()
