"""Solving: exact times, stopping on the loss, verdicts, interrupts, and switching of methods."""

from __future__ import annotations

import exact
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.optimize import brentq

from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.solvers import chunks
from flowsim.solvers.descend import descend
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.verdict import Verdict

SPACES = ("layers", "end_to_end")
QUICK = {"method": "tsit5", "rtol": 1e-8, "estimate_error": False}


@pytest.fixture(scope="module")
def case() -> problems.Aligned:
    return problems.aligned(2, 1e-3)


class TestTimes:
    def test_saved_times_are_exactly_those_asked_for(self, case) -> None:
        times = np.concatenate([[0], np.geomspace(1e-9, case.horizon, 40)])
        trajectory = solve(case.problem, times=times, **QUICK)
        np.testing.assert_array_equal(trajectory.times, times)
        assert trajectory.stopped_at == times[-1]
        assert trajectory.stopped is Verdict.REACHED_HORIZON
        assert case.error(trajectory).max() < 1e-6 * case.size
        np.testing.assert_allclose(trajectory.end_to_end[0], case.problem.initial, rtol=1e-14)

    def test_by_default_there_are_200_up_to_the_horizon(self, case) -> None:
        trajectory = solve(case.problem, **QUICK)
        np.testing.assert_array_equal(trajectory.times, np.linspace(0, case.horizon, 200))
        assert trajectory.loss.shape == (200,)
        assert trajectory.singular_values.shape == (200, 3)
        assert np.all(np.diff(trajectory.singular_values, axis=1) <= 0)
        np.testing.assert_allclose(trajectory.distance_to_target**2 / 2, trajectory.loss)

    def test_the_start_alone_may_be_asked_for(self, case) -> None:
        trajectory = solve(case.problem, times=[0.0])
        assert trajectory.times.tolist() == [0.0]
        assert trajectory.largest_error == 0

    @pytest.mark.parametrize("method", ["tsit5", "dopri5", "dopri8", "kvaerno5"])
    def test_times_between_are_accurate_and_as_many_as_wanted(self, case, method) -> None:
        """More of them in one step than are brought to the host at once."""
        rng = np.random.default_rng(0)
        between = np.sort(rng.uniform(0, case.horizon, 2000))
        saved = np.linspace(0, case.horizon, 5)
        trajectory = solve(case.problem, times=saved, between=between, **QUICK | {"method": method})
        np.testing.assert_array_equal(trajectory.between[0], between)
        np.testing.assert_array_equal(trajectory.times, saved)
        gaps = np.linalg.norm(trajectory.between[1] - case.solution(between), axis=(1, 2))
        assert gaps.max() < 300 * QUICK["rtol"] * case.size
        assert case.error(trajectory).max() < 300 * QUICK["rtol"] * case.size

    def test_times_between_may_lie_past_the_last_saved_one(self, case) -> None:
        trajectory = solve(case.problem, times=[0, 1.0], between=[2.0, 0.5], **QUICK)
        times, W = trajectory.between
        np.testing.assert_array_equal(times, [0.5, 2.0])
        np.testing.assert_allclose(W, case.solution(times), atol=1e-6)
        assert list(trajectory.matrices()) == [0.5, 2.0, 0.0, 1.0]

    def test_only_the_wanted_matrices_are_kept_and_the_last(self, case) -> None:
        times = np.linspace(0, case.horizon, 10)
        every = solve(case.problem, times=times, **QUICK)
        keep = np.isin(np.arange(10), [0, 3])
        for estimate in (False, True):
            some = solve(
                case.problem, times=times, keep=keep, **QUICK | {"estimate_error": estimate}
            )
            assert some.kept.tolist() == [0, 3, 9]
            np.testing.assert_array_equal(some.end_to_end, every.end_to_end[[0, 3, 9]])
            np.testing.assert_array_equal(some.loss, every.loss)

    def test_layers_are_kept_where_asked_for(self, case) -> None:
        trajectory = solve(case.problem, times=[0, 1, 2], keep_layers=True, **QUICK)
        W_1, W_2 = trajectory.layers
        assert W_1.shape == W_2.shape == (3, 3, 3)
        np.testing.assert_allclose(W_1[0], case.problem.layers[0], rtol=1e-14)
        np.testing.assert_allclose(W_2 @ W_1, trajectory.end_to_end, rtol=0, atol=1e-14)


