"""Methods: orders of convergence, errors against tolerances, and what is refused."""

from __future__ import annotations

import exact
import numpy as np
import problems
import pytest

from flowsim.dynamics.layers import LayerFlow
from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.solvers.methods import METHODS, first_choice, named
from flowsim.solvers.methods.tolerances import LARGEST_RTOL, SMALLEST_RTOL, Tolerances
from flowsim.solvers.solve import solve
from flowsim.solvers.stepper import Integrator
from flowsim.solvers.system import ScaledFlow

SPACES = ("layers", "end_to_end")
ORDERS = {
    "tsit5": 5, "dopri5": 5, "dopri8": 8, "rkc2": 2, "rock4": 4, "kvaerno5": 5, "rodas4": 4,
    "rodas5p": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def unaligned() -> Problem:
    rng = np.random.default_rng(1)
    layers = initialization.lambda_balanced((3, 3, 3), 0.5, 0.3, rng)
    Phi = rng.standard_normal((3, 3))
    return Problem(losses.Squared(Phi / np.linalg.norm(Phi, 2)), layers, 2.0)


def constant_steps(problem: Problem, method: str, steps: int, rtol: float) -> np.ndarray:
    """Return W at the horizon after that many equal steps of the method in layer space."""
    flow = LayerFlow.of(problem)
    # an absolute tolerance equal to rtol makes every scale 1
    system = ScaledFlow.of(flow, problem, problem.layers, Tolerances(rtol, atol=rtol))
    integrator = Integrator.of(system, rtol, METHODS[method])
    y, h = system.scaled(flow.initial_state(problem)), problem.horizon / steps
    for k in range(steps):
        y = integrator.single_step(np.asarray(k * h), y, np.asarray(h))
    return np.asarray(system.end_to_end(y))


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("tsit5", (32, 64)),
        ("dopri5", (32, 64)),
        ("dopri8", (6, 12)),
        ("rkc2", (64, 128)),
        ("rock4", (32, 64)),
        ("kvaerno5", (32, 64)),
        ("rodas4", (32, 64)),
        ("rodas5p", (16, 32)),
    ],
)
def test_order_of_convergence(unaligned, method, steps) -> None:
    wanted = exact.unaligned(np.array([2.0]), *unaligned.layers, unaligned.loss.Phi)[0]
    rtol = 1e-13  # for the Newton iterations of implicit methods alone: steps are fixed here
    coarse, fine = (
        np.linalg.norm(constant_steps(unaligned, method, n, rtol) - wanted) for n in steps
    )
    assert METHODS[method].order == ORDERS[method]
    assert fine > 1e-13, "the slope is of truncation, not of rounding"
    assert np.log2(coarse / fine) == pytest.approx(ORDERS[method], abs=0.3)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_meets_its_tolerance_in_every_space(method, space) -> None:
    case = problems.aligned(2, 1e-3)
    times = np.linspace(0, case.horizon, 13)
    rtol = 1e-7
    trajectory = solve(
        case.problem, space, method=method, rtol=rtol, times=times, estimate_error=False
    )
    # relative errors of rtol a step, some tens of steps on the plateau, not forgotten there
    # RKC2's estimate is of the local error h³ itself, so that its error goes with rtol^(2/3)
    power = 2 / 3 if method == "rkc2" else 1
    assert case.error(trajectory).max() < 300 * rtol**power * case.size
    assert trajectory.method == method


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", ["tsit5", "dopri8"])
def test_error_is_proportional_to_the_tolerance(method, space) -> None:
    """Over six problems: in one alone, the errors of the steps cancel by chance."""
    tolerances = 10.0 ** np.arange(-5, -11.5, -1)
    rng = np.random.default_rng(0)
    logs = np.zeros((6, tolerances.size))
    for i in range(6):
        case = problems.aligned(2, 1e-3, rng.uniform(0.5, 3, 3), seed=rng)
        times = np.linspace(0, case.horizon, 4)
        for j, rtol in enumerate(tolerances):
            choices = {"method": method, "rtol": rtol, "times": times}
            found = solve(case.problem, space, **choices, estimate_error=False)
            logs[i, j] = np.log10(case.error(found).max())
    slope = np.polyfit(np.log10(tolerances), logs.mean(axis=0), 1)[0]
    assert slope == pytest.approx(1, abs=0.1)


