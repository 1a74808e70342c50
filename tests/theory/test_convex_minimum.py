"""Minima of convex losses in any units, and infima that are not attained."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_iris

from flowsim.problem import losses
from flowsim.solvers.monitor import Monitor
from flowsim.theory.global_minimum import Minimum, global_minimum

RNG = np.random.default_rng(8)
IRIS = load_iris()
OVERLAPPING = IRIS.target > 0
X = RNG.standard_normal((3, 20))
Y = RNG.standard_normal((2, 20))
SIGNS = np.where(IRIS.target[OVERLAPPING] == 1, 1.0, -1.0)[None]


def iris(scale: np.ndarray | float = 1.0) -> Minimum:
    loss = losses.CrossEntropy((IRIS.data * scale).T, IRIS.target)
    return global_minimum(loss, (3, 4), 3)


@pytest.mark.parametrize(
    "scale", [1.0, 1e-16, 1e15, np.array([1, 1e8, 1, 1]), np.array([1, 1, 1e-12, 1])], ids=str
)
def test_separable_class_leaves_the_infimum_of_the_others(scale: np.ndarray | float) -> None:
    """Setosa can be separated: 2/3 of the minimum of the other two classes among themselves."""
    found = iris(scale)
    assert found.W is None and not found.only and "not attained" in found.how
    assert found.value == pytest.approx(0.0722662656157, abs=1e-13)
    assert found.error <= 1e-15

    def among_themselves(w: np.ndarray) -> float:
        return float(np.mean(np.log1p(np.exp(-SIGNS[0] * (IRIS.data[OVERLAPPING] @ w)))))

    other = minimize(among_themselves, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    assert found.value == pytest.approx(2 / 3 * other.fun, rel=1e-9)


def test_overlapping_classes_attain_their_minimum() -> None:
    loss = losses.Logistic(IRIS.data[OVERLAPPING].T, SIGNS)
    found = global_minimum(loss, (1, 4), 1)
    assert found.W is not None and found.only
    assert np.abs(loss.gradient(found.W)).max() <= 1e-13
    classes = losses.CrossEntropy(IRIS.data[OVERLAPPING].T, IRIS.target[OVERLAPPING] - 1)
    two = global_minimum(classes, (2, 4), 2)
    assert two.value == pytest.approx(found.value, rel=1e-13)
    # of least norm, scores that add up to 0: W = (w, -w)/2
    np.testing.assert_allclose(two.W, np.concatenate([found.W, -found.W]) / 2, rtol=1e-9)


UNITS = [1e-20, 1e-8, 1.0, 1e8, 1e20]


@pytest.mark.parametrize("unit", UNITS)
def test_minimum_of_classes_is_the_same_in_all_units(unit: float) -> None:
    labels = np.sign(RNG.standard_normal((1, 20)))
    one, other = (global_minimum(losses.Logistic(s * X, labels), (1, 3), 1) for s in (1.0, unit))
    assert other.value == pytest.approx(one.value, rel=1e-14)
    np.testing.assert_allclose(other.W * unit, one.W, rtol=1e-9)
    assert one.only and other.only


@pytest.mark.parametrize("p", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("unit", UNITS)
def test_minimum_of_regression_scales_with_its_units(unit: float, p: float) -> None:
    feature = np.array([[1.0], [1e8], [1.0]])
    one = global_minimum(losses.PowerRegression(X, Y, p), (2, 3), 2)
    other = global_minimum(losses.PowerRegression(feature * X / unit, unit * Y, p), (2, 3), 2)
    assert other.value / unit**p == pytest.approx(one.value, rel=1e-12)
    np.testing.assert_allclose(other.W * feature.T / unit**2, one.W, atol=1e-6)
    assert one.only == other.only == (p > 1)


def test_exclusive_or_has_the_minimum_log_2_without_a_warning() -> None:
    points = np.array([[-1.0, -1, 1, 1], [-1, 1, -1, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = global_minimum(losses.Logistic(points, [[-1.0, 1, 1, -1]]), (1, 2), 1)
    assert found.value == pytest.approx(np.log(2), rel=1e-15)
    np.testing.assert_array_equal(found.W, [[0.0, 0.0]])
    assert found.only


@pytest.mark.parametrize("p", [1.5, 4.0])
def test_stop_request_leaves_the_minimum_unknown(p: float) -> None:
    stopped = Monitor(stop_requested=lambda: True)
    found = global_minimum(losses.PowerRegression(X, Y, p), (2, 3), 2, stopped)
    assert np.isnan(found.value) and "interrupted" in found.how