class TestStoppingAtALoss:
    @pytest.mark.parametrize("space", SPACES)
    @pytest.mark.parametrize("level", [5.0, 1e-2, 1e-6])
    def test_the_time_is_that_of_the_closed_form(self, case, space, level) -> None:
        def loss(t: float) -> float:
            gap = case.solution(np.array([t]))[0] - case.problem.loss.Phi
            return 0.5 * float(np.sum(gap**2))

        wanted = brentq(lambda t: np.log(loss(t) / level), 0, 30, xtol=1e-13)
        times = np.linspace(0, 30, 31)
        trajectory = solve(case.problem, space, times=times, stop_at_loss=level, **QUICK)
        assert trajectory.verdict is Verdict.STOPPED_AT_CRITERION
        assert trajectory.verdict.outcome == "completed"
        assert trajectory.stopped_at == trajectory.times[-1]
        assert trajectory.times[-1] == pytest.approx(wanted, abs=1e-5)
        np.testing.assert_array_equal(trajectory.times[:-1], times[times < wanted])
        assert trajectory.loss[-1] == pytest.approx(level, rel=1e-9)
        assert trajectory.kept[-1] == trajectory.times.size - 1
        assert case.error(trajectory).max() < 1e-6 * case.size

    def test_saved_times_within_the_last_step_are_kept(self, case) -> None:
        times = np.linspace(0, 30, 3001)
        trajectory = solve(case.problem, times=times, stop_at_loss=1e-2, **QUICK)
        np.testing.assert_array_equal(trajectory.times[:-1], times[times < trajectory.times[-1]])
        assert case.error(trajectory).max() < 1e-6 * case.size

    def test_a_start_below_the_level_stops_at_once(self, case) -> None:
        trajectory = solve(case.problem, stop_at_loss=100.0, **QUICK)
        assert trajectory.verdict is Verdict.STOPPED_AT_CRITERION
        assert trajectory.times.tolist() == [0.0]

    def test_a_level_that_is_not_reached_does_nothing(self, case) -> None:
        times = np.linspace(0, 2, 5)
        plain = solve(case.problem, times=times, **QUICK)
        watched = solve(case.problem, times=times, stop_at_loss=1e-3, **QUICK)
        assert watched.stopped is Verdict.REACHED_HORIZON
        np.testing.assert_allclose(watched.end_to_end, plain.end_to_end, rtol=0, atol=1e-14)


