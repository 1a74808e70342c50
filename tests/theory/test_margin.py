"""Margins: the largest one against cases solved by hand, and against every direction there is."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import losses
from flowsim.theory.margin import measure as margin
from flowsim.theory.margin.measure import largest_margin

EPS = np.finfo(float).eps
RNG = np.random.default_rng(4)


def two_classes(points: np.ndarray, labels: Sequence[float]) -> losses.Logistic:
    return losses.Logistic(jnp.asarray(points.T), jnp.asarray([labels], dtype=float))


def classes(points: np.ndarray, own: np.ndarray) -> losses.CrossEntropy:
    return losses.CrossEntropy(jnp.asarray(points.T), jnp.asarray(own))


def test_between_two_points_it_is_half_their_distance() -> None:
    """Samples ±x: the only support is x, and w = x/‖x‖ has margin ‖x‖."""
    found = largest_margin(two_classes(np.array([[3.0, 4.0], [-3.0, -4.0]]), [1, -1]), (1, 2))
    np.testing.assert_allclose(found.W, [[0.6, 0.8]], rtol=1e-14)
    assert found.margin == pytest.approx(5.0, rel=1e-14) and found.error <= 50 * EPS


def test_it_is_the_best_of_all_directions_of_the_plane() -> None:
    normal = np.array([0.8, -0.6])
    points = RNG.standard_normal((40, 2))
    labels = np.sign(points @ normal)
    points += 0.2 * labels[:, None] * normal
    loss = two_classes(points, labels)
    found = largest_margin(loss, (1, 2))
    turns = np.linspace(0, 2 * np.pi, 20_001)
    tried = [margin.margin(loss, np.array([[np.cos(t), np.sin(t)]])) for t in turns]
    step = turns[1] * np.linalg.norm(points, axis=1).max()
    assert max(tried) <= found.margin + found.error + 10 * EPS
    assert found.margin <= max(tried) + step
    assert margin.margin(loss, found.W) == pytest.approx(found.margin, rel=1e-13)


def test_data_that_no_line_through_the_origin_separates_has_none() -> None:
    points = np.array([[1.0, 1.0], [2.0, 2.0], [-1.0, 1.0], [1.0, -1.0]])
    assert largest_margin(two_classes(points, [1, -1, 1, 1]), (1, 2)) is None


def test_of_classes_on_axes_it_is_known() -> None:
    """X = I with k classes: W ∝ I - 11ᵀ/k has every slack 1/‖I - 11ᵀ/k‖_F = 1/√(k - 1)."""
    for k in (2, 3, 5):
        found = largest_margin(classes(np.eye(k), np.arange(k)), (k, k))
        assert found.margin == pytest.approx((k - 1) ** -0.5, rel=1e-13)
        wanted = (np.eye(k) - 1 / k) / (k - 1) ** 0.5
        np.testing.assert_allclose(found.W, wanted, atol=1e-14)


def test_slacks_are_those_that_the_constraints_say() -> None:
    points, own = RNG.standard_normal((7, 4)), np.array([0, 1, 2, 2, 1, 0, 2])
    loss, W = classes(points, own), RNG.standard_normal((3, 4))
    told = loss.margin_matrix((3, 4)) @ W.ravel()
    scores = W @ points.T
    for i, c in enumerate(own):
        wanted = [scores[c, i] - scores[k, i] for k in range(3) if k != c]
        np.testing.assert_allclose(loss.margins(W)[i], wanted, rtol=1e-13)
        np.testing.assert_allclose(told.reshape(7, 2)[i], wanted, rtol=1e-12)


def test_two_classes_are_the_same_by_either_loss() -> None:
    """With scores (w x, -w x) the slack is 2 w x, and ‖W‖_F = √2 ‖w‖."""
    points, labels = np.array([[2.0, 1.0], [1.0, 3.0], [-1.0, -2.0]]), np.array([1, 1, -1])
    one = largest_margin(two_classes(points, labels), (1, 2)).margin
    two = largest_margin(classes(points, (1 - labels) // 2), (2, 2)).margin
    assert two == pytest.approx(2**0.5 * one, rel=1e-13)


@pytest.mark.parametrize("turn", [1e-9, 1e-3, 1.0, 3.0])
def test_angles_are_accurate_however_small(turn: float) -> None:
    one, other = np.array([[1.0, 0.0]]), 7 * np.array([[np.cos(turn), np.sin(turn)]])
    assert margin.angle(one, other) == pytest.approx(turn, rel=1e-7, abs=4 * EPS)
    assert np.isnan(margin.angle(one, 0 * other))


@pytest.mark.parametrize("unit", [1e-150, 1e-16, 1e-3, 1e15, 1e150])
def test_it_scales_with_the_unit_of_the_data(unit: float) -> None:
    """Samples ±(2, 1), ±(1, 2): the supports are all of them, and w = (1, 1)/√2."""
    points = np.array([[2.0, 1.0], [1.0, 2.0], [-1.0, -2.0], [-2.0, -1.0]])
    found = largest_margin(two_classes(unit * points, [1, 1, -1, -1]), (1, 2))
    assert found.margin / unit == pytest.approx(3 / 2**0.5, rel=1e-14)
    assert found.error <= 50 * EPS * unit
    opposed = two_classes(unit * points, [1, 1, 1, -1])
    assert largest_margin(opposed, (1, 2)) is None


@pytest.mark.parametrize("s", [1e-8, 1e-4, 0.5, 1.0, 2.0, 1e4, 1e8])
def test_features_may_differ_in_scale(s: float) -> None:
    """With y x = (s, 1) and (-s, 3) one sample is the support up to s = 1, both from there on.

    w = (s, 1) has the margins 1 + s² and 3 - s²; w = (1/s, 1) has 2 and 2.
    """
    loss = two_classes(np.array([[s, 1.0], [s, -3.0]]), [1, -1])
    found = largest_margin(loss, (1, 2))
    exact = (1 + s**2) ** 0.5 if s <= 1 else 2 / (1 + s**-2) ** 0.5
    assert found.margin == pytest.approx(exact, rel=1e-13)
    assert found.error <= 1e-12 and margin.margin(loss, found.W) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("feature", range(4))
def test_one_feature_in_other_units_agrees_with_quadratic_programming(feature: int) -> None:
    """Iris, two classes, against SciPy's SLSQP in units in which the features are alike."""
    from scipy.optimize import minimize
    from sklearn.datasets import load_iris

    iris = load_iris()
    X, labels = iris.data[:100], np.where(iris.target[:100] == 0, 1.0, -1.0)
    scale = np.where(np.arange(4) == feature, 1e8, 1.0)
    found = largest_margin(two_classes(X * scale, list(labels)), (1, 4))
    w = minimize(
        lambda v: float(np.sum((v / scale) ** 2)),
        np.array([1.0, 1.0, -1.0, -1.0]),
        jac=lambda v: 2 * v / scale**2,
        constraints={
            "type": "ineq",
            "fun": lambda v: (X * labels[:, None]) @ v - 1,
            "jac": lambda _: X * labels[:, None],
        },
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    ).x
    assert found.margin == pytest.approx(1 / np.linalg.norm(w / scale), rel=1e-9)
    assert found.error <= 1e-9
