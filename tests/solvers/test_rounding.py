"""Solutions that rounding has decided, against those that conserve what the exact flow does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from flowsim.problem import initialization, network
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.solvers import rounding
from flowsim.solvers.solve import solve
from flowsim.solvers.verdict import Verdict

HORIZON = 60.0
TARGET = np.diag([2.0, 1.0])


def negative_start() -> Problem:
    """Return balanced layers in general position with det W < 0, beside a target with det > 0.

    The exact flow ends in the saddle diag(2, 0), at a loss of ½.
    """
    U, V = (ortho_group.rvs(2, random_state=seed) for seed in (0, 1))
    U[:, 1] *= -np.sign(np.linalg.det(U) * np.linalg.det(V))
    layers = initialization.from_svd([2, 2, 2], U, np.array([0.5, 0.25]), V.T)
    return Problem(Squared(TARGET), layers, HORIZON)


def start_of_rank_1(factor: float = 1.0) -> Problem:
    """Return layers of rank 1 through a hidden direction in general position."""
    hidden, u, v = ortho_group.rvs(2, size=3, random_state=3)[:, :, 0]
    layers = (factor * 0.7 * np.outer(hidden, v), 0.7 * np.outer(u, hidden))
    return Problem(Squared(TARGET), layers, HORIZON)


@pytest.mark.parametrize("problem", [negative_start(), start_of_rank_1(), start_of_rank_1(2.0)])
def test_layers_that_rounding_leads_out_of_a_saddle_have_no_finite_error_estimate(problem) -> None:
    found = solve(problem, times=np.linspace(0, HORIZON, 25), method="tsit5", rtol=1e-8)
    decided = found.decided_by_rounding_from
    assert found.loss[-1] < 1e-10
    assert found.verdict is Verdict.DECIDED_BY_ROUNDING
    assert found.ending.at == decided
    # the smaller mode of the layers grows from one rounding as e^t
    assert 0 < decided < 50
    assert np.isinf(found.error_estimate[found.times >= decided]).all()
    assert np.isfinite(found.error_estimate[found.times < decided]).all()


def test_before_rounding_decides_the_error_is_within_three_times_the_estimate() -> None:
    """Against the spectral space, which keeps the sign of det W and stays at the saddle."""
    problem, times = negative_start(), np.linspace(0, HORIZON, 49)
    found = solve(problem, times=times, method="tsit5", rtol=1e-8)
    exact = solve(problem, "spectral", times=times, method="tsit5", rtol=1e-8)
    assert exact.loss[-1] == pytest.approx(0.5)
    assert exact.decided_by_rounding_from is None
    error = np.linalg.norm(found.end_to_end - exact.end_to_end, axis=(1, 2))
    assert (error <= 3 * found.error_estimate + exact.error_estimate).all()


def test_a_saddle_that_rounding_does_not_leave_is_no_decision() -> None:
    """With exact zeros in the second hidden unit nothing leaks."""
    layers = (np.array([[0.7, 0.1], [0.0, 0.0]]), np.array([[0.7, 0.0], [0.1, 0.0]]))
    found = solve(Problem(Squared(TARGET), layers, HORIZON), method="tsit5")
    assert found.decided_by_rounding_from is None
    assert np.isfinite(found.error_estimate).all()


def test_the_proven_error_is_the_distance_to_what_is_conserved() -> None:
    sigma = np.array([[2.0, 0.5], [2.0, 0.1], [2.0, 0.3]])
    signs = np.array([-1.0, -1.0, 1.0])
    of_sign = rounding.proven_error(negative_start(), "layers", sigma, signs)
    assert of_sign.tolist() == [0.0, 0.0, 0.3]
    of_rank = rounding.proven_error(start_of_rank_1(), "layers", sigma, signs)
    assert of_rank.tolist() == [0.5, 0.1, 0.3]
    times = np.array([0.0, 1.0, 2.0])
    assert rounding.decided_from(times, of_sign, sigma) == 2.0
    assert rounding.decided_from(times, 0.01 * of_sign, sigma) is None


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0])
def test_the_closed_width_is_the_rank_of_balanced_layers(scale) -> None:
    rng = np.random.default_rng(0)
    for widths, rank in [((4, 5, 4), 2), ((3, 6, 6, 3), 1), ((3, 4, 2, 5), 2)]:
        U, V = (
            ortho_group.rvs(widths[-1], random_state=1),
            ortho_group.rvs(widths[0], random_state=2),
        )
        sigma = np.array([1.0, 0.3])[:rank] * scale
        layers = initialization.from_svd(widths, U[:, :rank], sigma, V.T[:rank])
        H = ortho_group.rvs(widths[1], random_state=rng)
        layers = (H @ layers[0], layers[1] @ H.T, *layers[2:])
        assert network.closed_width(layers) == rank


def test_the_closed_width_of_layers_in_general_position_is_the_narrowest() -> None:
    layers = initialization.gaussian([4, 6, 3, 5], 1.0, np.random.default_rng(0))
    assert network.closed_width(layers) == 3
    # two hidden units that see and do the same stay alike, whatever the loss
    twins = (layers[0], layers[1][:, [0, 0, 1, 1, 1, 1]], layers[2])
    alike = (twins[0][[0, 0, 1, 1, 1, 1]], twins[1], twins[2])
    assert network.closed_width(alike) == 2