class TestVerdicts:
    def test_budget_exhausted_keeps_what_was_reached(self, case) -> None:
        whole = solve(case.problem, **QUICK)
        part = solve(case.problem, max_steps=40, **QUICK)
        assert part.verdict is Verdict.BUDGET_EXHAUSTED
        assert part.verdict.outcome == "failed"
        assert part.statistics.accepted + part.statistics.rejected == 40
        reached = part.times.size
        assert 1 < reached < 200
        assert part.times[-1] <= part.stopped_at < whole.times[reached]
        np.testing.assert_array_equal(part.end_to_end, whole.end_to_end[:reached])

    def test_stiff_is_told_from_a_budget_that_is_too_small(self, case) -> None:
        """Converged modes limit the steps of an explicit method though nothing moves."""
        trajectory = solve(case.problem, times=[0, 1e6], max_steps=2000, **QUICK)
        assert trajectory.verdict is Verdict.STIFF
        assert "rodas5p" in trajectory.verdict.value
        assert trajectory.times.tolist() == [0.0]

    @pytest.mark.parametrize("start", [1.0, 0.1])
    def test_blow_up_is_found_at_its_time(self, start) -> None:
        """ẏ = y³ has its pole at 1/(2 y_0²)."""
        problem = Problem(lambda W: -jnp.sum(W**4) / 4, [np.full((1, 1), start)], 100.0)
        pole = 0.5 / start**2
        times = np.linspace(0, 2 * pole, 100)  # none of them at the pole itself
        trajectory = solve(problem, times=times, **QUICK)
        assert trajectory.verdict is Verdict.BLOW_UP
        assert trajectory.stopped_at == pytest.approx(pole, rel=1e-6)
        assert np.all(trajectory.times < pole)
        assert trajectory.times.size == 50
        wanted = start / np.sqrt(1 - 2 * start**2 * trajectory.times)
        np.testing.assert_allclose(trajectory.end_to_end[:, 0, 0], wanted, rtol=1e-5)
        assert np.isfinite(trajectory.loss).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("space", ["layers", "end_to_end", "spectral"])
    def test_growth_past_the_range_of_float64_ends_in_time(self, space) -> None:
        """Ẇ = 2W for ℓ = -⟨I, W⟩ at N = 2, so W = 0.01 e^{2t} I passes 1e140 at ½ log 1e142."""
        problem = Problem(losses.Linear(np.eye(2)), [0.1 * np.eye(2)] * 2, 400.0)
        trajectory = solve(problem, space, **QUICK)
        assert trajectory.verdict is Verdict.OUT_OF_RANGE
        exit_time = 0.5 * np.log(1e142)
        # a relative error of 1e-3 in W shifts the time by half of that
        assert trajectory.stopped_at == pytest.approx(exit_time, abs=1e-3)
        assert exit_time - 400 / 199 < trajectory.times[-1] <= exit_time
        for values in (trajectory.end_to_end, trajectory.loss, trajectory.singular_values):
            assert np.isfinite(values).all()
        expected = 0.01 * np.exp(2 * trajectory.times)
        np.testing.assert_allclose(trajectory.end_to_end[:, 0, 0], expected, rtol=1e-3)

    def test_a_wall_of_nan_is_a_tolerance_that_cannot_be_met(self) -> None:
        """Ẇ = -1 for W > 1, and no velocity at all below."""
        problem = Problem(lambda W: jnp.sum(W + 0 * jnp.sqrt(W - 1)), [np.full((1, 1), 1.6)], 2.0)
        trajectory = solve(problem, times=np.linspace(0, 2, 9), **QUICK)
        assert trajectory.verdict is Verdict.TOLERANCE_TOO_TIGHT
        assert trajectory.stopped_at == pytest.approx(0.6, rel=1e-6)
        np.testing.assert_allclose(trajectory.end_to_end[:, 0, 0], [1.6, 1.35, 1.1], rtol=1e-12)

    @pytest.mark.parametrize("space", SPACES)
    def test_a_zero_start_is_a_saddle_not_a_convergence(self, case, space) -> None:
        zero = Problem(case.problem.loss, (np.zeros((3, 3)),) * 2, 5.0)
        trajectory = solve(zero, space, times=[0, 5], **QUICK)
        assert trajectory.verdict is Verdict.SADDLE
        assert "saddle" in trajectory.verdict.value
        assert not trajectory.end_to_end.any()

    def test_a_minimum_is_no_saddle(self) -> None:
        layers = initialization.identity((3, 3, 3), 1.0)
        there = Problem(losses.Squared(np.eye(3)), layers, 5.0)
        trajectory = solve(there, times=[0, 5], **QUICK)
        assert trajectory.verdict is Verdict.CONVERGED

    def test_a_step_that_overflows_is_taken_again_not_for_ever(self) -> None:
        """Loose steps at the end of a long plateau overshoot to infinity before they shrink."""
        for seed in range(20):
            case = problems.aligned(3, 9e-9, (2.04, 1.88, 1.12), seed=seed)
            times = case.horizon * np.arange(0, 11, 2) / 10
            choices = QUICK | {"rtol": 8.5e-4}
            trajectory = solve(case.problem, times=times, max_steps=5000, **choices)
            assert trajectory.stopped is Verdict.REACHED_HORIZON


