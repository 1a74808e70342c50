"""The closed form of modes: against quadrature, the equation itself, and where it holds."""

from __future__ import annotations

import exact
import numpy as np
import problems
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from flowsim.problem import initialization, losses
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.modes import ExactModes, mode

DEPTHS = [1, 2, 3, 4, 5, 8]


@given(
    st.sampled_from(DEPTHS),
    st.floats(-10, -1),
    st.floats(0.1, 30),
    st.floats(0.05, 3),
)
@settings(max_examples=80, deadline=None)
def test_agrees_with_the_closed_form_by_roots_of_unity(depth, log_start, phi, share) -> None:
    s_0 = phi * 10**log_start
    end = share * abs(exact.half_time(s_0, phi, depth))
    times = np.linspace(0, end, 5)
    # times are known to a rounding of the longest, during which s moves by Nφ^{2-2/N}·φ at most
    rounding = 8 * np.finfo(float).eps * end * depth * phi ** (3 - 2 / depth)
    np.testing.assert_allclose(
        mode(times, s_0, phi, depth),
        exact.mode(times, s_0, phi, depth),
        rtol=1e-11,
        atol=rounding,
    )


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("s_0", "phi"), [(0.1, 2.0), (3.0, 2.0), (1.5, 0.0)])
def test_solves_its_equation_from_below_from_above_and_towards_zero(depth, s_0, phi) -> None:
    times = np.linspace(0, 2, 9)
    wanted = solve_ivp(
        lambda _, s: depth * s ** (2 - 2 / depth) * (phi - s),
        (0, 2),
        [s_0],
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-14,
    ).y[0]
    np.testing.assert_allclose(mode(times, s_0, phi, depth), wanted, rtol=1e-9)


@pytest.mark.parametrize("depth", [3, 4, 7])
@pytest.mark.parametrize("s_0", [1e-3, 1e-9, 1e-12, 1e-15])
def test_long_plateaus_end_when_they_do_and_stay_learned(depth: int, s_0: float) -> None:
    exit_time = exact.half_time(s_0, 2.0, depth)
    times = exit_time * np.array([0.0, 0.5, 0.999, 1.0, 1.001, 2.0, 100.0])
    found = mode(times, s_0, 2.0, depth)
    a = 2 - 2 / depth
    rounding = 20 * np.finfo(float).eps * exit_time * depth * 2.0**a  # of the time, times the speed
    assert found[3] == pytest.approx(1.0, abs=1e-12 + rounding)
    # t = [s_0^{1-a} - s^{1-a}] / ((a-1) N φ) far below φ, a = 2 - 2/N
    early = (s_0 ** (1 - a) - (a - 1) * depth * 2.0 * times[1]) ** (1 / (1 - a))
    assert found[1] == pytest.approx(early, rel=1e-2)
    assert (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found[5:], 2.0, rtol=1e-13)


def test_from_beside_the_target_it_goes_there() -> None:
    for s_0 in (2.0 * (1 - 1e-13), 2.0 * (1 + 1e-13)):
        np.testing.assert_allclose(mode(np.array([0.0, 1.0, 50.0]), s_0, 2.0, 3), 2.0)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_rests_at_zero_and_at_the_target(depth) -> None:
    times = np.array([0.0, 1.0, 1e6])
    assert mode(times, 0.0, 2.0, depth).tolist() == [0.0] * 3
    assert mode(times, 2.0, 2.0, depth).tolist() == [2.0] * 3
    assert mode(times, 0.1, 2.0, depth)[-1] == pytest.approx(2.0, rel=1e-12)


def test_published_half_rises_of_the_hierarchy() -> None:
    """8-8-8, binary tree, ½‖·‖²: modes 8σ from 1e-3 half-rise at 1.405, 1.900 and 2.565."""
    for phi, wanted in ((8 * 0.125**0.5, 1.405), (2.0, 1.900), (8 * 0.03125**0.5, 2.565)):
        s = mode(np.array([wanted - 0.0005, wanted + 0.0005]), 1e-3, phi, 2)
        assert s[0] < phi / 2 < s[1]


