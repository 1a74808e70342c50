"""The error estimate against the true error, on closed forms and through plateaus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import problems
import pytest

from flowsim import error_estimate
from flowsim.problem import Problem
from flowsim.solving import solve

CASES = 64
ROUNDING = 1e-14
"""Below this, relative to Φ, a true error is that of the closed form: floor it there."""


@dataclass(frozen=True)
class Outcome:
    """One solve: what its largest true error was and what it was estimated to be."""

    name: str
    error: float
    estimate: float
    error_by_time: np.ndarray
    estimate_by_time: np.ndarray


def outcome(rng: np.random.Generator) -> Outcome:
    depth = int(rng.choice([2, 3]))
    space = str(rng.choice(["layers", "end_to_end"]))
    method = str(rng.choice(["tsit5", "dopri8"]))
    scale, rtol = 10 ** rng.uniform(-10, -2), 10 ** rng.uniform(-10, -4)
    case = problems.aligned(depth, scale, rng.uniform(0.5, 3, 3), seed=rng)
    times = np.linspace(0, case.horizon, int(rng.choice([3, 5, 20, 60])))
    found = solve(case.problem, space, method=method, rtol=rtol, times=times)
    error = np.maximum(case.error(found), ROUNDING * case.size)
    name = f"N = {depth}, {space}, {method}, start {scale:.1e}, rtol {rtol:.1e}, {times.size} times"
    return Outcome(name, error.max(), found.largest_error, error, found.error_estimate)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Solve from starts of 1e-10 to 1e-2 to three times the first exit from the plateau."""
    rng = np.random.default_rng(2024)
    return [outcome(rng) for _ in range(CASES)]


def test_the_true_error_is_under_three_times_the_estimate(outcomes) -> None:
    missed = [o for o in outcomes if not o.error < 3 * o.estimate]
    said = "\n".join(f"{o.name}: {o.error:.1e} against {o.estimate:.1e}" for o in missed)
    assert len(missed) <= 0.05 * CASES, said


def test_so_it_is_at_single_times(outcomes) -> None:
    held = np.concatenate([o.error_by_time < 3 * o.estimate_by_time + 1e-13 for o in outcomes])
    assert held.mean() > 0.95


def test_the_estimate_is_under_a_hundred_times_the_error_in_the_median(outcomes) -> None:
    assert np.median([o.estimate / o.error for o in outcomes]) < 100


def test_it_is_known_at_every_time_of_a_completed_flow(outcomes) -> None:
    assert all(np.isfinite(o.estimate_by_time).all() for o in outcomes)


class TestWhatRoundingDecides:
    def test_a_rank_1_start_aligned_with_a_lower_mode(self) -> None:
        """The exact flow ends in a saddle; layers hold enough rounding to leave it by t = 40."""
        case = problems.aligned(2)
        r = 1
        W_1 = 0.1 * np.outer(np.eye(3)[0], case.Vt[r])
        W_2 = 0.1 * np.outer(case.U[:, r], np.eye(3)[0])
        problem = Problem(case.problem.loss, (W_1, W_2), 100.0)
        times = np.linspace(0, 100, 41)
        found = solve(problem, times=times, method="tsit5", rtol=1e-8)
        saddle = 2.0 * np.outer(case.U[:, r], case.Vt[r])
        away = np.linalg.norm(found.end_to_end[-1] - saddle)
        if away > 0.1:  # rounding did let it go: then the estimate must have seen it
            assert found.largest_error > 0.1


class TestCost:
    def test_it_may_be_left_out(self) -> None:
        case = problems.aligned(2)
        found = solve(case.problem, method="tsit5", rtol=1e-6, estimate_error=False)
        assert np.isnan(found.error_estimate).all()
        assert np.isnan(found.largest_error)
        assert found.statistics.error_estimate == 0

    def test_it_does_not_change_the_solution(self) -> None:
        case = problems.aligned(2)
        choices = {"method": "tsit5", "rtol": 1e-6, "times": np.linspace(0, 3, 9)}
        with_it = solve(case.problem, **choices)
        without = solve(case.problem, **choices, estimate_error=False)
        np.testing.assert_array_equal(with_it.end_to_end, without.end_to_end)
        assert with_it.statistics.error_estimate > 0

    def test_matrices_too_many_to_hold_are_compared_at_fewer_times(self, monkeypatch) -> None:
        problem = problems.aligned(2).problem
        assert error_estimate.compared_times(10, problem).all()
        monkeypatch.setattr(error_estimate, "LARGEST_COMPARISON", 4 * 8 * 9)
        marked = error_estimate.compared_times(100, problem)
        assert np.flatnonzero(marked).tolist() == [0, 25, 50, 75, 99]
        choices = {"method": "tsit5", "rtol": 1e-6, "times": np.linspace(0, 3, 100)}
        found = solve(problem, **choices, keep=np.zeros(100, dtype=bool))
        assert found.kept.tolist() == [99]
        assert np.isfinite(found.error_estimate).all()


@pytest.mark.parametrize(
    ("count", "halves"),
    [(2, [[0, 1]]), (3, [[0, 2], [0, 1, 2]]), (6, [[0, 2, 4, 5], [0, 1, 3, 5]])],
)
def test_every_time_is_seen_by_a_solution_that_skips_its_neighbours(count, halves) -> None:
    found = error_estimate._halves(count)
    assert [half.tolist() for half in found] == halves


def test_between_two_compared_times_it_is_the_larger_neighbour() -> None:
    spread = error_estimate._spread(np.array([0, 2, 5]), np.array([1.0, 3.0, 2.0]))
    assert spread.tolist() == [1.0, 3.0, 3.0, 3.0, 3.0, 2.0]


def test_a_stop_on_the_loss_is_covered() -> None:
    case = problems.aligned(2)
    times = np.linspace(0, 6, 14)
    found = solve(case.problem, times=times, method="tsit5", rtol=1e-6, stop_at_loss=1e-3)
    assert found.times.size < 14
    assert np.isfinite(found.error_estimate).all()
    assert case.error(found).max() < 3 * found.largest_error