class TestInterrupts:
    @pytest.fixture
    def tiny_pieces(self, monkeypatch) -> None:
        monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e-9)
        monkeypatch.setattr(chunks, "FIRST_CHUNK", 1)

    @pytest.mark.usefixtures("tiny_pieces")
    def test_what_was_reached_is_kept_bitwise(self, case) -> None:
        asked = iter(range(100))
        times = np.linspace(0, case.horizon, 50)
        whole = solve(case.problem, times=times, **QUICK)
        part = solve(
            case.problem,
            times=times,
            monitor=Monitor(stop_requested=lambda: next(asked) == 60),
            **QUICK,
        )
        assert part.verdict is Verdict.INTERRUPTED
        assert part.verdict.outcome == "interrupted"
        assert part.statistics.accepted + part.statistics.rejected == 60
        reached = part.times.size
        assert 5 < reached < 50
        np.testing.assert_array_equal(part.times, whole.times[:reached])
        np.testing.assert_array_equal(part.end_to_end, whole.end_to_end[:reached])
        np.testing.assert_array_equal(part.loss, whole.loss[:reached])

    def test_no_error_is_estimated_afterwards(self, case) -> None:
        choices = QUICK | {"estimate_error": True}
        trajectory = solve(case.problem, monitor=Monitor(stop_requested=lambda: True), **choices)
        assert trajectory.verdict is Verdict.INTERRUPTED
        assert trajectory.times.tolist() == [0.0]

    @pytest.mark.usefixtures("tiny_pieces")
    def test_an_interrupt_during_the_error_estimate_leaves_the_solution(self, case) -> None:
        asked: list[float] = []
        times = np.linspace(0, case.horizon, 50)
        whole = solve(
            case.problem,
            times=times,
            monitor=Monitor(lambda _, share: asked.append(share)),
            **QUICK,
        )
        later = iter(range(10**6))
        limit = len(asked) + 30  # the first solution takes as many pieces as it told of
        part = solve(
            case.problem,
            times=times,
            monitor=Monitor(stop_requested=lambda: next(later) >= limit),
            **QUICK | {"estimate_error": True},
        )
        assert part.verdict is Verdict.INTERRUPTED
        np.testing.assert_array_equal(part.end_to_end, whole.end_to_end)
        known = ~np.isnan(part.error_estimate)
        assert 1 <= known.sum() < 50
        assert np.isnan(part.largest_error)

    @pytest.mark.parametrize("space", SPACES)
    def test_where_the_pieces_end_changes_no_bit(self, case, space, monkeypatch) -> None:
        """Nor does the time that each takes, also with more times than fit one window."""
        times = np.linspace(0, case.horizon, 300)
        between = np.linspace(0.01, case.horizon - 0.01, 700)
        choices = {"times": times, "between": between, "stop_at_loss": 1e-5}
        runs = []
        for seconds, first in ((10.0, 1 << 16), (1e-9, 1), (1e-9, 7)):
            monkeypatch.setattr(chunks, "CHUNK_SECONDS", seconds)
            monkeypatch.setattr(chunks, "FIRST_CHUNK", first)
            monkeypatch.setattr(chunks, "_SLOWEST", {})
            runs.append(solve(case.problem, space, **choices, **QUICK))
        for run in runs[1:]:
            np.testing.assert_array_equal(run.times, runs[0].times)
            np.testing.assert_array_equal(run.end_to_end, runs[0].end_to_end)
            np.testing.assert_array_equal(run.between[1], runs[0].between[1])
            assert run.statistics.accepted == runs[0].statistics.accepted

    @pytest.mark.usefixtures("tiny_pieces")
    def test_progress_is_told_as_a_rising_fraction(self, case) -> None:
        told: list[float] = []
        solve(
            case.problem,
            times=np.linspace(0, 5, 6),
            monitor=Monitor(lambda _, share: told.append(share)),
            **QUICK,
        )
        assert len(told) > 10
        assert np.all(np.diff(told) >= 0)
        assert told[-1] == 1.0


@pytest.fixture(scope="module")
def razin_cohen() -> Trajectory:
    observed, Phi = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    layers = initialization.identity((2, 2, 2, 2), 1e-6)
    problem = Problem(losses.Completion(Phi, observed), layers, 2e4)
    return solve(problem, times=np.linspace(0, 2e4, 11), rtol=1e-7, stop_at_loss=1e-4)


