"""What the preconditioner does to a gradient, against P_W formed by Kronecker products."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim.problem import losses
from flowsim.theory.preconditioner.measure import gradient, preconditioning

SHAPES = [(3, 3), (4, 3), (3, 5), (1, 4), (3, 1)]
DEPTHS = [1, 2, 3, 5]
ALL = 99
EPS = np.finfo(float).eps


def drawn(shape, rank, seed=0):
    """Return U, σ, V of full bases with `rank` singular values, and a gradient."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0] for d in shape)
    sigma = np.zeros(min(shape))
    sigma[:rank] = np.sort(rng.uniform(0.2, 2.0, rank))[::-1]
    return U, sigma, V, rng.standard_normal(shape)


def product(U, sigma, V):
    return U[:, : sigma.size] * sigma @ V[:, : sigma.size].T


def power(Q, sigma, exponent):
    """Return [Q diag(σ²) Qᵀ]^exponent with 0⁰ = 1, σ padded."""
    squares = np.concatenate([sigma, np.zeros(len(Q) - sigma.size)]) ** 2
    return (Q * squares**exponent) @ Q.T


def formed(U, sigma, V, depth):
    """Return P_W = Σ_j [WᵀW]^{(j-1)/N} ⊗ [WWᵀ]^{(N-j)/N}, for columns stacked."""
    return sum(
        np.kron(power(V, sigma, (j - 1) / depth), power(U, sigma, (depth - j) / depth))
        for j in range(1, depth + 1)
    )


def found(U, sigma, V, G, depth, most=ALL):
    rank = int(np.sum(sigma > 0)) if depth > 1 else sigma.size
    return preconditioning(G, product(U, sigma, V), sigma, depth, rank, most)


def stacked(M):
    return np.ravel(M, order="F")


CASES = [
    pytest.param(shape, depth, rank, id=f"{shape[0]}x{shape[1]}-N{depth}-rank{rank}")
    for shape in SHAPES
    for depth in DEPTHS
    for rank in sorted({min(shape), max(1, min(shape) - 1)})
]


@pytest.mark.parametrize(("shape", "depth", "rank"), CASES)
def test_pairs_of_singular_vectors_are_eigenvectors_of_the_formed_matrix(shape, depth, rank):
    U, sigma, V, G = drawn(shape, rank)
    P, K = formed(U, sigma, V, depth), np.asarray(found(U, sigma, V, G, depth).eigenvalues)
    assert K.shape == shape
    rounding = 50 * EPS * np.abs(P).max()
    for r in range(shape[0]):
        for c in range(shape[1]):
            direction = stacked(np.outer(U[:, r], V[:, c]))
            np.testing.assert_allclose(P @ direction, K[r, c] * direction, rtol=0, atol=rounding)


@pytest.mark.parametrize(("shape", "depth", "rank"), CASES)
def test_condition_number_is_that_of_the_formed_matrix(shape, depth, rank):
    U, sigma, V, G = drawn(shape, rank)
    values = np.linalg.eigvalsh(formed(U, sigma, V, depth))
    condition = float(found(U, sigma, V, G, depth).condition_number)
    if rank < min(shape) and depth > 1:
        assert condition == np.inf
        assert values[0] <= 50 * EPS * values[-1]
    else:
        assert condition == pytest.approx(values[-1] / values[0], rel=50 * EPS * condition)


@pytest.mark.parametrize(("shape", "depth", "rank"), CASES)
def test_shares_and_alignment_are_those_of_the_formed_matrix(shape, depth, rank):
    U, sigma, V, G = drawn(shape, rank)
    moved = (formed(U, sigma, V, depth) @ stacked(G)).reshape(shape, order="F")
    told = found(U, sigma, V, G, depth)
    # beyond the rank a basis of the null space is one of many
    for k in [*range(1, rank + 1), *([sigma.size] if rank == sigma.size else [])]:
        for M, shares in ((G, told.gradient_share), (moved, told.movement_share)):
            block = U[:, :k].T @ M @ V[:, :k]
            wanted = np.sum(block**2) / np.sum(M**2)
            assert shares[k - 1] == pytest.approx(wanted, rel=1e-11)
    cosine = np.sum(moved * G) / np.linalg.norm(moved) / np.linalg.norm(G)
    assert told.alignment == pytest.approx(cosine, rel=1e-11)


