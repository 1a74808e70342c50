"""The exact solutions of flows: against independent ones, tight numerics, and at extreme times."""

from __future__ import annotations

from itertools import pairwise

import exact
import numpy as np
import problems
import pytest
from scipy.integrate import solve_ivp

from flowsim.problem import initialization as inits
from flowsim.problem import losses
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.modes import ExactModes, UnbalancedModes, mode
from flowsim.theory.exact.one_output import OneOutput
from flowsim.theory.exact.quadratic import LinearFlow
from flowsim.theory.exact.solutions import SOLUTIONS, exact_solution, exact_solutions
from flowsim.theory.exact.two_layers import TwoLayers

TIMES = np.array([0.0, 0.3, 1.0, 2.5])
SHARP = 2e-12


def integrated(problem: Problem, gradient, times=TIMES) -> np.ndarray:
    return exact.layer_flow(times, problem.layers, gradient, problem.weight_decay)


def largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max())


def orthogonal(size: int, rng) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


class TestModesThatSink:
    @pytest.mark.parametrize("depth", [2, 3, 4, 7])
    @pytest.mark.parametrize(("s_0", "phi"), [(0.5, -1.0), (3.0, -0.2), (1e-6, -2.0)])
    def test_a_mode_whose_target_is_of_the_other_sign(self, depth, s_0, phi) -> None:
        wanted = solve_ivp(
            lambda _, y: depth * np.exp((1 - 2 / depth) * y) * (phi - np.exp(y)),
            (0, TIMES[-1]), [np.log(s_0)], method="DOP853", t_eval=TIMES, rtol=1e-13, atol=1e-13,
        ).y[0]  # fmt: skip
        assert largest(np.log(mode(TIMES, s_0, phi, depth)) - wanted) < 1e-12 * 10

    @pytest.mark.parametrize("depth", [3, 5])
    def test_falls_as_a_power_of_time(self, depth) -> None:
        """σ ~ t^{-N/(N-2)}: ṡ = -Nψ s^{2-2/N} far below ψ."""
        s = mode(np.array([1e9, 1e12]), 0.5, -1.0, depth)
        power = depth / (depth - 2)
        assert s[1] / s[0] == pytest.approx(1e-3**power, rel=1e-2)


class TestLeastSquaresModes:
    """Modes of data whose XXᵀ commutes with the target: each goes at its own pace."""

    def test_agree_with_integration(self) -> None:
        rng = np.random.default_rng(0)
        U, V = orthogonal(3, rng), orthogonal(4, rng)
        R = V * np.array([2.0, 1.0, 0.5, 0.0])
        T = (U * np.array([3.0, 1.0, -0.3])) @ np.eye(3, 4)
        loss = losses.LeastSquares(R, T, np.asarray(0.0))
        layers = inits.from_svd((4, 3, 3), U, np.array([0.3, 0.2, 0.1]), V.T[:3])
        problem = Problem(loss, layers, 1.0)
        found = ExactModes.of(problem)
        wanted = integrated(problem, lambda W: (W @ R - T) @ R.T)
        assert largest(found.end_to_end(TIMES) - wanted) < SHARP


