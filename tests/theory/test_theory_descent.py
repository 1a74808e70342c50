"""Descent on quadratics at depth 1: powers of a matrix, against a plain loop and `descend`."""

from __future__ import annotations

import exact
import numpy as np
import problems
import pytest

from flowsim.problem import losses
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.theory.exact.quadratic import LinearFlow


def principal_flow() -> Problem:
    """Return θᵀAθ, A = diag(1, 0.01), from (-0.35, -0.2) (Rosca et al. 2023)."""
    R = np.sqrt(2 * np.diag([1.0, 0.01]))
    loss = losses.LeastSquares(R, np.zeros((1, 2)), np.asarray(0.0))
    return Problem(loss, (np.array([[-0.35, -0.2]]),), 10.0)


@pytest.mark.parametrize("eta", [0.1, 0.9, 1.05])
def test_the_principal_flow_quadratic(eta) -> None:
    counts = np.array([0, 1, 2, 7, 30])
    problem = principal_flow()
    found = LinearFlow.of(problem).iterates(eta, counts)[:, 0]
    wanted = exact.quadratic_descent(np.diag([1.0, 0.01]), problem.initial[0], eta, counts)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_iterates_are_those_of_a_loop(weight_decay) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
    loss, W = losses.LeastSquares.from_data(X, Y), rng.standard_normal((3, 4))
    found = LinearFlow.of(Problem(loss, (W,), 1.0, weight_decay))
    for _ in range(9):
        W = W - 0.1 * ((W @ X - Y) @ X.T / 2 + weight_decay * W)
    np.testing.assert_allclose(found.iterates(0.1, np.array([9]))[0], W, atol=1e-13)


def test_descend_takes_these_steps() -> None:
    problem, times = principal_flow(), np.linspace(0, 10, 11)
    run = descend(problem, [0.4, 1.02], times)
    found = LinearFlow.of(problem)
    for eta, counts, W in zip(run.step_sizes, run.iteration, run.end_to_end, strict=True):
        np.testing.assert_allclose(W, found.iterates(eta, counts), rtol=1e-13)


def test_says_where_it_does_not_apply() -> None:
    with pytest.raises(NotApplicable, match="1 layer"):
        LinearFlow.of(problems.balanced((3, 3, 3)))
    logistic = losses.Logistic(np.ones((3, 2)), np.ones((1, 2)))
    with pytest.raises(NotApplicable, match="linear in W"):
        LinearFlow.of(Problem(logistic, (np.ones((1, 3)),), 1.0))
