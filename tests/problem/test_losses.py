"""Losses: gradients against automatic differentiation, and each loss by reduction to a simpler."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import losses
from flowsim.problem.losses import value_and_gradient
from flowsim.problem.problem import Problem

OUTPUTS, INPUTS, SAMPLES = 3, 4, 7


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


W = draw(OUTPUTS, INPUTS, seed=1)
Phi = draw(OUTPUTS, INPUTS, seed=2)
X = draw(INPUTS, SAMPLES)
Y = draw(OUTPUTS, SAMPLES)
LABELS = np.array([[1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0]])
CLASSES = np.array([0, 2, 1, 1, 0, 2, 2])
OBSERVED = (draw(OUTPUTS, INPUTS, seed=3) > 0).astype(float)

ALL = {
    "linear": losses.Linear(Phi),
    "squared": losses.Squared(Phi),
    "completion": losses.Completion(Phi, OBSERVED),
    "sensing": losses.Sensing(Phi, draw(9, OUTPUTS, INPUTS)),
    "least squares": losses.LeastSquares.from_data(X, Y),
    "regression, p = 4": losses.PowerRegression(X, Y, 4.0),
    "regression, p = 1.5": losses.PowerRegression(X, Y, 1.5),
    "regression, p = 1": losses.PowerRegression(X, Y, 1.0),
    "logistic": losses.Logistic(X, LABELS),
    "cross-entropy": losses.CrossEntropy(X, CLASSES),
    "differentiable": losses.Differentiable(lambda M: jnp.sum(jnp.cosh(M))),
}


def at(loss: losses.Loss) -> np.ndarray:
    return W[:1] if isinstance(loss, losses.Logistic) else W


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_that_of_automatic_differentiation(name) -> None:
    loss = ALL[name]
    gradient = loss.gradient(at(loss))
    assert gradient.shape == at(loss).shape
    np.testing.assert_allclose(gradient, jax.grad(loss.value)(at(loss)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_the_slope_of_the_value(name) -> None:
    loss, h = ALL[name], 1e-5
    direction = draw(*at(loss).shape, seed=5)
    rise = loss.value(at(loss) + h * direction) - loss.value(at(loss) - h * direction)
    slope = np.sum(np.asarray(loss.gradient(at(loss))) * direction)
    # differences of order 2: h² times a third derivative, and eps / h
    assert float(rise) / (2 * h) == pytest.approx(slope, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", ["squared", "completion", "sensing"])
def test_a_loss_with_a_target_vanishes_there(name) -> None:
    loss = ALL[name]
    np.testing.assert_array_equal(loss.target, Phi)
    assert float(loss.value(Phi)) == 0
    assert not np.any(loss.gradient(Phi))


@pytest.mark.parametrize("name", ["least squares", "logistic", "cross-entropy", "differentiable"])
def test_a_loss_of_data_has_no_target(name) -> None:
    assert ALL[name].target is None


def test_a_linear_loss_falls_for_ever_along_its_matrix() -> None:
    loss = ALL["linear"]
    assert loss.target is None
    assert not loss.quadratic
    rise = np.sum(Phi**2)
    assert float(loss.value(W + 3 * Phi) - loss.value(W)) == pytest.approx(-3 * rise, rel=1e-13)
    np.testing.assert_array_equal(loss.gradient(W), -Phi)


def same(one: losses.Loss, other: losses.Loss, W: np.ndarray = W) -> None:
    np.testing.assert_allclose(one.value(W), other.value(W), rtol=1e-13)
    np.testing.assert_allclose(one.gradient(W), other.gradient(W), rtol=1e-12, atol=1e-14)


class TestReductions:
    def test_completion_with_everything_observed_is_squared(self) -> None:
        same(losses.Completion(Phi, np.ones_like(Phi)), losses.Squared(Phi))

    def test_completion_ignores_what_is_not_observed(self) -> None:
        elsewhere = Phi + 100 * (1 - OBSERVED)
        same(losses.Completion(elsewhere, OBSERVED), losses.Completion(Phi, OBSERVED))

    def test_sensing_by_an_orthonormal_basis_is_squared(self) -> None:
        n = OUTPUTS * INPUTS
        basis = np.linalg.qr(draw(n, n))[0].reshape(n, OUTPUTS, INPUTS)
        same(losses.Sensing(Phi, basis), losses.Squared(Phi))

    def test_sensing_by_single_entries_is_completion(self) -> None:
        entries = np.eye(OUTPUTS * INPUTS)[OBSERVED.ravel() > 0].reshape(-1, OUTPUTS, INPUTS)
        same(losses.Sensing(Phi, entries), losses.Completion(Phi, OBSERVED))

    @pytest.mark.parametrize("samples", [1, 3, 4, 50])
    def test_least_squares_is_regression_at_p_2_with_its_floor(self, samples) -> None:
        X, Y = draw(INPUTS, samples, seed=8), draw(OUTPUTS, samples, seed=9)
        same(losses.LeastSquares.from_data(X, Y), losses.PowerRegression(X, Y, 2.0))

    def test_least_squares_on_whitened_data_is_squared_about_the_correlation(self) -> None:
        X = np.sqrt(SAMPLES) * np.linalg.qr(draw(SAMPLES, INPUTS))[0].T  # XXᵀ/m = I
        loss = losses.LeastSquares.from_data(X, Y)
        simple = losses.Squared(Y @ X.T / SAMPLES)
        np.testing.assert_allclose(loss.gradient(W), simple.gradient(W), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(loss.value(W) - loss.floor, simple.value(W), rtol=1e-12)

    def test_floor_is_the_least_loss_that_any_matrix_reaches(self) -> None:
        loss = losses.LeastSquares.from_data(X, Y)
        best = np.linalg.lstsq(X.T, Y.T, rcond=None)[0].T
        np.testing.assert_allclose(loss.value(best), loss.floor, rtol=1e-12)
        assert float(loss.floor) > 0

    def test_logistic_is_cross_entropy_of_the_difference_of_two_scores(self) -> None:
        two = losses.CrossEntropy(X, (LABELS[0] > 0).astype(int))
        one = losses.Logistic(X, LABELS)
        scores = W[:2]
        difference = scores[1:] - scores[:1]
        np.testing.assert_allclose(two.value(scores), one.value(difference), rtol=1e-13)
        wanted = np.vstack([-one.gradient(difference), one.gradient(difference)])
        np.testing.assert_allclose(two.gradient(scores), wanted, rtol=1e-12, atol=1e-15)

    def test_regression_of_one_scalar_is_the_power_of_the_error(self) -> None:
        loss = losses.PowerRegression(np.ones((1, 1)), np.full((1, 1), 2.0), 4.0)
        assert float(loss.value(np.full((1, 1), 5.0))) == pytest.approx(3**4 / 4)
        assert float(loss.gradient(np.full((1, 1), 5.0))[0, 0]) == pytest.approx(3**3)


def test_p_1_takes_the_zero_subgradient_at_its_kink() -> None:
    loss = losses.PowerRegression(X, W @ X, 1.0)
    assert float(loss.value(W)) == 0
    assert not np.any(loss.gradient(W))


@pytest.mark.parametrize("size", [1e3, 1e200])
def test_extreme_margins_neither_overflow_nor_vanish(size) -> None:
    right, wrong = size * np.array([[1.0, 0.0]]), -size * np.array([[1.0, 0.0]])
    x, y = np.array([[1.0], [0.0]]), np.ones((1, 1))
    logistic = losses.Logistic(x, y)
    assert float(logistic.value(right)) == 0
    assert float(logistic.value(wrong)) == size
    np.testing.assert_array_equal(logistic.gradient(right), [[0.0, 0.0]])
    np.testing.assert_array_equal(logistic.gradient(wrong), [[-1.0, 0.0]])
    entropy = losses.CrossEntropy(x, np.array([0]))
    assert float(entropy.value(np.vstack([right, wrong]))) == 0
    assert float(entropy.value(np.vstack([wrong, right]))) == 2 * size
    np.testing.assert_array_equal(
        entropy.gradient(np.vstack([wrong, right])), [[-1.0, 0.0], [1.0, 0.0]]
    )


@pytest.mark.parametrize("samples", [INPUTS, 10 * INPUTS, 1000 * INPUTS])
def test_least_squares_costs_the_same_for_any_number_of_samples(samples) -> None:
    loss = losses.LeastSquares.from_data(draw(INPUTS, samples), draw(OUTPUTS, samples))
    shapes = {leaf.shape for leaf in jax.tree.leaves(eqx.filter(loss, eqx.is_array))}
    assert shapes == {(INPUTS, INPUTS), (OUTPUTS, INPUTS), ()}


def test_least_squares_keeps_its_digits_near_the_minimum() -> None:
    X = draw(INPUTS - 1, 200)
    X = np.vstack([X, X[:1] + 1e-3 * draw(1, 200, seed=4)])  # nearly collinear inputs
    loss = losses.LeastSquares.from_data(X, W @ X)
    gap = 1e-6 * draw(OUTPUTS, INPUTS, seed=6)
    wanted = 0.5 * np.sum((gap @ X) ** 2) / 200
    # from XXᵀ and YXᵀ alone the loss would be off by eps ‖WX‖² / m, a part in 10⁴ of it
    assert float(loss.value(W + gap)) == pytest.approx(wanted, rel=1e-8)


class TestSeparates:
    def test_logistic(self) -> None:
        loss = losses.Logistic(np.array([[1.0, -2.0]]), np.array([[1.0, -1.0]]))
        assert loss.separates(np.array([[0.1]]))
        assert not loss.separates(np.array([[0.0]]))
        assert not loss.separates(np.array([[-0.1]]))

    def test_cross_entropy_demands_strictly_the_largest_score(self) -> None:
        loss = losses.CrossEntropy(np.eye(2), np.array([0, 1]))
        assert loss.separates(np.eye(2))
        assert not loss.separates(np.ones((2, 2)))
        assert not loss.separates(np.eye(2)[::-1])

    def test_others_never_do(self) -> None:
        assert not losses.Squared(Phi).separates(Phi)


@pytest.mark.parametrize("name", [name for name in ALL if name != "differentiable"])
def test_loss_is_the_same_after_its_arrays_are_overwritten(name: str) -> None:
    known = {key: np.array(value) for key, value in vars(ALL[name]).items() if np.ndim(value)}
    assert known
    loss = type(ALL[name])(**{**vars(ALL[name]), **known})
    before = float(loss.value(W))
    for array in known.values():
        array[...] = 0
    assert float(loss.value(W)) == before
    for key in known:
        with pytest.raises(ValueError, match="read-only"):
            getattr(loss, key)[...] = 0


def test_problems_that_share_a_buffer_keep_the_values_of_their_time() -> None:
    # the gradient of ½‖W - Φ‖² is W - Φ = -2k for a start at -k and a target k
    Phi, layer, problems = np.zeros((2, 2)), np.zeros((2, 2)), []
    for k in (1.0, 2.0, 3.0):
        Phi[...], layer[...] = k, -k
        problems.append(Problem(losses.Squared(Phi), [layer], horizon=1.0))
    for k, problem in zip((1.0, 2.0, 3.0), problems, strict=True):
        gradient = value_and_gradient(problem.loss, problem.initial)[1]
        np.testing.assert_array_equal(np.asarray(gradient), np.full((2, 2), -2 * k))
        with pytest.raises(ValueError, match="read-only"):
            problem.layers[0][...] = 0