class TestUnbalancedModes:
    @pytest.mark.parametrize("phi", [(3.0, 2.0, 1.0), (3.0, 0.0, -1.0)])
    @pytest.mark.parametrize(
        "w",
        [
            ((0.1, 0.5, 0.2), (0.3, 0.2, 0.2)),
            ((-0.1, 0.5, 0.0), (0.3, 0.2, 0.4)),
            ((1e-6, 0.0, 0.1), (1e-6, 0.0, -0.1)),
        ],
    )
    def test_agree_with_integration_and_rest_where_they_must(self, phi, w) -> None:
        rng = np.random.default_rng(1)
        U, H, V = orthogonal(3, rng), orthogonal(5, rng)[:, :3], orthogonal(4, rng)[:, :3]
        Phi = (U * np.array(phi)) @ V.T
        problem = Problem(losses.Squared(Phi), ((H * w[0]) @ V.T, (U * w[1]) @ H.T), 1.0)
        found = UnbalancedModes.of(problem)
        wanted = integrated(problem, lambda W: W - Phi)
        assert largest(found.end_to_end(TIMES) - wanted) < SHARP
        with np.errstate(all="raise", under="ignore"):
            assert np.isfinite(found.end_to_end(np.array([1e3, 1e9]))).all()

    def test_are_the_balanced_modes_at_lambda_zero(self) -> None:
        case = problems.aligned(2)
        times = np.linspace(0, case.horizon, 9)
        found = UnbalancedModes.of(case.problem)
        assert largest(found.end_to_end(times) - case.solution(times)) < 1e-12

    @pytest.mark.parametrize("lam", [1e-3, 0.5, -2.0])
    def test_obey_the_published_equation(self, lam) -> None:
        """ȧ = √(λ² + 4a²)(φ - a) (Dominé et al. 2025)."""
        phi, w_1 = 1.5, np.sqrt((np.hypot(lam, 0.2) - lam) / 2)
        w_2 = 0.1 / w_1
        problem = Problem(losses.Squared(np.full((1, 1), phi)), ([[w_1]], [[w_2]]), 1.0)
        wanted = solve_ivp(
            lambda _, a: np.hypot(lam, 2 * a) * (phi - a),
            (0, TIMES[-1]), [0.1], method="DOP853", t_eval=TIMES, rtol=1e-13, atol=1e-15,
        ).y[0]  # fmt: skip
        found = UnbalancedModes.of(problem).end_to_end(TIMES)[:, 0, 0]
        assert largest(found - wanted) < SHARP


class TestTwoLayers:
    @pytest.mark.parametrize("lam", [0.0, 1e-9, 0.5, -0.5])
    @pytest.mark.parametrize("widths", [(3, 3, 3), (4, 5, 3), (4, 2, 5), (2, 2, 6)])
    def test_agree_with_the_printed_form_and_with_integration(self, widths, lam) -> None:
        if lam and widths[1] > min(widths[0], widths[-1]):
            pytest.skip("no such layers exist")
        rng = np.random.default_rng(2)
        layers = inits.lambda_balanced(widths, 0.1, lam, rng)
        Phi = rng.standard_normal((widths[-1], widths[0]))
        problem = Problem(losses.Squared(Phi), layers, 1.0)
        found = TwoLayers.of(problem).end_to_end(TIMES)
        assert largest(found - exact.unaligned(TIMES, *layers, Phi)) < SHARP
        assert largest(found - integrated(problem, lambda W: W - Phi)) < SHARP

    @pytest.mark.parametrize("widths", [(3, 3, 3), (4, 5, 3), (5, 2, 4)])
    def test_reach_the_best_matrix_of_their_rank_and_stay(self, widths) -> None:
        rng = np.random.default_rng(3)
        layers = inits.balanced(widths, 1e-9, rng)
        Phi = rng.standard_normal((widths[-1], widths[0]))
        U, phi, Vt = np.linalg.svd(Phi, full_matrices=False)
        rank = min(widths)
        best = (U[:, :rank] * phi[:rank]) @ Vt[:rank]
        with np.errstate(all="raise", under="ignore"):
            found = TwoLayers.of(Problem(losses.Squared(Phi), layers, 1.0)).end_to_end(
                np.array([1e3, 1e6, 1e12])
            )
        assert largest(found - best) < 1e-14 * 10

    def test_a_rank_that_the_start_lacks_never_comes(self) -> None:
        rng = np.random.default_rng(4)
        start = np.outer(rng.standard_normal(3), rng.standard_normal(3))
        U, sigma, Vt = np.linalg.svd(start)
        layers = inits.from_svd((3, 3, 3), U, np.where(sigma > 0.1, sigma, 0.0), Vt)
        problem = Problem(losses.Squared(rng.standard_normal((3, 3))), layers, 1.0)
        sigma = TwoLayers.of(problem).singular_values(np.array([1.0, 30.0, 300.0]))
        assert (sigma[:, 1] < 1e-14 * 10).all()
        assert (sigma[:, 0] > 0.5).all()

    def test_long_plateaus_agree_with_the_modes(self) -> None:
        case = problems.aligned(2, scale=1e-12)
        times = np.linspace(0, case.horizon, 40)
        found = TwoLayers.of(case.problem).end_to_end(times)
        assert largest(found - case.solution(times)) < 1e-11

    def test_white_data_are_the_squared_loss_in_another_time(self) -> None:
        rng = np.random.default_rng(5)
        X = 2 * orthogonal(3, rng)
        loss = losses.LeastSquares.from_data(X, rng.standard_normal((2, 3)))
        problem = Problem(loss, inits.balanced((3, 3, 2), 0.1, rng), 1.0)
        wanted = integrated(problem, lambda W: np.asarray(loss.gradient(W)))
        assert largest(TwoLayers.of(problem).end_to_end(TIMES) - wanted) < SHARP