class TestScales:
    @pytest.mark.parametrize("space", SPACES)
    @pytest.mark.parametrize("depth", [2, 3])
    def test_a_tiny_start_leaves_the_plateau_on_time(self, depth, space) -> None:
        case = problems.aligned(depth, 1e-16, horizon=1.0)
        exit_time = exact.half_time(case.scale, 3.0, depth)
        times = exit_time * np.array([0, 0.5, 1.0])
        trajectory = solve(
            case.problem, space, method="tsit5", rtol=1e-8, times=times, estimate_error=False
        )
        first = trajectory.singular_values[-1, 0]
        # there ṡ = N s^{2-2/N} φ/2, and s(exit) = φ/2: the time it is late by
        late = (1.5 - first) / (depth * 1.5 ** (3 - 2 / depth))
        assert abs(late) < 1e-6 * exit_time

    def test_an_absolute_tolerance_above_the_start_misplaces_the_exit(self) -> None:
        """What the default is for: nothing in the error control sees the start any more."""
        case = problems.aligned(2, 1e-16, horizon=1.0)
        exit_time = exact.half_time(case.scale, 3.0, 2)
        choices = {"method": "tsit5", "rtol": 1e-6, "times": [0.0, exit_time]}
        late = solve(case.problem, **choices, atol=1e-3, estimate_error=False)
        right = solve(case.problem, **choices, estimate_error=False)
        assert abs(right.singular_values[-1, 0] - 1.5) < 1e-3
        assert abs(late.singular_values[-1, 0] - 1.5) > 1e-2

    def test_are_the_sizes_of_the_starting_matrices(self) -> None:
        state = (np.full((2, 3), 3.0), np.array([[0.3, -0.4]]), np.zeros((2, 2)))
        scales = Tolerances(1e-6).scales(state)
        assert scales == pytest.approx((3.0, np.sqrt(0.125), 3.0))
        assert Tolerances(1e-6).scales((np.zeros((2, 2)),)) == (1.0,)

    def test_follow_a_given_absolute_tolerance(self) -> None:
        scales = Tolerances(1e-6, atol=1e-9).scales((np.ones((2, 2)), np.zeros((2, 2))))
        assert scales == pytest.approx((1e-3, 1e-3))

    def test_layers_of_very_different_size_are_each_resolved(self) -> None:
        """W_1 at 1e-6 under W_2 at 1: one absolute tolerance for both would drown W_1."""
        rng = np.random.default_rng(1)
        W_1, W_2 = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2))
        W_1, Phi = 1e-6 * W_1, rng.standard_normal((3, 3))
        times = np.array([0.0, 1e-7, 1.0])
        problem = Problem(losses.Squared(Phi), (W_1, W_2), 1.0)
        wanted = exact.unaligned(times, W_1, W_2, Phi)
        found = solve(problem, times=times, rtol=1e-8, method="tsit5", estimate_error=False)
        errors = np.linalg.norm(found.end_to_end - wanted, axis=(1, 2))
        assert np.all(errors < 1e-6 * np.linalg.norm(wanted, axis=(1, 2)))


class TestChoosing:
    def test_auto_takes_the_higher_order_for_tight_tolerances(self) -> None:
        assert first_choice("auto", 1e-6).name == "tsit5"
        assert first_choice("auto", 1e-8).name == "tsit5"
        assert first_choice("auto", 1e-10).name == "dopri8"

    @pytest.mark.parametrize("name", METHODS)
    def test_a_name_is_taken_at_any_tolerance(self, name) -> None:
        assert first_choice(name, 1e-3) is first_choice(name, 1e-12) is METHODS[name]

    def test_implicit_methods_have_no_stability_limit(self) -> None:
        implicit = [name for name, method in METHODS.items() if method.family == "implicit"]
        assert implicit == ["kvaerno5", "rodas4", "rodas5p"]

    def test_every_method_names_its_source(self) -> None:
        assert all(method.reference[-4:].isdigit() for method in METHODS.values())

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("tsit6", "There is no method 'tsit6'; did you mean 'tsit5'"),
            ("euler", "There is no method 'euler'; choose from auto, tsit5, dopri5"),
        ],
    )
    def test_an_unknown_name_is_refused_with_the_nearest(self, name, said) -> None:
        with pytest.raises(ValueError, match=said):
            named(name)


class TestRefusedTolerances:
    @pytest.mark.parametrize("rtol", [1e-14, 0.0, -1e-6, 0.2, 1e6, np.nan, np.inf])
    def test_rtol(self, rtol) -> None:
        with pytest.raises(ValueError, match=r"rtol must lie between 2\.2e-14"):
            Tolerances(rtol)

    @pytest.mark.parametrize("atol", [0.0, -1.0, np.nan, np.inf])
    def test_atol(self, atol) -> None:
        with pytest.raises(ValueError, match="atol must be finite and greater than 0, but is"):
            Tolerances(1e-6, atol)

    def test_the_limits_themselves_are_taken(self) -> None:
        Tolerances(SMALLEST_RTOL)
        Tolerances(LARGEST_RTOL)
