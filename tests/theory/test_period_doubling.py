"""Descent of one mode past its critical step size, against the map and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.problem import initialization
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.theory.oscillation.period_doubling import (
    amplitude_near,
    critical_step_size,
    multiplier,
    second_doubling,
    sign_change,
    step,
    two_cycle,
)

DEPTHS = pytest.mark.parametrize("depth", [2, 3, 4, 6])


@DEPTHS
def test_the_map_is_descent_of_an_aligned_mode(depth) -> None:
    """A mode of any target, in its own units of strength and step size."""
    phi = np.array([3.0, 0.7])
    layers = initialization.identity([2] * (depth + 1), 0.4)
    x = 0.9
    etas = x * critical_step_size(phi, depth)
    found = descend(Problem(Squared(np.diag(phi)), layers, 1.0), etas, np.array([0.0, 5 * etas[0]]))
    for r in range(2):
        u = 0.4 ** (1 / depth) / phi[r] ** (1 / depth)
        for _ in range(int(found.iteration[r, -1])):
            u = step(u, x, depth)
        assert found.end_to_end[r, -1, r, r] == pytest.approx(phi[r] * u**depth, rel=1e-12)


@DEPTHS
def test_the_multiplier_is_the_slope_and_the_hessian_says_the_same(depth) -> None:
    u, x, h = 0.8, 1.3, 1e-6
    slope = (step(u + h, x, depth) - step(u - h, x, depth)) / (2 * h)
    assert multiplier(u, x, depth) == pytest.approx(slope, abs=1e-8)
    assert multiplier(1.0, x, depth) == pytest.approx(1 - 2 * x)


@DEPTHS
@pytest.mark.parametrize("x", [1.0001, 1.05, 1.2])
def test_a_two_cycle_comes_back_and_draws_iterates(depth, x) -> None:
    cycle = two_cycle(x, depth)
    assert cycle.low < 1 < cycle.high
    assert step(cycle.high, x, depth) == pytest.approx(cycle.low, abs=1e-12)
    assert cycle.stable
    u = cycle.low + 1e-3 * (cycle.high - cycle.low)
    for _ in range(10):
        u = step(step(u, x, depth), x, depth)
    off = 1e-3 * (cycle.high - cycle.low)
    # to first order it is nearer by the multiplier each time; second order is 1e-3 of that
    assert abs(u - cycle.low) == pytest.approx(
        off * abs(cycle.multiplier) ** 10, rel=0.05, abs=1e-12
    )


def test_two_layers_have_it_in_closed_form() -> None:
    """N = 2: f(u) = v and f(v) = u, added and subtracted, give u² - uv + v² = 1 and xuv = 1.

    The multiplier (1 - x(3u² - 1))(1 - x(3v² - 1)) is then 9 - 2(1 + x)², and -1 at x = √5 - 1.
    """
    for x in (1.01, 1.2, 1.5):
        low, high, slope = two_cycle(x, 2)
        assert slope == pytest.approx(9 - 2 * (1 + x) ** 2, abs=1e-10)
        assert low * high == pytest.approx(1 / x, rel=1e-12)
        assert low**2 + high**2 == pytest.approx(1 + 1 / x, rel=1e-12)
    assert second_doubling(2) == pytest.approx(np.sqrt(5) - 1, rel=1e-10)


@DEPTHS
def test_the_swing_grows_as_a_square_root(depth) -> None:
    """The next term is of relative order x - 1: halving it halves the error."""
    errors = []
    for beyond in (2e-3, 1e-3):
        low, high, _ = two_cycle(1 + beyond, depth)
        swing = (high**depth - low**depth) / 2
        errors.append(swing / amplitude_near(1 + beyond, depth) - 1)
    assert abs(errors[1]) < 1e-2
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)


@DEPTHS
def test_past_the_second_doubling_the_two_cycle_is_left(depth) -> None:
    x = second_doubling(depth)
    assert two_cycle(x - 1e-4, depth).stable
    assert not two_cycle(x + 1e-4, depth).stable


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_a_mode_keeps_its_sign_up_to_where_the_largest_value_goes_to_0(depth) -> None:
    """Nothing above 0 leaves it before, whatever the start; and something does after."""
    edge = sign_change(depth)
    starts = np.linspace(1e-3, 1.0, 20001)
    kept, lost = (step(step(starts, x, depth), x, depth).min() for x in (edge - 1e-3, edge + 1e-3))
    assert kept > 0
    assert lost < 0


def test_for_odd_depth_a_mode_that_jumps_below_0_collapses() -> None:
    u = -0.3
    for _ in range(3000):
        u = float(step(u, 1.9, 3))
    assert -1e-3 < u < 0
    assert sign_change(3) == pytest.approx(1.8305, abs=1e-4)


def test_below_the_edge_and_for_one_layer_there_is_none() -> None:
    assert np.isnan(two_cycle(0.99, 3).low)
    assert np.isnan(two_cycle(1.5, 1).low)
    assert not two_cycle(1.5, 1).stable
    for threshold in (second_doubling, sign_change):
        with pytest.raises(ValueError, match="One layer is a linear map"):
            threshold(1)
    assert critical_step_size(np.array([10.0, 0.0]), 3) == pytest.approx(
        [2 / (3 * 10 ** (4 / 3)), np.inf]
    )
