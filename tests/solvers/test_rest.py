"""Horizons long after a flow has come to rest, where only rounding keeps implicit steps short."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import initialization
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.solvers.solve import solve
from flowsim.solvers.verdict import Verdict

FEW = 3_000
"""Steps within which any of these flows ends; before, 10⁴ to 10⁷ did not suffice."""


def drawn(seed: int, horizon: float) -> Problem:
    """Return two random layers, and a target whose determinant has the sign of their product's."""
    rng = np.random.default_rng(seed)
    target = rng.standard_normal((2, 2))
    layers = initialization.balanced([2, 2, 2], 0.5, rng)
    W = np.asarray(layers[1] @ layers[0])
    target[0] *= np.sign(np.linalg.det(W) * np.linalg.det(target))
    return Problem(Squared(target), layers, horizon)


@pytest.mark.parametrize("space", ["layers", pytest.param("spectral", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["kvaerno5", "auto"])
@pytest.mark.parametrize("seed", range(3))
def test_a_flow_at_rest_reaches_any_horizon_in_few_steps(space, method, seed) -> None:
    problem = drawn(seed, horizon=1e29)
    times = [0.0, *np.logspace(3, 29, 14)]
    found = solve(problem, space, times=times, method=method, max_steps=FEW, estimate_error=False)
    assert found.verdict is Verdict.CONVERGED
    np.testing.assert_array_equal(found.times, times)
    target = np.asarray(problem.loss.target)
    np.testing.assert_allclose(found.end_to_end[-3:], [target] * 3, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("rtol", [1e-8, 1e-11])
def test_rounding_in_the_stages_of_an_implicit_method_rejects_no_steps_for_long(rtol) -> None:
    """A mode that vanishes as e^{-λt}: log σ decreases for ever, and the rest of W is at rest."""
    rng = np.random.default_rng(2)
    target = rng.standard_normal((2, 2))
    problem = Problem(Squared(target), initialization.balanced([2] * 3, 0.5, rng), 1e4)
    times, choices = [0.0, 5e3, 1e4], {"rtol": rtol, "estimate_error": False}
    found = solve(problem, "spectral", times=times, method="kvaerno5", max_steps=FEW, **choices)
    assert found.verdict is Verdict.SADDLE
    largest, smallest = np.linalg.svd(target, compute_uv=False)
    assert found.singular_values[-1] == pytest.approx([largest, 0.0], abs=1e-9)
    # d log σ/dt = 2 uᵀ(Φ - W)v = -2 σ_2(Φ) at depth 2
    late = np.diff(found.log_singular_values[1:, 1])[0]
    assert late == pytest.approx(-2 * smallest * 5e3, rel=1e-9)


@pytest.mark.parametrize("unit", [1e12, pytest.param(1e-6, marks=pytest.mark.slow)])
def test_steps_of_an_implicit_method_do_not_depend_on_the_unit_of_time(unit) -> None:
    """ℓ = ½ c ‖W - Φ‖² at depth 1, whose solution Φ + (W(0) - Φ) e^{-ct} depends on ct alone."""
    target = np.array([[1.0, 2.0], [3.0, 4.0]])

    def loss(W):
        return 0.5 * unit * jnp.sum((W - target) ** 2)

    problem = Problem(loss, [np.zeros((2, 2))], 40 / unit)
    times = np.array([0.0, 1.0, 40.0]) / unit
    found = solve(problem, times=times, method="kvaerno5", max_steps=300, estimate_error=False)
    exact = -np.expm1(-unit * times)[:, None, None] * target
    np.testing.assert_allclose(found.end_to_end, exact, atol=1e-6)
    assert found.statistics.rejected < 10
