"""The error estimate against the true error, on closed forms and through plateaus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import problems
import pytest
from error_estimates import Result, measured
from plateaus import Case, drawn

from flowsim.problem.problem import Problem
from flowsim.solvers import error_estimate
from flowsim.solvers.methods import METHODS
from flowsim.solvers.solve import solve

CASES = 16
SHAPES = ((3, 3, 3), (3, 3, 3, 3))
SAMPLES = 20


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """Solve a sample of `benchmarks/error_estimates.py`, in few shapes."""
    return [measured(case(seed)) for seed in range(CASES)]


def case(seed: int) -> Case:
    rng = np.random.default_rng([2024, seed])
    any_shape = drawn(rng, ["tsit5"], ["layers", "end_to_end"], (1e-10, 1e-3))
    return replace(any_shape, widths=SHAPES[seed % 2], samples=SAMPLES)


def test_the_true_error_is_under_three_times_the_estimate(results) -> None:
    missed = [str(result) for result in results if not result.covered]
    assert len(missed) <= 0.05 * CASES, "\n".join(missed)


def test_the_estimate_is_under_a_hundred_times_the_error_in_the_median(results) -> None:
    assert np.median([result.ratio for result in results]) < 100


def test_where_the_wanted_accuracy_is_missed_the_remedy_reaches_it(results) -> None:
    assert all(result.cured for result in results if result.missed)


@pytest.mark.parametrize("widths", SHAPES)
def test_singular_values_lost_among_the_entries_of_w_are_seen(widths) -> None:
    """No looser solution of the end-to-end flow would see it: they lose them alike."""
    lost = Case(widths, "balanced", 1e-11, "end_to_end", "tsit5", 1e-7, SAMPLES, seed=4)
    result = measured(lost)
    assert result.error > 0.1
    assert result.covered
    assert result.missed
    assert result.cured


def test_at_single_times_the_error_is_under_three_times_the_estimate() -> None:
    case = problems.aligned(2, 1e-8)
    times = np.linspace(0, case.horizon, SAMPLES)
    found = solve(case.problem, times=times, method="tsit5", rtol=1e-6)
    assert (case.error(found) < 3 * found.error_estimate + 1e-14).mean() > 0.95


@pytest.mark.parametrize("times", [[0.0, 0.2], [0.0, 0.2, 0.4, 0.6]])
def test_a_first_saved_time_reached_in_one_step_has_an_honest_estimate(times) -> None:
    """A second solve that takes the same step would have the same error."""
    case = problems.aligned(2, 0.01)
    found = solve(case.problem, times=times, method="dopri8", rtol=1e-2)
    assert found.statistics.accepted == len(times) - 1
    assert 1e-11 < case.error(found)[1] < 3 * found.error_estimate[1]


def test_a_difference_that_passes_through_zero_is_not_a_small_error() -> None:
    growing, dip = [0.0, 1e-9, 1e-6, 1e-3], [1e-3, 1e-9, 1e-8, 1e-2, 1e-4, 1e-5]
    distances = np.array(growing + dip)[:, None]
    filled = error_estimate._without_dips(distances).ravel().tolist()
    assert filled == [*growing, 1e-3, 1e-3, 1e-3, 1e-2, 1e-4, 1e-4]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kvaerno5", "rock4", "rodas5p"])
def test_at_99_percent_of_saved_times_the_error_is_under_three_times_the_estimate(method) -> None:
    """In geometric progression, so that the first steps end at saved times."""
    within, ratios = [], []
    for scale, rtol in [(1e-3, 1e-4), (1e-3, 1e-6), (1e-6, 1e-5), (1e-6, 1e-8)]:
        case = problems.aligned(2, scale)
        times = np.concatenate([[0], np.geomspace(1e-3, 1, 60)]) * case.horizon
        found = solve(case.problem, times=times, method=method, rtol=rtol)
        error = case.error(found)
        within += (error < 3 * found.error_estimate).tolist()
        ratios += (found.error_estimate / error).tolist()
    assert np.mean(within) >= 0.99
    assert np.median(ratios) < 30


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
def test_every_time_is_seen_by_a_solution_that_steps_over_its_neighbours(count, halves) -> None:
    ((seen, landings),) = error_estimate._divided(count, METHODS["tsit5"])
    assert seen.tolist() == list(range(count))
    assert landings.tolist() == halves[0]
    divided = error_estimate._divided(count, METHODS["dopri8"])
    assert [seen.tolist() for seen, _ in divided] == halves
    assert [landings.tolist() for _, landings in divided] == halves


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