class TestLinearFlow:
    def loss(self, kind: str) -> losses.Loss:
        rng = np.random.default_rng(6)
        X, Y, Phi = rng.standard_normal((4, 9)), rng.standard_normal((3, 9)), np.ones((3, 4))
        flat = np.vstack([X[:3], X[:1]])
        return {
            "linear": losses.Linear(Phi),
            "squared": losses.Squared(Phi),
            "completion": losses.Completion(Phi, (rng.random((3, 4)) < 0.5) * 1.0),
            "few measurements": losses.Sensing(Phi, rng.standard_normal((5, 3, 4))),
            "many measurements": losses.Sensing(Phi, rng.standard_normal((30, 3, 4))),
            "data": losses.LeastSquares.from_data(X, Y),
            "dependent inputs": losses.LeastSquares.from_data(flat, Y),
            "few samples": losses.LeastSquares.from_data(X[:, :2], Y[:, :2]),
        }[kind]

    KINDS = (
        "linear", "squared", "completion", "few measurements", "many measurements", "data",
        "dependent inputs", "few samples",
    )  # fmt: skip

    @pytest.mark.parametrize("weight_decay", [0.0, 0.3])
    @pytest.mark.parametrize("kind", KINDS)
    def test_agrees_with_integration(self, kind, weight_decay) -> None:
        loss = self.loss(kind)
        start = np.random.default_rng(7).standard_normal((3, 4))
        problem = Problem(loss, (start,), 1.0, weight_decay)
        found = LinearFlow.of(problem)
        wanted = integrated(problem, lambda W: np.asarray(loss.gradient(W)))
        assert largest(found.end_to_end(TIMES) - wanted) < SHARP
        assert np.isfinite(found.end_to_end(np.array([1e12]))).all()

    def test_agrees_with_the_matrix_exponential(self) -> None:
        rng = np.random.default_rng(8)
        X, Y = rng.standard_normal((4, 9)), rng.standard_normal((3, 9))
        start = rng.standard_normal((3, 4))
        found = LinearFlow.of(Problem(losses.LeastSquares.from_data(X, Y), (start,), 1.0))
        assert largest(found.end_to_end(TIMES) - exact.linear(TIMES, start, X, Y)) < SHARP


class TestOneOutput:
    def problem(self, depth, rho, angle, *, column=False) -> tuple[Problem, np.ndarray, np.ndarray]:
        rotation = orthogonal(3, np.random.default_rng(9))
        phi = np.array([[2.0, 0.0, 0.0]]) @ rotation
        w = rho * np.array([[np.cos(angle), np.sin(angle), 0.0]]) @ rotation
        w, Phi, widths = (w.T, phi.T, [1, *[3] * depth]) if column else (w, phi, [*[3] * depth, 1])
        U, sigma, Vt = np.linalg.svd(w, full_matrices=False)
        return (
            Problem(losses.Squared(Phi), inits.from_svd(widths, U, sigma, Vt), 1.0),
            w,
            phi,
        )

    @pytest.mark.parametrize("depth", [2, 3, 4])
    @pytest.mark.parametrize("rho", [5.0, 1.0, 1e-3])
    @pytest.mark.parametrize("angle", [0.3, 2.0, 3.1])
    def test_agrees_with_integration(self, depth, rho, angle) -> None:
        problem, w, phi = self.problem(depth, rho, angle)
        times = TIMES * (1 if rho > 0.1 else 4 * rho ** (2 / depth - 1))
        wanted = exact.one_output(times, w, lambda w: w - phi, depth)
        assert largest(OneOutput.of(problem).end_to_end(times) - wanted) < SHARP

    def test_one_input_is_the_same_on_its_side(self) -> None:
        row, column = (self.problem(3, 0.1, 2.0, column=side)[0] for side in (False, True))
        found = OneOutput.of(column).end_to_end(TIMES)
        assert largest(found[:, :, 0] - OneOutput.of(row).end_to_end(TIMES)[:, 0, :]) < 1e-14

    @pytest.mark.parametrize("depth", [2, 3, 5])
    def test_starts_where_it_does_and_ends_at_the_target(self, depth) -> None:
        problem, w, phi = self.problem(depth, 1e-9, 2.5)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            found = OneOutput.of(problem).end_to_end(np.array([0.0, 1e15]))
        assert largest(found[0] - w) < 1e-14 * 1e-9
        assert largest(found[1] - phi) < 1e-15

    def test_is_the_riccati_solution_at_depth_two(self) -> None:
        problem, _, _ = self.problem(2, 1e-3, 3.0)
        times = np.linspace(0, 10, 30)
        difference = OneOutput.of(problem).end_to_end(times) - TwoLayers.of(problem).end_to_end(
            times
        )
        assert largest(difference) < 1e-13


