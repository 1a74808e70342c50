"""Starting layers: balance, what `scale` means for every kind, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim.problem import initialization, network

WIDTHS = st.lists(st.integers(1, 7), min_size=2, max_size=6)
SCALES = st.floats(1e-12, 1e3)
IMBALANCES = st.floats(-10, 10)
SEEDS = st.integers(0, 2**32 - 1)
ROUNDING = 1e-14


def product(layers) -> np.ndarray:
    W = layers[0]
    for layer in layers[1:]:
        W = layer @ W
    return W


def spectrum(W: np.ndarray) -> np.ndarray:
    return np.linalg.svd(W, compute_uv=False)


def imbalance(layers, step: float = 0.0) -> float:
    """Return the largest entry of W_{j+1}ᵀW_{j+1} - W_jW_jᵀ - step·I, relative to the layers."""
    size = max(1.0, *(np.abs(W).max() ** 2 for W in layers)) if len(layers) > 1 else 1.0
    gaps = [np.asarray(D) - step * np.eye(len(D)) for D in network.imbalances(layers)]
    return max((np.abs(gap).max() / size for gap in gaps), default=0.0)


def check_shapes(layers, widths) -> None:
    assert network.widths(layers) == tuple(widths)
    assert len(layers) == len(widths) - 1
    assert all(W.dtype == np.float64 and np.isfinite(W).all() for W in layers)


def hidden_equal(widths) -> list[int]:
    """Return the widths with all hidden ones equal to the first."""
    return [widths[0], *[widths[1]] * (len(widths) - 2), widths[-1]]


class TestBalanced:
    @given(WIDTHS, SCALES, SEEDS)
    @settings(max_examples=80, deadline=None)
    def test_is_balanced_with_the_largest_singular_value_at_scale(self, widths, scale, seed):
        layers = initialization.balanced(widths, scale, np.random.default_rng(seed))
        check_shapes(layers, widths)
        assert imbalance(layers) <= ROUNDING
        sigma = spectrum(product(layers))
        assert sigma[0] == pytest.approx(scale, rel=1e-13)
        assert np.sum(sigma > 1e-13 * scale) <= min(widths)

    @given(WIDTHS, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_every_layer_has_the_same_singular_values(self, widths, seed) -> None:
        layers = initialization.balanced(widths, 0.5, np.random.default_rng(seed))
        rank = min(widths)
        first = spectrum(layers[0])[:rank]
        for layer in layers[1:]:
            np.testing.assert_allclose(spectrum(layer)[:rank], first, rtol=1e-12, atol=1e-13)

    def test_draws_from_the_generator_and_nothing_else(self) -> None:
        draw = lambda seed: initialization.balanced((3, 4, 2), 0.1, np.random.default_rng(seed))  # noqa: E731
        for one, two in zip(draw(3), draw(3), strict=True):
            np.testing.assert_array_equal(one, two)
        assert not np.allclose(product(draw(3)), product(draw(4)))


class TestGaussian:
    @pytest.mark.parametrize("widths", [(4, 3), (3, 5, 2), (4, 2, 6, 3), (3, 3, 3, 3, 3)])
    @pytest.mark.parametrize("scale", [1e-3, 2.0])
    def test_mean_squared_norm_of_the_product(self, widths, scale) -> None:
        rng = np.random.default_rng(0)
        samples = 4000
        squares = np.array(
            [
                np.sum(product(initialization.gaussian(widths, scale, rng)) ** 2)
                for _ in range(samples)
            ]
        )
        wanted = scale**2 * min(widths[0], widths[-1])
        error = squares.std() / np.sqrt(samples)
        assert abs(squares.mean() - wanted) < 4 * error  # 4 standard errors: 1 in 15,000
        assert error < 0.12 * wanted

    def test_entries_share_one_variance(self) -> None:
        layers = initialization.gaussian((40, 60, 50, 30), 0.7, np.random.default_rng(1))
        variances = np.array([W.var() for W in layers])
        errors = variances * np.sqrt(2 / np.array([W.size for W in layers]))
        assert np.all(np.abs(variances - variances.mean()) < 4 * errors)
        assert variances.mean() == pytest.approx(
            (0.7**2 * 30 / (40 * 60 * 50 * 30)) ** (1 / 3), rel=0.1
        )

    @given(WIDTHS, SCALES, SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_shapes(self, widths, scale, seed) -> None:
        check_shapes(initialization.gaussian(widths, scale, np.random.default_rng(seed)), widths)

    def test_scale_multiplies_the_product(self) -> None:
        one = initialization.gaussian((3, 4, 5, 2), 1.0, np.random.default_rng(0))
        small = initialization.gaussian((3, 4, 5, 2), 1e-6, np.random.default_rng(0))
        np.testing.assert_allclose(product(small), 1e-6 * product(one), rtol=1e-13)


def test_xavier_is_uniform_on_its_interval() -> None:
    layers = initialization.xavier((200, 100, 50), np.random.default_rng(0))
    check_shapes(layers, (200, 100, 50))
    for layer, bound in zip(layers, (np.sqrt(6 / 300), np.sqrt(6 / 150)), strict=True):
        assert np.abs(layer).max() <= bound
        assert np.abs(layer).max() > 0.99 * bound
        assert layer.var() == pytest.approx(bound**2 / 3, rel=0.05)


class TestOrthogonal:
    @given(WIDTHS, SCALES, SEEDS)
    @settings(max_examples=60, deadline=None)
    def test_every_singular_value_of_the_product_is_scale(self, widths, scale, seed) -> None:
        layers = initialization.orthogonal(widths, scale, np.random.default_rng(seed))
        check_shapes(layers, widths)
        sigma, rank = spectrum(product(layers)), min(widths)
        np.testing.assert_allclose(sigma[:rank], scale, rtol=1e-12)
        assert np.all(sigma[rank:] < 1e-13 * scale)

    @given(st.integers(1, 6), st.integers(1, 5), SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_is_balanced_when_the_widths_are_equal(self, d, depth, seed) -> None:
        layers = initialization.orthogonal([d] * (depth + 1), 0.3, np.random.default_rng(seed))
        assert imbalance(layers) <= ROUNDING

    def test_rotations_are_uniform(self) -> None:
        rng = np.random.default_rng(0)
        corners = np.array(
            [initialization.orthogonal((2, 2), 1.0, rng)[0][0, 0] for _ in range(4000)]
        )
        assert abs(corners.mean()) < 4 * corners.std() / np.sqrt(4000)
        assert corners.var() == pytest.approx(
            0.5, abs=4 * np.sqrt(1 / 8 / 4000)
        )  # cos² of an angle


class TestIdentity:
    @given(WIDTHS, SCALES)
    @settings(max_examples=60, deadline=None)
    def test_product_is_the_scaled_identity(self, widths, scale) -> None:
        rank = min(widths[0], widths[-1])
        if min(widths) < rank:
            with pytest.raises(ValueError, match=rf"min\(d_0, d_N\) = {rank}, but the widths are"):
                initialization.identity(widths, scale)
            return
        layers = initialization.identity(widths, scale)
        check_shapes(layers, widths)
        wanted = scale * np.eye(widths[-1], widths[0])
        np.testing.assert_allclose(product(layers), wanted, rtol=1e-13)
        assert imbalance(layers) <= ROUNDING


class TestAligned:
    @given(WIDTHS, SCALES, SEEDS)
    @settings(max_examples=60, deadline=None)
    def test_shares_the_singular_vectors_of_the_target(self, widths, scale, seed) -> None:
        Phi = np.random.default_rng(seed).standard_normal((widths[-1], widths[0]))
        layers = initialization.aligned(widths, scale, Phi)
        check_shapes(layers, widths)
        assert imbalance(layers) <= ROUNDING
        U, _, Vt = np.linalg.svd(Phi, full_matrices=False)
        inner = U.T @ product(layers) @ Vt.T / scale
        rank = min(widths)
        wanted = np.diag((np.arange(len(inner)) < rank).astype(float))
        np.testing.assert_allclose(inner, wanted, atol=1e-13)


class TestLambdaBalanced:
    @given(WIDTHS.filter(lambda w: len(w) > 2), SCALES, IMBALANCES, SEEDS)
    @settings(max_examples=150, deadline=None)
    def test_every_pair_differs_by_the_same_multiple_of_the_identity(
        self, widths, scale, step, seed
    ):
        widths = hidden_equal(widths)
        inputs, hidden, outputs = widths[0], widths[1], widths[-1]
        enough = outputs if step > 0 else inputs
        if step != 0 and hidden > enough:
            with pytest.raises(ValueError, match=rf"width {hidden} must be at most {enough}"):
                initialization.lambda_balanced(widths, scale, step, np.random.default_rng(seed))
            return
        layers = initialization.lambda_balanced(widths, scale, step, np.random.default_rng(seed))
        check_shapes(layers, widths)
        assert imbalance(layers, step) <= ROUNDING
        plain = initialization.balanced(widths, scale, np.random.default_rng(seed))
        rounding = ROUNDING * len(widths) * np.prod([spectrum(W)[0] for W in layers])
        gap = np.abs(product(layers) - product(plain)).max()
        assert gap <= max(rounding, ROUNDING * len(widths) * scale)

    @given(WIDTHS.filter(lambda w: len(w) > 2), SCALES, SEEDS)
    @settings(max_examples=40, deadline=None)
    def test_zero_imbalance_is_the_balanced_start(self, widths, scale, seed) -> None:
        widths = hidden_equal(widths)
        layers = initialization.lambda_balanced(widths, scale, 0.0, np.random.default_rng(seed))
        plain = initialization.balanced(widths, scale, np.random.default_rng(seed))
        for one, other in zip(layers, plain, strict=True):
            tolerance = ROUNDING * max(1.0, np.abs(other).max())
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)

    @pytest.mark.parametrize("widths", [(3, 2), (3, 4, 5, 2)])
    def test_needs_hidden_layers_of_one_width(self, widths) -> None:
        with pytest.raises(ValueError, match="needs hidden layers, all of one width, but"):
            initialization.lambda_balanced(widths, 0.1, 0.0, np.random.default_rng(0))

    def test_a_tiny_product_survives_a_large_imbalance(self) -> None:
        layers = initialization.lambda_balanced((3, 3, 3), 1e-9, 4.0, np.random.default_rng(0))
        plain = initialization.balanced((3, 3, 3), 1e-9, np.random.default_rng(0))
        np.testing.assert_allclose(spectrum(product(layers)), spectrum(product(plain)), rtol=1e-12)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), SEEDS)
@settings(max_examples=30, deadline=None)
def test_from_svd_splits_into_balanced_layers(outputs, inputs, hidden, depth, seed) -> None:
    rng = np.random.default_rng(seed)
    widths = [inputs, *[hidden] * (depth - 1), outputs]
    rank = min(widths)
    A = rng.standard_normal((outputs, inputs))
    U, _, Vt = np.linalg.svd(A, full_matrices=False)
    sigma = np.sort(rng.uniform(0, 2, rank))[::-1]
    layers = initialization.from_svd(widths, U[:, :rank], sigma, Vt[:rank])
    check_shapes(layers, widths)
    np.testing.assert_allclose(product(layers), (U[:, :rank] * sigma) @ Vt[:rank], atol=1e-13)
    assert imbalance(layers) <= ROUNDING
