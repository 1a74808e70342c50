"""The minimum of ℓ_p regression with p < 2, where residuals may be exactly 0."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

import flowsim
from flowsim.problem import losses
from flowsim.solvers.trajectory import Verdict
from flowsim.theory.global_minimum import global_minimum
from flowsim.theory.power_minimum import power_minimum

X = np.array([[1.0, -1.0, 0.5, 0.3], [0.5, 1.0, -1.0, 0.2]])
Y = np.array([[0.2, -1.0, 1.5, 0.0]])
THREE = np.array([[1, 2, 0.5], [0, 1, 1]])


@pytest.mark.parametrize(("p", "value"), [(1.5, 0.0823910559), (1.2, 0.1377548353)])
def test_known_minima(p: float, value: float) -> None:
    least = global_minimum(losses.PowerRegression(X, Y, p), (1, 2), 1)
    assert least.value == pytest.approx(value, abs=1e-10)
    assert least.error <= 1e-14
    assert least.only


@pytest.mark.parametrize("p", [1.2, 1.5, 1.9])
def test_one_hot_targets_agree_with_an_independent_minimizer(p: float) -> None:
    Z, Y = THREE, np.eye(3)
    least = power_minimum(Z, Y, p)

    def loss(w: np.ndarray) -> float:
        return float(np.sum(np.abs(w.reshape(3, 2) @ Z - Y) ** p)) / (3 * p)

    # Nelder-Mead uses values alone, row by row of two unknowns
    found = sum(
        minimize(
            lambda w, y=y: np.sum(np.abs(w @ Z - y) ** p) / (3 * p),
            [0.1, 0.1],
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 4000},
        ).fun
        for y in Y
    )
    assert least.value == pytest.approx(found, abs=1e-12)
    assert least.value == pytest.approx(loss(least.W.ravel()), rel=1e-14)
    assert least.value - least.bound <= 1e-14


def test_least_absolute_deviations_in_one_dimension_are_a_weighted_median() -> None:
    # Σ|xᵢ||w - yᵢ/xᵢ| is least at the weighted median of yᵢ/xᵢ: weights 1, 2, 4 at 3, 1, 0.5
    least = power_minimum(np.array([[1.0, 2.0, 4.0]]), np.array([[3.0, 2.0, 2.0]]), 1.0)
    assert pytest.approx(0.5, abs=1e-14) == least.W
    assert least.value == pytest.approx((2.5 + 1.0) / 3, rel=1e-14)
    assert least.bound == pytest.approx(least.value, rel=1e-12)


def test_exact_fit_has_the_minimum_zero() -> None:
    least = power_minimum(X[:, :2], np.array([[1.0, 2.0]]), 1.5)
    # residuals of a few eps to the power 3/2
    assert least.value <= 1e-22


def test_dependent_inputs_give_the_minimizer_of_least_norm() -> None:
    least = power_minimum(np.concatenate([X, X[:1]]), Y, 1.5)
    assert not least.only
    assert least.value == pytest.approx(power_minimum(X, Y, 1.5).value, rel=1e-13)
    # the null space of the inputs is spanned by (1, 0, -1)
    assert pytest.approx(0, abs=1e-14) == least.W @ [1, 0, -1]


@pytest.mark.parametrize("p", [1.0, 1.2, 1.5])
def test_blank_sample_changes_no_curvature(p: float) -> None:
    W, V = np.array([[0.3, -0.2]]), np.array([[1.0, 2.0]])

    def curvature(Z: np.ndarray, T: np.ndarray) -> np.ndarray:
        loss = losses.PowerRegression(Z, T, p)
        return np.asarray(jax.jvp(loss.gradient, (W,), (V,))[1]) * Z.shape[1]

    blank = np.zeros((2, 1))
    with_blank = curvature(np.hstack([X, blank]), np.hstack([Y, [[0.0]]]))
    # the same sums, perhaps in another order
    np.testing.assert_allclose(with_blank, curvature(X, Y), rtol=4 * 2.3e-16)


@pytest.mark.parametrize("p", [1.0, 1.2, 1.5])
def test_curvature_at_a_residual_of_0_is_finite_and_elsewhere_exact(p: float) -> None:
    loss = losses.PowerRegression(np.eye(2), np.array([[0.0, 1.0]]), p)
    (_, bent) = jax.jvp(loss.gradient, (np.array([[0.0, 3.0]]),), (np.array([[1.0, 1.0]]),))
    assert np.isfinite(bent).all()
    # curvature ∞ at e = 0 as that of the rounding of the targets; (p - 1) 2^{p-2}/m at e = 2
    eps = np.finfo(float).eps
    expected = [[(p - 1) * eps ** (p - 2) / 2, (p - 1) * 2 ** (p - 2) / 2]]
    np.testing.assert_allclose(bent, expected, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "kvaerno5", "rodas5p"])
@pytest.mark.parametrize("p", [1.2, 1.5])
def test_residuals_of_0_and_blank_samples_stall_no_method(p: float, method: str) -> None:
    """From W = 0 with a target of 0 the first curvature is infinite."""
    Z, T = np.hstack([X, np.zeros((2, 1))]), np.hstack([Y, [[0.0]]])
    start = [np.array([[0.5, 0.1], [0.2, 0.4]]), np.zeros((1, 2))]
    loss = losses.PowerRegression(Z, T, p)
    flow = flowsim.solve(
        flowsim.Problem(loss, start, 20.0), "layers", method=method, rtol=1e-6, max_steps=2000
    )
    assert flow.verdict in (Verdict.CONVERGED, Verdict.REACHED_HORIZON)
    assert flow.loss[-1] == pytest.approx(power_minimum(Z, T, p).value, abs=1e-6)