@given(st.sampled_from(SHAPES), st.sampled_from(DEPTHS), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_shares_grow_to_one_and_the_first_mode_gains(shape, depth, seed):
    """K_11 is the largest eigenvalue, so that the first mode holds more of P_W[G] than of G."""
    told = found(*drawn(shape, min(shape), seed), depth)
    for shares in (np.asarray(told.gradient_share), np.asarray(told.movement_share)):
        assert (np.diff(shares) >= -4 * EPS).all()
        assert shares[0] >= 0
        assert shares[-1] <= 1 + 4 * EPS
        if shape[0] == shape[1]:
            assert shares[-1] == pytest.approx(1, abs=4 * EPS)
    assert 0 < told.alignment <= 1 + 4 * EPS
    assert told.movement_share[0] >= told.gradient_share[0] * (1 - 100 * EPS)


@pytest.mark.parametrize("shape", SHAPES)
def test_depth_1_changes_nothing(shape):
    U, sigma, V, G = drawn(shape, 1)
    told = found(U, sigma, V, G, 1)
    np.testing.assert_array_equal(told.eigenvalues, np.ones(shape))
    np.testing.assert_array_equal(told.effective_step, np.ones(sigma.size))
    assert told.condition_number == 1
    np.testing.assert_allclose(told.movement_share, told.gradient_share, rtol=8 * EPS)
    assert told.alignment == pytest.approx(1, abs=8 * EPS)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_condition_number_has_the_closed_form(depth):
    """(σ_1/σ_m)^{2-2/N} where W is square, N times as much where it is not."""
    ratio = 5.0 ** (2 - 2 / depth)
    for shape, factor in (((3, 3), 1), ((4, 3), depth), ((3, 4), depth)):
        U, _, V, G = drawn(shape, 3)
        told = found(U, np.array([5.0, 2.0, 1.0]), V, G, depth)
        assert told.condition_number == pytest.approx(factor * ratio, rel=1e-13)
        wanted = depth * np.array([5.0, 2.0, 1.0]) ** (2 - 2 / depth)
        np.testing.assert_allclose(told.effective_step, wanted, rtol=1e-13)


def test_only_the_leading_eigenvalues_are_kept():
    U, sigma, V, G = drawn((4, 3), 3)
    every, few = (found(U, sigma, V, G, 3, most).eigenvalues for most in (ALL, 2))
    np.testing.assert_array_equal(few, every[:2, :2])


def test_singular_values_that_entries_lose_are_taken_as_told():
    """σ = e^{-300}: W's own decomposition knows it to 1e-16 of the largest, K to the last digit."""
    U, V, G = np.eye(2), np.eye(2), np.ones((2, 2))
    tiny = np.exp(-300.0)
    told = found(U, np.array([1.0, tiny]), V, G, 2)
    assert told.effective_step[1] == pytest.approx(2 * tiny, rel=1e-14)
    assert told.condition_number == pytest.approx(1 / tiny, rel=1e-14)


def test_shares_do_not_underflow_from_a_small_start():
    U, _, V, G = drawn((3, 3), 3)
    shares = [
        np.asarray(found(U, scale * np.array([3.0, 2.0, 1.0]), V, G, 2).movement_share)
        for scale in (1.0, 1e-140)
    ]
    np.testing.assert_allclose(shares[1], shares[0], rtol=1e-10)


def test_where_nothing_moves_there_are_no_shares():
    zero, G = np.zeros((2, 3)), np.ones((2, 3))
    told = preconditioning(G, zero, np.zeros(2), 3, 2, ALL)
    assert told.condition_number == np.inf
    assert np.isnan(told.movement_share).all()
    assert np.isfinite(told.gradient_share).all()
    none = preconditioning(zero, G, np.array([6**0.5, 0]), 3, 2, ALL)
    assert np.isnan(none.gradient_share).all()
    assert np.isnan(none.alignment)


def test_the_gradients_error_is_its_change():
    """For ½‖W - Φ‖², κ = 1: a change of W by δ changes ∇ℓ by δ."""
    loss = losses.Squared(jnp.zeros((2, 2)))
    G, error = gradient(loss, 4 * np.eye(2), 0.01)
    np.testing.assert_array_equal(G, 4 * np.eye(2))
    assert error == pytest.approx(0.01 / 32**0.5, rel=1e-14)