class TestTheList:
    def test_the_sharpest_that_applies_comes_first(self) -> None:
        case = problems.aligned(2)
        assert isinstance(exact_solution(case.problem), ExactModes)
        assert {type(found) for found in exact_solutions(case.problem)} == {
            ExactModes, UnbalancedModes, TwoLayers,
        }  # fmt: skip
        assert isinstance(exact_solution(problems.balanced((3, 3, 3))), TwoLayers)
        assert exact_solution(problems.balanced((3, 3, 3, 3))) is None

    def test_every_solution_has_a_source_and_starts_at_the_start(self) -> None:
        cases = [
            problems.aligned(3).problem, problems.balanced((3, 2)), problems.balanced((3, 3, 2)),
            problems.balanced((3, 3, 3, 1)),
        ]  # fmt: skip
        seen = set()
        for problem in cases:
            for found in exact_solutions(problem):
                seen.add(type(found))
                assert found.source
                start = found.end_to_end(np.zeros(1))
                np.testing.assert_allclose(start[0], problem.initial, atol=1e-15)
                sigma = found.singular_values(np.array([0.5]))
                assert sigma.shape == (1, min(problem.initial.shape))
                assert all(a >= b for a, b in pairwise(sigma[0]))
        assert seen | {UnbalancedModes} == set(SOLUTIONS)

    @pytest.mark.parametrize("kind", SOLUTIONS)
    def test_each_says_why_it_does_not_apply(self, kind) -> None:
        rng = np.random.default_rng(10)
        problem = Problem(
            losses.Logistic(np.ones((3, 2)), np.ones((1, 2))),
            [rng.standard_normal((3, 3)) for _ in range(3)] + [rng.standard_normal((1, 3))],
            1.0,
        )
        with pytest.raises(NotApplicable, match="must"):
            kind.of(problem)

    def test_conditions_that_fail_one_at_a_time(self) -> None:
        rng = np.random.default_rng(11)
        Phi = rng.standard_normal((3, 3))
        balanced = inits.balanced((3, 3, 3), 0.5, rng)
        X = rng.standard_normal((3, 5))
        data = losses.LeastSquares.from_data(X, X)
        row = rng.standard_normal((1, 3))
        one = inits.from_svd((3, 3, 1), np.eye(1), np.ones(1), row / np.linalg.norm(row))
        reasons = {
            TwoLayers: (
                (Problem(losses.Squared(Phi), inits.xavier((3, 3, 3), rng), 1.0), "multiple of I"),
                (Problem(losses.Squared(Phi), balanced, 1.0, 0.1), "weight decay"),
                (Problem(data, balanced, 1.0), "white"),
            ),
            OneOutput: (
                (Problem(losses.Squared(row), one, 1.0), "single mode"),
                (Problem(losses.Squared(row), (one[0], 2 * one[1]), 1.0), "balanced"),
                (Problem(losses.Squared(Phi), balanced, 1.0), "one output"),
            ),
            UnbalancedModes: (
                (Problem(losses.Squared(Phi), balanced, 1.0), "aligned"),
                (Problem(losses.Squared(Phi), inits.balanced((3, 3), 1.0, rng), 1.0), "2 layers"),
                (
                    Problem(
                        losses.Squared(np.diag([2.0, 1.0])),
                        (np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, -1.0], [0.0, 1.0]])),
                        1.0,
                    ),
                    "diagonal in the modes",
                ),
            ),
            LinearFlow: ((Problem(losses.Squared(Phi), balanced, 1.0), "1 layer"),),
        }  # fmt: skip
        for kind, cases in reasons.items():
            for problem, words in cases:
                with pytest.raises(NotApplicable, match=words):
                    kind.of(problem)