class TestSwitching:
    """2×2 completion at depth 3 from a positive determinant (Razin & Cohen 2020): stiff."""

    @pytest.mark.slow
    def test_auto_turns_to_a_stabilized_method_and_says_why(self, razin_cohen) -> None:
        first, second, *_ = razin_cohen.choices
        assert (first.method.name, second.method.name) == ("tsit5", "rock4")
        assert second.why.startswith("stability limits the step")
        assert razin_cohen.statistics.accepted < 20_000  # 327,404 by an explicit method of order 8
        assert ", then rock4 from t = " in razin_cohen.method

    @pytest.mark.slow
    def test_the_unobserved_entry_diverges_as_it_must(self, razin_cohen) -> None:
        assert razin_cohen.verdict is Verdict.STOPPED_AT_CRITERION
        assert razin_cohen.stopped_at == pytest.approx(10833.8, abs=0.05)
        w_11 = razin_cohen.end_to_end[-1, 0, 0]
        assert w_11 == pytest.approx(70.697, abs=5e-4)
        assert w_11 > exact.razin_cohen_bound(1e-4) == pytest.approx(68.72, abs=5e-3)
        assert razin_cohen.largest_error < 1e-3

    def test_a_flow_that_is_not_stiff_stays_explicit(self, case) -> None:
        trajectory = solve(case.problem, times=[0, case.horizon], rtol=1e-8, estimate_error=False)
        assert len(trajectory.choices) == 1
        assert trajectory.method == "tsit5"


class TestRefusals:
    @pytest.mark.parametrize(
        ("choices", "said"),
        [
            (
                {"space": "phase"},
                "space must be one of layers, end_to_end, spectral, modes, but is 'ph",
            ),
            ({"max_steps": 0}, "max_steps must be at least 1, but is 0"),
            ({"max_steps": True}, "max_steps must be a whole number, at least 1, but is True"),
            ({"max_steps": 1.5}, "max_steps must be a whole number, at least 1, but is 1.5"),
            ({"stop_at_loss": np.nan}, "stop_at_loss must be finite, but is nan"),
            ({"rtol": "a"}, "rtol must be a number, but is 'a'"),
            ({"rtol": None}, "rtol must be a number, but is None"),
            ({"atol": 0.0}, "atol must be finite and greater than 0, but is 0"),
            ({"method": None}, "method must be .auto. or a name from flowsim.methods, but is None"),
            ({"times": ["0", "1"]}, "times must be an array of real numbers, but holds <U1"),
            ({"times": []}, "times must be a non-empty list of finite numbers"),
            ({"times": [[0.0, 1.0]]}, "times must be a non-empty list of finite numbers"),
            ({"times": [0.0, np.nan]}, "times must be a non-empty list of finite numbers"),
            ({"times": [0.0, np.inf]}, "times must be a non-empty list of finite numbers"),
            ({"times": [0.1, 1.0]}, "times must increase strictly from 0"),
            ({"times": [0.0, 1.0, 1.0]}, "times must increase strictly from 0"),
            ({"method": "tsit"}, "There is no method 'tsit'; did you mean 'tsit5'"),
            ({"rtol": 1e-15}, "rtol must lie between"),
        ],
    )
    def test_of_solve(self, case, choices, said) -> None:
        with pytest.raises(ValueError, match=said):
            solve(case.problem, **choices)

    @pytest.mark.parametrize(
        ("loss", "layers", "horizon", "decay", "said"),
        [
            (None, [np.eye(2)], 1.0, 0.0, r"shape \(2, 2\), but its target has shape \(3, 3\)"),
            (None, [np.eye(3)], 0.0, 0.0, "horizon must be finite and greater than 0, but is 0"),
            (None, [np.eye(3)], np.inf, 0.0, "horizon must be finite and greater than 0"),
            (None, [np.eye(3)], 1.0, -1.0, "weight_decay must be .* at least 0 .*, but is -1"),
            (
                None,
                [np.eye(3)],
                1.0,
                1e308,
                "weight_decay must be .* at most 1e.140, but is 1e.308",
            ),
            (None, [], 1.0, 0.0, "at least one layer"),
            (
                None,
                None,
                1.0,
                0.0,
                r"layers must be a list of matrices \[W_1, …, W_N\], but is None",
            ),
            (
                None,
                [1j * np.eye(3)],
                1.0,
                0.0,
                "W_1 must be an array of real numbers, .* complex128",
            ),
            (None, [[[1.0, 2.0], [3.0]]], 1.0, 0.0, "W_1 must be .* rows of unequal lengths"),
            (None, [np.eye(3)], "1", 0.0, "horizon must be a number, .* but is '1'"),
            (None, [np.eye(3)], True, 0.0, "horizon must be a number, .* but is True"),
            (None, [np.eye(3)], 1.0, 1j, "weight_decay must be a number, .* but is 1j"),
            (jnp.log, [np.eye(2)], 1.0, 0.0, "to a single number, but"),
            (lambda W: jnp.sum(jnp.log(W)), [np.eye(2)], 1.0, 0.0, "must be finite, but is -inf"),
            (jnp.linalg.norm, [np.zeros((2, 2))], 1.0, 0.0, "gradient of the loss .* nan or inf"),
        ],
    )
    def test_of_a_problem(self, loss, layers, horizon, decay, said) -> None:
        with pytest.raises(ValueError, match=said):
            Problem(loss or losses.Squared(np.eye(3)), layers, horizon, decay)


