"""The mode flow: exact where modes decouple, far below what W can hold, and refused elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import problems
import pytest
import scenario_texts

import flowsim
from flowsim.cli import main
from flowsim.experiment import figures
from flowsim.experiment.plan.reading import from_toml
from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.theory.exact.modes import ExactModes
from flowsim.theory.exact.two_layers import TwoLayers

ALIGNED = scenario_texts.spoilt('kind = "balanced"', 'kind = "aligned"').replace(
    "horizon = 6.0", 'horizon = 6.0\nspaces = ["modes"]'
)


def solved(problem: Problem, space: str = "modes", **options):
    return flowsim.solve(problem, space, **{"times": np.linspace(0, problem.horizon, 20)} | options)


def off(found, exact) -> float:
    return float(np.abs(found.end_to_end - exact.end_to_end(found.times)).max())


class TestSolves:
    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_the_closed_form(self, depth) -> None:
        case = problems.aligned(depth, scale=1e-3)
        found = solved(case.problem, rtol=1e-9)
        assert case.error(found).max() < 1e-7 * case.size
        assert case.error(found).max() < 3 * found.largest_error

    def test_modes_that_differ_are_absent_or_of_the_other_sign(self) -> None:
        rng = np.random.default_rng(0)
        U, V = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2))
        Phi = (U * np.array([2.0, -1.0, 3.0])) @ V.T
        layers = initialization.from_svd((3, 3, 3), U, np.array([1e-6, 0.5, 0.0]), V.T)
        problem = Problem(losses.Squared(Phi), layers, 20.0)
        found = solved(problem, rtol=1e-9)
        assert off(found, ExactModes.of(problem)) < 1e-6
        assert (found.singular_values[:, 2] == 0).all()
        assert np.isneginf(found.log_singular_values[:, 2]).all()
        assert (found.det_sign == 0).all()

    def test_weight_decay_as_the_layers_do(self) -> None:
        case = problems.aligned(3, scale=0.1)
        problem = Problem(case.problem.loss, case.problem.layers, 3.0, weight_decay=0.1)
        found, layers = solved(problem), solved(problem, "layers")
        assert np.abs(found.end_to_end - layers.end_to_end).max() < 1e-6

    def test_diagonal_completion_and_commuting_data(self) -> None:
        observed = np.array([[1.0, 1.0], [0.0, 0.0]])
        diagonal = Problem(
            losses.Completion(np.diag([2.0, 1.0]), observed),
            initialization.identity((2, 2, 2), 0.1),
            3.0,
        )
        data = losses.LeastSquares(np.diag([2.0, 1.0]), np.diag([3.0, -1.0]), np.asarray(0.0))
        white = Problem(data, initialization.identity((2, 2, 2), 0.1), 3.0)
        for problem in (diagonal, white):
            assert off(solved(problem), ExactModes.of(problem)) < 1e-6

    def test_identity_targets_take_any_symmetric_start(self) -> None:
        """Equal singular values of Φ leave its vectors free: W(0) tells which they are."""
        start = np.array([[0.3, 0.1], [0.1, 0.2]])
        U, sigma, Vt = np.linalg.svd(start)
        problem = Problem(
            losses.Squared(np.eye(2)), initialization.from_svd((2, 2, 2), U, sigma, Vt), 3.0
        )
        assert off(solved(problem), TwoLayers.of(problem)) < 1e-6


class TestKeepsEveryScale:
    def test_a_plateau_from_far_below_rounding(self) -> None:
        """s_0 = 1e-200 beside a mode of 1: the half-rise is at log(φ/s_0 - 1)/(2φ)."""
        layers = initialization.from_svd((2, 2, 2), np.eye(2), np.array([1.0, 1e-200]), np.eye(2))
        exit_time = np.log(1e200) / 2
        problem = Problem(losses.Squared(np.eye(2)), layers, 2 * exit_time)
        # the layers' rank bound would call this mode rounding: it is 1e-100 in each of them
        assert (solved(problem).singular_values[-1] == [1, 0]).all()
        alone = Problem(losses.Squared(np.ones((1, 1))), ([[1e-100]], [[1e-100]]), 2 * exit_time)
        found = solved(alone, times=[0.0, exit_time, 2 * exit_time])
        assert found.end_to_end[:, 0, 0] == pytest.approx([1e-200, 0.5, 1.0], abs=1e-5)

    def test_a_singular_value_may_underflow_and_keeps_its_sign(self) -> None:
        """At N = 2 a mode towards -ψ falls as s = s_0 ψ e^{-2ψt} / (ψ + s_0(1 - e^{-2ψt}))."""
        problem = Problem(
            losses.Squared(np.diag([1.0, -2.0])), initialization.identity((2, 2, 2), 0.5), 2e3
        )
        found = solved(problem)
        assert found.log_singular_values[-1, 1] == pytest.approx(
            -4 * 2e3 + np.log(0.5 * 2 / 2.5), rel=1e-9
        )
        assert (found.det_sign == 1).all()
        assert found.singular_values[-1, 1] == 0

    def test_a_single_layer_may_cross_zero(self) -> None:
        Phi = np.diag([1.0, -2.0, 3.0])
        problem = Problem(losses.Squared(Phi), initialization.identity((3, 3), 0.5), 5.0)
        found = solved(problem)
        assert found.det_sign[[0, -1]].tolist() == [1, -1]


class TestIsRefused:
    def test_with_the_condition_that_fails(self) -> None:
        case = problems.aligned(2)
        Phi, layers = case.problem.loss.Phi, case.problem.layers
        for problem, reason in (
            (problems.balanced((3, 3, 3)), "must be aligned"),
            (Problem(losses.Squared(Phi), (layers[0], 2 * layers[1]), 1.0), "must be balanced"),
            (Problem(lambda W: (W**4).sum(), layers, 1.0), "must be quadratic"),
        ):
            with pytest.raises(ValueError, match=f"modes: .*{reason}.*take another"):
                flowsim.solve(problem, "modes")

    def test_when_a_file_is_read_where_that_is_known_then(self) -> None:
        assert scenario_texts.told(ALIGNED) == ()
        (told,) = scenario_texts.told(ALIGNED.replace('"aligned"', '"gaussian"'))
        assert told.startswith("s.toml:")
        assert 'flow.spaces: names "modes", but init.kind = "gaussian" draws' in told
        text = scenario_texts.REGRESSION.replace("horizon = 1", 'horizon = 1\nspaces = ["modes"]')
        (told,) = scenario_texts.told(text.replace('"regression"', '"logistic"'))
        assert "gradient that is not linear in W" in told
        (told,) = scenario_texts.told(text.replace('"regression"', '"regression"\np = 4'))
        assert "p = 4" in told

    @pytest.mark.parametrize("where", ["", "in variant v, "])
    def test_else_before_anything_is_simulated(self, tmp_path: Path, capsys, where) -> None:
        text = ALIGNED.replace('"aligned"', '"identity"')
        if where:
            text = ALIGNED + '\n[[variant]]\nname = "v"\nset = { "init.kind" = "identity" }\n'
        file, directory = tmp_path / "s.toml", tmp_path / "run"
        file.write_text(text, encoding="utf-8")
        assert main(["run", str(file), "-o", str(directory), "--no-figures"]) == 2
        told = capsys.readouterr()
        assert f"{where}flow.spaces: modes: the start must be aligned" in told.err
        assert not directory.exists()
        assert told.out == ""


def test_a_run_holds_what_modes_know() -> None:
    run = flowsim.run(from_toml(ALIGNED))
    assert run["modes.log_singular_values"].shape == run["modes.singular_values"].shape
    assert run["comparison.modes_vs_exact"].max() < 1e-6
    assert run["comparison.descent_vs_flow"][1, -1] < 1e-2
    np.testing.assert_allclose(run["exact.loss"], run["modes.loss"], atol=1e-6)
    assert set(figures.available(run)) >= {"singular_values", "loss", "plane"}
