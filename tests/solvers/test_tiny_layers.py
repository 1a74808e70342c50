"""Layers and end-to-end matrices whose squares are below float64's range."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.methods.tolerances import Tolerances
from flowsim.solvers.solve import solve
from flowsim.theory.exact.solutions import exact_solution

PHI = np.array([2.0, 1.0])


def aligned(size: float) -> Problem:
    """Return ½‖W - diag(2, 1)‖² from two equal layers, up to twice the exit of the first mode."""
    layer = size * np.diag([1.0, 0.5])
    return Problem(Squared(np.diag(PHI)), (layer, layer), -2 * np.log(size))


def solution(problem: Problem, times: np.ndarray) -> np.ndarray:
    """Return s(t) of both modes (Saxe et al. 2014), from log s(0), which does not underflow."""
    log_start = 2 * np.log(np.diag(problem.layers[0]))
    exponent = np.log(PHI) - log_start - 2 * PHI * times[:, None]
    return PHI / (1 + np.exp(np.clip(exponent, -700, 700)))


@pytest.mark.parametrize("size", [1e-74, 1e-170, 1e-290])
@pytest.mark.parametrize("space", ["layers", "spectral"])
def test_tiny_layers_grow_at_the_right_time(size, space) -> None:
    """σ_1 stayed at the size of the start, with an error estimate of 0."""
    problem = aligned(size)
    times = np.linspace(0, problem.horizon, 9)
    found = solve(problem, space, times=times, method="tsit5", rtol=1e-6, max_steps=200_000)
    error = np.abs(found.singular_values - solution(problem, times)).max()
    assert found.singular_values[-1] == pytest.approx(PHI, abs=1e-4)
    assert error < 3 * found.largest_error < 1e-2


@pytest.mark.parametrize("space", ["end_to_end", "modes"])
def test_a_matrix_whose_square_underflows_grows_at_the_right_time(space) -> None:
    problem = aligned(1e-140)
    times = np.linspace(0, problem.horizon, 5)
    found = solve(problem, space, times=times, method="tsit5", rtol=1e-5, estimate_error=False)
    assert found.singular_values == pytest.approx(solution(problem, times), abs=1e-2)


def test_what_float64_cannot_hold_is_refused_with_the_smallest_size() -> None:
    with pytest.raises(ValueError, match="W_2 must be 0 or have an entry of at least 1e-291"):
        Problem(Squared(np.eye(2)), (np.eye(2), 1e-300 * np.eye(2)), 1.0)
    for space in ("end_to_end", "modes"):
        with pytest.raises(NotApplicable, match=f"{space}: W.0. must .* at least 1e-291"):
            solve(aligned(1e-170), space)
    unbalanced = Problem(Squared(np.eye(2)), (1e-170 * np.eye(2), 2e-170 * np.eye(2)), 1.0)
    with pytest.raises(NotApplicable, match="largest is about 1e-340; take"):
        solve(unbalanced, "spectral")
    assert exact_solution(aligned(1e-170)) is None


def test_descent_takes_any_size_that_its_precision_holds() -> None:
    times = np.array([0.0, 500.0])
    problem = aligned(1e-170)
    assert descend(problem, [0.1], times).singular_values[0, -1] == pytest.approx(PHI)
    with pytest.raises(ValueError, match="at least 1e-31, below which float32 loses digits"):
        descend(problem, [0.1], times, precision="float32")
    zero = Problem(Squared(np.eye(2)), (np.zeros((2, 2)), np.zeros((2, 2))), 1.0)
    assert descend(zero, [0.1], times, precision="float32").outcome == ("completed",)


@pytest.mark.parametrize("size", [1e-100, 1e-200])
def test_balance_and_scales_are_relative_at_any_size(size) -> None:
    balanced, not_balanced = np.eye(2), np.diag([1.0, 2.0])
    assert network.is_balanced((size * balanced, size * balanced))
    assert network.balance_defect((size * balanced, size * not_balanced)) == pytest.approx(3 / 5)
    assert Tolerances().scales((size * not_balanced,)) == pytest.approx([size * np.sqrt(1.25)])
    assert network.log_size((size * balanced, -size * not_balanced)) == pytest.approx(
        2 * np.log(size) + np.log(2)
    )