class TestWhereItHolds:
    def test_an_aligned_balanced_start(self) -> None:
        case = problems.aligned(3)
        times = np.linspace(0, case.horizon, 20)
        found = ExactModes.of(case.problem)
        np.testing.assert_allclose(
            found.end_to_end(times), case.solution(times), rtol=0, atol=1e-10
        )
        assert found.strengths(times).shape == (20, 3)
        assert sorted(found.basis.phi) == pytest.approx([1, 2, 3])

    @pytest.mark.parametrize("widths", [(4, 3), (5, 2, 4), (3, 4, 4, 5)])
    def test_rectangular_and_narrow(self, widths) -> None:
        Phi = np.random.default_rng(0).standard_normal((widths[-1], widths[0]))
        problem = Problem(losses.Squared(Phi), initialization.aligned(widths, 0.1, Phi), 1.0)
        found = ExactModes.of(problem)
        rank = min(widths)
        np.testing.assert_allclose(found.end_to_end(np.zeros(1))[0], problem.initial, atol=1e-14)
        assert np.count_nonzero(found.basis.initial > 1e-12) == rank
        if len(widths) > 2:  # a mode that starts at zero stays there
            assert not np.any(found.strengths(np.array([50.0]))[0, found.basis.initial == 0])

    def test_modes_may_start_at_different_sizes(self) -> None:
        case = problems.aligned(2)
        layers = initialization.from_svd((3, 3, 3), case.U, np.array([0.3, 0.2, 0.1]), case.Vt)
        found = ExactModes.of(Problem(case.problem.loss, layers, 1.0))
        assert found.basis.initial == pytest.approx([0.3, 0.2, 0.1])

    def test_with_weight_decay_at_depth_2(self) -> None:
        """ṡ = 2s(h(φ - s) - λ): a logistic curve to φ - λ/h, or to 0; λ alone where h = 0."""
        Phi, times = np.diag([3.0, 1.0, 0.5, 0.2]), np.linspace(0, 4, 9)
        layers = initialization.from_svd(
            (4, 4, 4), np.eye(4), np.array([0.3, 0.2, 0.4, 0.5]), np.eye(4)
        )
        seen = np.diag([1.0, 1.0, 1.0, 0.0])
        problem = Problem(losses.Completion(Phi, seen), layers, 4.0, 0.5)
        found = ExactModes.of(problem)
        wanted = solve_ivp(
            lambda _, s: 2 * s * (np.diag(seen) * (np.diag(Phi) - s) - 0.5),
            (0, 4),
            [0.3, 0.2, 0.4, 0.5],
            method="DOP853",
            t_eval=times,
            rtol=1e-12,
            atol=1e-14,
        ).y
        found = np.diagonal(found.end_to_end(times), axis1=1, axis2=2).T
        np.testing.assert_allclose(found, wanted, rtol=1e-9)

    def test_not_elsewhere(self) -> None:
        case = problems.aligned(2)
        Phi, layers = case.problem.loss.Phi, case.problem.layers
        rng = np.random.default_rng(0)
        elsewhere = {
            "the loss is CrossEntropy": Problem(
                losses.CrossEntropy(np.eye(3), np.arange(3)), layers, 1.0
            ),
            "weight decay at any depth but N = 2, and N = 3": Problem(
                losses.Squared(Phi), problems.aligned(3).problem.layers, 1.0, 0.1
            ),
            "balanced": Problem(losses.Squared(Phi), (layers[0], 2 * layers[1]), 1.0),
            "aligned": Problem(
                losses.Squared(Phi), initialization.balanced((3, 3, 3), 0.1, rng), 1.0
            ),
            "mixes them": Problem(
                losses.Sensing(np.diag([3.0, 2.0, 1.0]), np.eye(3)[None]),
                initialization.identity((3, 3, 3), 0.1),
                1.0,
            ),
        }
        for reason, problem in elsewhere.items():
            with pytest.raises(NotApplicable, match=reason):
                ExactModes.of(problem)
