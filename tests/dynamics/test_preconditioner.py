"""The end-to-end flow's preconditioner P_W against its formula, and its derivative by hand."""

from __future__ import annotations

import exact
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power

from flowsim.dynamics.preconditioner import kernel, precondition

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.sampled_from([(1, 1), (1, 4), (3, 1), (3, 3), (4, 3), (2, 5)])
DEPTHS = st.sampled_from([1, 2, 3, 5])
VALUES = st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 1.0, 2.0]), min_size=5, max_size=5)


def rotation(d: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def made(shape, values, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return W with the given singular values, and the U, σ and V that it was made of."""
    U, V = rotation(shape[0], rng), rotation(shape[1], rng)
    sigma = np.sort(np.asarray(values)[: min(shape)])[::-1]
    return U[:, : len(sigma)] * sigma @ V[:, : len(sigma)].T, U, sigma, V


def padded(sigma: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([sigma, np.zeros(size - len(sigma))])


def by_formula(U, sigma, V, G, depth) -> np.ndarray:
    """Return Σ_j [WWᵀ]^{(N-j)/N} G [WᵀW]^{(j-1)/N} from the factors, with 0⁰ = 1."""
    rows, columns = padded(sigma, len(U)), padded(sigma, len(V))
    total = np.zeros(G.shape)
    for j in range(1, depth + 1):
        left = (U * rows ** (2 * (depth - j) / depth)) @ U.T
        right = (V * columns ** (2 * (j - 1) / depth)) @ V.T
        total += left @ G @ right
    return total


@given(SHAPES, DEPTHS, VALUES, SEEDS)
@settings(max_examples=120, deadline=None)
def test_is_the_sum_of_the_formula(shape, depth, values, seed) -> None:
    """Repeated, zero and padded singular values, square or not."""
    rng = np.random.default_rng(seed)
    W, U, sigma, V = made(shape, values, rng)
    G = rng.standard_normal(shape)
    rank = int(np.sum(sigma > 0)) if depth > 1 else min(shape)
    moved = precondition(W, G, depth, rank)
    wanted = by_formula(U, sigma, V, G, depth)
    np.testing.assert_allclose(moved, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_agrees_with_fractional_powers_of_the_products_at_full_rank(depth) -> None:
    rng = np.random.default_rng(depth)
    W, G = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    power = lambda M, q: fractional_matrix_power(M, q).real  # noqa: E731
    wanted = sum(
        power(W @ W.T, (depth - j) / depth) @ G @ power(W.T @ W, (j - 1) / depth)
        for j in range(1, depth + 1)
    )
    np.testing.assert_allclose(precondition(W, G, depth, 3), wanted, rtol=1e-11, atol=1e-12)


def test_is_the_identity_at_depth_1() -> None:
    G = np.random.default_rng(0).standard_normal((3, 2))
    np.testing.assert_array_equal(precondition(np.zeros((3, 2)), G, 1, 2), G)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_vanishes_at_zero(depth) -> None:
    G = np.random.default_rng(0).standard_normal((3, 4))
    for rank in (0, 3):
        np.testing.assert_array_equal(precondition(np.zeros((3, 4)), G, depth, rank), 0 * G)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
def test_eigenvectors_are_pairs_of_singular_vectors(shape, depth) -> None:
    W, U, sigma, V = made(shape, [2.0, 1.0, 0.3], np.random.default_rng(1))
    rows, columns = padded(sigma, shape[0]), padded(sigma, shape[1])
    K = np.asarray(kernel(rows, columns, depth))
    for r in range(shape[0]):
        for c in range(shape[1]):
            exponents = [
                (2 * (depth - j) / depth, 2 * (j - 1) / depth) for j in range(1, depth + 1)
            ]
            eigenvalue = sum(rows[r] ** p * columns[c] ** q for p, q in exponents)
            assert K[r, c] == pytest.approx(eigenvalue, rel=1e-13, abs=1e-15)
            direction = np.outer(U[:, r], V[:, c])
            moved = precondition(W, direction, depth, 3)
            np.testing.assert_allclose(moved, eigenvalue * direction, rtol=0, atol=1e-13)
    assert np.diag(K)[:3] == pytest.approx(depth * sigma ** (2 - 2 / depth), rel=1e-13)


@given(st.integers(1, 5), st.sampled_from([1, 2, 3, 4]), SEEDS)
@settings(max_examples=40, deadline=None)
def test_one_output_has_the_closed_form(inputs, depth, seed) -> None:
    rng = np.random.default_rng(seed)
    w, g = rng.standard_normal((1, inputs)), rng.standard_normal((1, inputs))
    wanted = -exact.one_output_velocity(w, g, depth)
    np.testing.assert_allclose(precondition(w, g, depth, 1), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(precondition(w.T, g.T, depth, 1), wanted.T, rtol=0, atol=1e-12)


def test_one_output_vanishes_at_zero_as_the_closed_form_does() -> None:
    g = np.ones((1, 3))
    np.testing.assert_array_equal(precondition(np.zeros((1, 3)), g, 3, 1), 0 * g)


@given(SHAPES, st.sampled_from([2, 3]), SEEDS)
@settings(max_examples=30, deadline=None)
def test_is_symmetric_and_positive(shape, depth, seed) -> None:
    rng = np.random.default_rng(seed)
    W, A, B = rng.standard_normal((3, *shape))
    P = lambda G: np.asarray(precondition(W, G, depth, min(shape)))  # noqa: E731
    assert np.sum(P(A) * B) == pytest.approx(np.sum(A * P(B)), rel=1e-11, abs=1e-11)
    assert np.sum(P(A) * A) > 0


class TestRank:
    @pytest.mark.parametrize("depth", [2, 3, 5])
    def test_singular_values_beyond_the_bound_count_as_zero(self, depth) -> None:
        rng = np.random.default_rng(2)
        W, U, sigma, V = made((5, 4), [2.0, 1.0, 1e-9, 1e-17], rng)
        G = rng.standard_normal((5, 4))
        wanted = by_formula(U, np.where(sigma > 0.5, sigma, 0), V, G, depth)
        np.testing.assert_allclose(precondition(W, G, depth, 2), wanted, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("depth", [2, 3, 5])
    def test_nothing_moves_within_the_null_spaces(self, depth) -> None:
        rng = np.random.default_rng(3)
        W, U, _, V = made((5, 4), [2.0, 1.0, 0.0, 0.0], rng)
        moved = precondition(W, rng.standard_normal((5, 4)), depth, 2)
        inside = U[:, 2:].T @ np.asarray(moved) @ V[:, 2:]
        np.testing.assert_allclose(inside, 0, atol=1e-14)

    def test_roundoff_in_a_zero_without_a_bound_is_raised_to_a_small_power(self) -> None:
        """What the bound is for: at depth 20 roundoff of 1e-17 enters as (1e-17)^{1/10}."""
        rng = np.random.default_rng(4)
        W, U, sigma, V = made((3, 2), [1.0, 0.0], rng)
        G = rng.standard_normal((3, 2))
        wanted = by_formula(U, sigma, V, G, 20)
        assert np.abs(np.asarray(precondition(W, G, 20, 1)) - wanted).max() < 1e-13
        assert np.abs(np.asarray(precondition(W, G, 20, 2)) - wanted).max() > 1e-4


def central_difference(f, W, dW, h) -> np.ndarray:
    """Return the derivative of f along dW by Richardson's extrapolation, of order 4 in h."""
    first = (f(W + h * dW) - f(W - h * dW)) / (2 * h)
    second = (f(W + 2 * h * dW) - f(W - 2 * h * dW)) / (4 * h)
    return np.asarray((4 * first - second) / 3)


class TestDerivative:
    @pytest.mark.parametrize("depth", [1, 2, 3, 5])
    @pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
    @pytest.mark.parametrize("values", [(2.0, 1.0, 0.5), (1.0, 1.0, 0.5), (1.0, 1.0, 1.0)])
    def test_is_the_limit_of_differences(self, shape, depth, values) -> None:
        """Repeated singular values included, where differentiating an SVD gives nan."""
        rng = np.random.default_rng(5)
        W = made(shape, values, rng)[0]
        dW, G, dG = rng.standard_normal((3, *shape))
        f = lambda M: precondition(M, G, depth, 3)  # noqa: E731
        tangent = jax.jvp(f, (W,), (dW,))[1]
        wanted = central_difference(f, W, dW, 1e-3)
        np.testing.assert_allclose(tangent, wanted, rtol=0, atol=1e-8)
        both = jax.jvp(lambda M, H: precondition(M, H, depth, 3), (W, G), (dW, dG))[1]
        linear = precondition(W, dG, depth, 3)
        np.testing.assert_allclose(both, wanted + linear, rtol=0, atol=1e-8)

    @pytest.mark.parametrize("depth", [2, 3])
    def test_along_matrices_of_a_lower_rank(self, depth) -> None:
        """Zero singular values that stay zero: the tangents of the matrices of rank 2."""
        rng = np.random.default_rng(6)
        A, B, dA, dB = (rng.standard_normal(s) for s in [(5, 2), (2, 4), (5, 2), (2, 4)])
        G = rng.standard_normal((5, 4))
        f = lambda h: precondition((A + h * dA) @ (B + h * dB), G, depth, 2)  # noqa: E731
        tangent = jax.jvp(lambda M: precondition(M, G, depth, 2), (A @ B,), (A @ dB + dA @ B,))[1]
        wanted = central_difference(f, 0.0, 1.0, 1e-3)
        np.testing.assert_allclose(tangent, wanted, rtol=0, atol=1e-8)

    @pytest.mark.parametrize("depth", [2, 3, 5])
    @pytest.mark.parametrize("c", [1.0, 1e-6])
    def test_is_finite_at_a_multiple_of_the_identity_and_at_zero(self, depth, c) -> None:
        J = jax.jacfwd(lambda M: precondition(M, jnp.ones((3, 3)), depth, 3))
        assert np.isfinite(J(c * np.eye(3))).all()
        assert np.isfinite(J(np.zeros((3, 3)))).all()
        assert np.isfinite(J(np.diag([c, c, 0.0]))).all()

    def test_is_exact_for_nearly_equal_singular_values(self) -> None:
        """Divided differences that cancel: 1e-9 apart they would lose nine digits."""
        rng = np.random.default_rng(7)
        dW, G = rng.standard_normal((2, 3, 3))
        tangent = lambda W: jax.jvp(  # noqa: E731
            lambda M: precondition(M, G, 3, 3), (W,), (dW,)
        )[1]
        near = tangent(np.diag([1.0, 1.0 + 1e-9, 1.0 - 1e-9]))
        np.testing.assert_allclose(near, tangent(np.eye(3)), rtol=0, atol=1e-7)
        nearer = tangent(np.diag([1.0, 1.0 + 1e-13, 1.0]))
        np.testing.assert_allclose(nearer, tangent(np.eye(3)), rtol=0, atol=1e-11)
