"""The neural tangent kernel: against the kernel that is formed from derivatives of the layers."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim import Problem, solve
from flowsim.dynamics.preconditioner import precondition
from flowsim.problem import initialization, losses, network
from flowsim.theory.tangent_kernel import measure as tangent_kernel

EPS = np.finfo(float).eps
RNG = np.random.default_rng(8)


def drawn(*widths: int) -> tuple[np.ndarray, ...]:
    return tuple(RNG.standard_normal((b, a)) for a, b in pairwise(widths))


def formed(layers) -> np.ndarray:
    """Return J Jᵀ, J the derivative of vec W with respect to all weights."""
    jacobians = jax.jacobian(lambda layers: jnp.ravel(network.end_to_end(layers)))(layers)
    J = np.concatenate([np.reshape(j, (j.shape[0], -1)) for j in jacobians], axis=1)
    return J @ J.T


@pytest.mark.parametrize("widths", [(4, 3), (4, 2, 3), (3, 5, 4, 2), (1, 3, 3, 2, 1)])
def test_norm_distance_and_angle_are_those_of_the_formed_kernel(widths) -> None:
    layers, start = drawn(*widths), drawn(*widths)
    Theta, Theta_0 = formed(layers), formed(start)
    found = tangent_kernel.change(layers, start)
    norm, norm_0 = np.linalg.norm(Theta), np.linalg.norm(Theta_0)
    assert found.norm == pytest.approx(norm, rel=1e-13)
    assert found.distance == pytest.approx(np.linalg.norm(Theta - Theta_0) / norm_0, rel=1e-12)
    assert np.cos(found.angle) == pytest.approx(np.sum(Theta * Theta_0) / norm / norm_0, rel=1e-12)


def test_balanced_layers_have_the_preconditioner_for_kernel() -> None:
    layers = initialization.balanced([4, 3, 3, 3], 2.0, RNG)
    W, G = network.end_to_end(layers), RNG.standard_normal((3, 4))
    moved = sum(L @ G @ R for L, R in tangent_kernel.factors(layers))
    np.testing.assert_allclose(moved, precondition(W, G, 3, 3), rtol=1e-12, atol=1e-12)


def test_one_layer_has_the_identity_which_never_changes() -> None:
    found = tangent_kernel.change(drawn(4, 3), drawn(4, 3))
    assert (found.norm, found.distance, found.angle) == (pytest.approx(12**0.5), 0.0, 0.0)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_a_small_change_is_not_lost_in_rounding(size: float) -> None:
    """Scaling W_1 alone by 1 + ε changes R_2 by 2ε + ε² and nothing else at depth 2."""
    W_1, W_2 = drawn(4, 3, 2)
    found = tangent_kernel.change(((1 + size) * W_1, W_2), (W_1, W_2))
    moved = (2 * size + size**2) * np.linalg.norm(np.kron(np.eye(2), W_1.T @ W_1))
    wanted = moved / np.linalg.norm(formed((W_1, W_2)))
    assert found.distance == pytest.approx(wanted, abs=10 * EPS, rel=1e-5)


def test_a_kernel_of_nothing_has_no_angle() -> None:
    zero = (np.zeros((3, 4)), np.zeros((2, 3)))
    found = tangent_kernel.change(drawn(4, 3, 2), zero)
    assert np.isnan(found.distance) and np.isnan(found.angle)


def test_the_lazier_the_larger_the_imbalance() -> None:
    """Square, W_2 = √λ O + …, so Θ = λI + O(WWᵀ/λ): it turns as λ⁻², up to relative (σ/λ)²."""
    Phi = np.diag([2.0, 1.0, 0.5])
    angles = []
    for imbalance in (30.0, 300.0):
        layers = initialization.lambda_balanced([3, 3, 3], 0.1, imbalance, np.random.default_rng(0))
        problem = Problem(losses.Squared(Phi), layers, 20 / imbalance)
        found = solve(problem, keep_layers=True, times=[0.0, 20 / imbalance], rtol=1e-10)
        first, last = ([W[i] for W in found.layers] for i in (0, -1))
        angles.append(tangent_kernel.change(last, first).angle)
    assert angles[0] / angles[1] == pytest.approx(100, rel=2 * (2 / 30) ** 2)
