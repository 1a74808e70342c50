"""Products of layers, the chain rule through them, and what balances them."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsim.problem import initialization, network

WIDTHS = st.lists(st.integers(1, 6), min_size=2, max_size=6)
SEEDS = st.integers(0, 2**32 - 1)


def random_layers(widths, seed) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((above, below)) for below, above in pairwise(widths))


def close(actual, wanted, scale=None) -> None:
    """Demand equality up to the rounding of products of a few small matrices."""
    wanted = np.asarray(wanted)
    size = np.abs(wanted).max(initial=0.0) if scale is None else scale
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-13 * max(size, 1.0))


@given(WIDTHS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_prefixes_and_suffixes_multiply_to_the_end_to_end_matrix(widths, seed) -> None:
    layers = random_layers(widths, seed)
    W = np.linalg.multi_dot(layers[::-1]) if len(layers) > 1 else layers[0]
    prefixes, suffixes = network.prefix_products(layers), network.suffix_products(layers)
    assert network.widths(layers) == tuple(widths)
    close(network.end_to_end(layers), W)
    close(prefixes[-1], W)
    close(suffixes[0], W)
    np.testing.assert_array_equal(prefixes[0], layers[0])
    np.testing.assert_array_equal(suffixes[-1], layers[-1])
    for j in range(1, len(layers)):
        close(suffixes[j] @ prefixes[j - 1], W)


@given(WIDTHS, SEEDS)
@settings(max_examples=40, deadline=None)
def test_layer_gradients_are_suffix_gradient_prefix(widths, seed) -> None:
    layers = random_layers(widths, seed)
    G = np.random.default_rng(seed + 1).standard_normal((widths[-1], widths[0]))
    prefixes, suffixes = network.prefix_products(layers), network.suffix_products(layers)
    gradients = network.layer_gradients(layers, lambda _: G)
    for j, gradient in enumerate(gradients):
        left = suffixes[j + 1].T if j + 1 < len(layers) else np.eye(widths[-1])
        right = prefixes[j - 1].T if j > 0 else np.eye(widths[0])
        wanted = left @ G @ right
        assert gradient.shape == layers[j].shape
        close(gradient, wanted)


@given(st.sampled_from([(3, 2), (3, 2, 4), (1, 5, 1), (4, 3, 2, 3), (2, 2, 2, 2, 2, 2)]), SEEDS)
@settings(max_examples=12, deadline=None)
def test_layer_gradients_are_those_of_automatic_differentiation(widths, seed) -> None:
    layers = random_layers(widths, seed)
    loss = lambda W: jnp.sum(jnp.cosh(W / 10))  # noqa: E731
    wanted = jax.grad(lambda stack: loss(network.end_to_end(stack)))(layers)
    G = jax.grad(loss)(network.end_to_end(layers))
    for gradient, automatic in zip(
        network.layer_gradients(layers, lambda _: G), wanted, strict=True
    ):
        close(gradient, automatic)


def test_imbalance_is_the_norm_of_what_the_flow_conserves() -> None:
    W_1, W_2, W_3 = random_layers((3, 4, 2, 5), seed=0)
    first, second = network.imbalances((W_1, W_2, W_3))
    close(first, W_2.T @ W_2 - W_1 @ W_1.T)
    close(second, W_3.T @ W_3 - W_2 @ W_2.T)
    norms = [np.linalg.norm(first), np.linalg.norm(second)]
    close(network.imbalance((W_1, W_2, W_3)), norms)
    largest = max(np.sum(W**2) for W in (W_1, W_2, W_3))
    assert network.balance_defect((W_1, W_2, W_3)) == pytest.approx(max(norms) / largest)
    assert not network.is_balanced((W_1, W_2, W_3))
    assert network.imbalance((W_1,)).shape == (0,)
    assert network.is_balanced((W_1,))


def test_balance_is_relative_to_the_size_of_the_layers() -> None:
    W_1, W_2 = initialization.balanced((3, 3, 3), 1e-12, np.random.default_rng(0))
    assert network.is_balanced((W_1, W_2))
    assert not network.is_balanced((W_1, 1.001 * W_2))
    assert network.is_balanced((np.zeros((2, 3)), np.zeros((4, 2))))


class TestRankBound:
    def test_is_the_narrowest_width(self) -> None:
        assert network.rank_bound(random_layers((5, 2, 4), 0)) == 2
        assert network.rank_bound(random_layers((3, 4), 0)) == 3

    def test_is_lowered_by_a_balanced_start_of_lower_rank(self) -> None:
        U, V = np.linalg.qr(random_layers((4, 4), 0)[0])[0], np.eye(4)
        layers = initialization.from_svd((4, 5, 4), U[:, :2], np.array([3.0, 1e-4]), V[:2])
        assert network.rank_bound(layers) == 2

    def test_keeps_small_but_real_singular_values(self) -> None:
        layers = initialization.from_svd(
            (3, 3, 3), np.eye(3), np.array([1.0, 1e-8, 1e-24]), np.eye(3)
        )
        assert network.rank_bound(layers) == 3  # the layers' own are 1, 1e-4 and 1e-12

    def test_is_not_lowered_without_balance(self) -> None:
        W_1, W_2 = initialization.from_svd((4, 4, 4), np.eye(4)[:, :2], np.ones(2), np.eye(4)[:2])
        assert network.rank_bound((W_1, 2 * W_2)) == 4

    def test_is_not_lowered_at_depth_1_where_rank_may_grow(self) -> None:
        assert network.rank_bound((np.zeros((3, 4)),)) == 3

    def test_is_zero_for_the_zero_network_that_never_moves(self) -> None:
        assert network.rank_bound((np.zeros((3, 4)), np.zeros((4, 3)))) == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("layers", "said"),
        [
            ([], "at least one layer, but got none"),
            ([np.zeros(3)], r"W_1 must be a non-empty matrix, but has shape \(3,\)"),
            ([np.zeros((2, 0))], r"W_1 must be a non-empty matrix, but has shape \(2, 0\)"),
            ([np.eye(2), np.array([[1.0, np.nan]])], "W_2 must be finite, but holds nan or inf"),
            (
                [np.zeros((3, 2)), np.zeros((2, 4))],
                r"W_2 must have as many columns as W_1 has rows \(3\), but has shape \(2, 4\)",
            ),
        ],
    )
    def test_names_the_layer_and_what_was_wanted(self, layers, said) -> None:
        with pytest.raises(ValueError, match=said):
            network.check_layers(layers)

    def test_accepts_a_chain(self) -> None:
        network.check_layers(list(random_layers((2, 5, 1, 3), 0)))


def test_the_sign_of_the_determinant_outlives_that_of_the_product() -> None:
    """Singular values (1, 1e-10) a layer; those of the product are below its rounding."""
    rng = np.random.default_rng(5)
    Q = [np.linalg.qr(rng.standard_normal((2, 2)))[0] for _ in range(4)]
    layers = tuple(Q[j + 1] @ np.diag([1.0, 1e-10]) @ Q[j].T for j in range(3))
    wanted = np.prod([np.linalg.det(U) for U in (Q[0], Q[3])])
    assert float(network.det_sign(layers)) == pytest.approx(wanted)


def test_the_sign_of_the_determinant_of_layers_that_are_not_square() -> None:
    rng = np.random.default_rng(6)
    layers = tuple(rng.standard_normal(shape) for shape in ((4, 3), (3, 4)))
    assert float(network.det_sign(layers)) == np.sign(np.linalg.det(layers[1] @ layers[0]))


@pytest.mark.parametrize("inner", [1, 2, 6, 7])
def test_products_of_small_matrices_are_products(inner) -> None:
    """Written out or not: within the rounding of a sum of so many terms."""
    rng = np.random.default_rng(inner)
    A, B = rng.standard_normal((5, inner)), rng.standard_normal((inner, 12))
    found = np.asarray(network.product(jnp.asarray(A), jnp.asarray(B)))
    rounding = 2 * inner * np.finfo(float).eps * (np.abs(A) @ np.abs(B))
    assert (np.abs(found - A @ B) <= rounding).all()
