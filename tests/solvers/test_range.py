"""Descent on a loss without a lower bound, up to the largest numbers."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.problem.losses import Linear, Squared
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.solve import solve
from flowsim.solvers.verdict import Verdict

GROWING = Problem(Linear(np.array([[1.0]])), [[[1.0]], [[1.0]]], 400.0)
"""ℓ = -w with two layers of 1: at η = 1 each iterate doubles both, so that W_k = 4^k."""


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_descent_that_grows_without_bound_leaves_the_range_with_finite_values(precision) -> None:
    found = descend(GROWING, [1.0], np.arange(401.0), precision=precision)
    # the first power of 4 above 1e140, and above float32's largest number
    last = {"float64": 233, "float32": 64}[precision]
    assert found.outcome == ("diverged",)
    assert found.endings[0].verdict is Verdict.OUT_OF_RANGE
    assert found.endings[0].at == last
    W = found.singular_values[0, :, 0]
    np.testing.assert_array_equal(W[:last], 4.0 ** np.arange(last))
    assert np.isnan(W[last:]).all()
    for values in (found.squared_norm, found.imbalance, found.end_to_end):
        assert np.isfinite(values[0, :last]).all()
        assert np.isnan(values[0, last:]).all()


def test_a_step_too_large_for_a_bounded_loss_diverges() -> None:
    problem = Problem(Squared([[1.0]]), [[[2.0]], [[2.0]]], 10.0)
    (ending,) = descend(problem, [1.0], np.arange(11.0)).endings
    assert ending.verdict is Verdict.DIVERGED


@pytest.mark.parametrize("method", ["auto", "kvaerno5"])
def test_a_flow_whose_first_velocity_squares_beyond_the_range_ends_at_once(method) -> None:
    problem = Problem(Squared([[1e150]]), [[[1.0]], [[1.0]]], 10.0)
    found = solve(problem, method=method, estimate_error=False)
    assert found.verdict is Verdict.OUT_OF_RANGE
    assert found.ending.at == 0.0
    assert found.statistics.rejected == 1


def test_the_largest_weight_decay_takes_the_layers_to_0() -> None:
    problem = Problem(Squared(np.eye(2)), [0.5 * np.eye(2)] * 2, 10.0, weight_decay=1e140)
    found = solve(problem, method="kvaerno5", estimate_error=False, max_steps=1000)
    assert found.verdict is Verdict.CONVERGED
    assert found.loss[-1] == 1.0
    assert not found.singular_values[1:].any()