class TestCards:
    def test_a_trajectory_introduces_itself(self, case) -> None:
        trajectory = solve(case.problem, times=[0, 1, 2], method="tsit5", rtol=1e-8)
        lines = repr(trajectory).splitlines()
        assert lines[0] == "Trajectory in layers space"
        rows = {line[2:18].strip(): line[18:] for line in lines[1:]}
        assert rows["verdict"] == "reached horizon, t = 2"
        assert rows["method"] == "tsit5, rtol = 1e-08"
        assert rows["saved"] == "3 times, W of shape (3, 3)"
        assert rows["steps"].endswith("rejected")
        assert float(rows["error estimate"]) == pytest.approx(trajectory.largest_error, rel=0.1)
        html = trajectory._repr_html_()
        assert html.startswith("<table>")
        assert "reached horizon" in html

    def test_a_problem_introduces_itself(self, case) -> None:
        card = repr(case.problem)
        assert card.startswith("Problem of depth 2\n")
        assert "widths     3 → 3 → 3" in card
        assert "Squared" in case.problem._repr_html_()
        decaying = Problem(case.problem.loss, case.problem.layers, 1.0, 0.5)
        assert "weight decay" in repr(decaying)


def arrays_of(result: object) -> dict[str, np.ndarray]:
    """Return all arrays that a trajectory hands out, by attribute."""
    found = {}
    for name in (name for name in dir(result) if not name.startswith("_")):
        value = getattr(result, name)
        if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
            found |= {f"{name} {k}": each for k, each in enumerate(value) if hasattr(each, "flags")}
        elif isinstance(value, np.ndarray):
            found[name] = value
    return found


def test_results_cannot_be_overwritten() -> None:
    """What is written into one array would change others that share its memory."""
    layers = [0.5 * np.eye(2), 0.5 * np.eye(2)]
    problem = Problem(losses.Squared(np.diag([2.0, 1.0])), layers, 1.0)
    flow = solve(problem, times=np.linspace(0, 1, 5), keep_layers=True)
    descent = descend(problem, [0.1, 0.2], flow.times)
    held = {**arrays_of(flow), **{f"descent {k}": x for k, x in arrays_of(descent).items()}}
    for name in ("times", "loss", "end_to_end", "layers 0", "descent loss", "descent end_to_end"):
        assert held[name].size
        with pytest.raises(ValueError, match="read-only"):
            held[name][...] = 0.0
    shared = {"between 0", "excess_loss", "descent times"}  # made at every access, or not public
    assert {name for name, array in held.items() if array.flags.writeable} <= shared
    assert flow.loss.copy().flags.writeable
