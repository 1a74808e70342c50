"""Stopping criteria, against the exact time at which a scalar flow meets them.

At depth 1 and ℓ = ½(w - 1)² from w = 0, w = 1 - e^{-t}: the loss is ½e^{-2t}, and |∇ℓ| = |w - 1| =
e^{-t}. From diagonal layers of depth 2 each mode follows σ̇ = 2σ(φ - σ).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from flowsim.problem.losses import Linear, Squared
from flowsim.problem.problem import Problem
from flowsim.problem.spectra import effective_rank
from flowsim.scenario.spec.stop import StopAt
from flowsim.solvers import chunks
from flowsim.solvers.solve import solve
from flowsim.solvers.stopping import QUANTITIES
from flowsim.solvers.verdict import Verdict

QUICK = {"rtol": 1e-9, "estimate_error": False, "method": "dopri8"}
SCALAR = Problem(Squared([[1.0]]), [[[0.0]]], 40.0)
PHI = np.array([3.0, 2.0])
DIAGONAL = Problem(Squared(np.diag(PHI)), [0.1 * np.eye(2), 0.1 * np.eye(2)], 30.0)


def modes(t: float) -> np.ndarray:
    """Return the singular values of `DIAGONAL` by the closed form of the logistic equation."""
    return PHI / (1 + (PHI / 0.01 - 1) * np.exp(-2 * PHI * t))


@pytest.mark.parametrize(
    ("stop", "time"),
    [
        ({"loss": 1e-4}, np.log(0.5e4) / 2),
        ({"gradient_norm": 1e-6}, np.log(1e6)),
        (lambda _, W: W[0, 0] - 0.75, np.log(4)),
        pytest.param(lambda t, _: t - 2.5, 2.5, marks=pytest.mark.slow),
        pytest.param({"distance": 1e-3}, np.log(1e3), marks=pytest.mark.slow),
        pytest.param({"distance": 1e-3, "loss": 1e-1}, np.log(5) / 2, marks=pytest.mark.slow),
        pytest.param([{"loss": 1e-4}, lambda t, _: t - 0.125], 0.125, marks=pytest.mark.slow),
    ],
)
def test_a_scalar_flow_ends_at_the_exact_time(stop, time) -> None:
    times = np.linspace(0, 40, 81)
    found = solve(SCALAR, times=times, stop=stop, **QUICK)
    assert found.verdict is Verdict.STOPPED_AT_CRITERION
    assert found.verdict.outcome == "completed"
    assert found.ending.at == found.times[-1] == pytest.approx(time, rel=1e-8)
    np.testing.assert_array_equal(found.times[:-1], times[times < time])
    exact = -np.expm1(-found.times)
    np.testing.assert_allclose(found.end_to_end[:, 0, 0], exact, rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["layers", "end_to_end"])
def test_the_effective_rank_is_met_from_above_and_from_below(space) -> None:
    """It falls from 2, as the first mode is learned, and rises with the second."""

    def excess(t: float) -> float:
        return float(effective_rank(modes(t))) - level

    for level, start, bracket in ((1.75, 0.0, (0, 0.9)), (1.8, 0.9, (0.9, 3))):
        layers = [np.diag(np.sqrt(modes(start)))] * 2
        problem = Problem(DIAGONAL.loss, layers, 30.0)
        found = solve(problem, space, stop={"effective_rank": level}, **QUICK)
        assert found.ending.details == {"criterion": "effective_rank"}
        assert found.times[-1] + start == pytest.approx(brentq(excess, *bracket), rel=1e-7)


def test_the_held_out_loss_is_that_of_another_loss() -> None:
    other = Squared([[2.0]])
    found = solve(SCALAR, stop={"held_out_loss": 0.72}, held_out=other, **QUICK)
    assert found.times[-1] == pytest.approx(np.log(5), rel=1e-8)  # ½(2 - w)² = 0.72 at w = 0.8
    assert found.ending.details == {"criterion": "held_out_loss"}


@pytest.mark.slow
def test_a_function_reads_its_variables_when_the_flow_begins() -> None:
    level = 0.5

    def half(t, W):
        return W[0, 0] - level

    ends = []
    for level in (0.5, 0.75):  # noqa: B007
        found = solve(SCALAR, stop=half, **QUICK)
        assert str(found.ending) == "stopped at criterion (criterion: half)"
        ends.append(found.times[-1])
    assert ends == pytest.approx([np.log(2), np.log(4)], rel=1e-8)


@pytest.mark.parametrize("method", ["auto", pytest.param("kvaerno5", marks=pytest.mark.slow)])
def test_stops_are_bitwise_the_same_however_a_run_is_divided_into_chunks(
    monkeypatch, method
) -> None:
    def ended(seconds: float, first: int) -> np.ndarray:
        monkeypatch.setattr(chunks, "CHUNK_SECONDS", seconds)
        monkeypatch.setattr(chunks, "FIRST_CHUNK", first)
        monkeypatch.setattr(chunks, "_SLOWEST", {})
        found = solve(DIAGONAL, stop=["converged", {"loss": 1e-20}], method=method)
        return np.concatenate([found.times, found.loss, found.error_estimate])

    np.testing.assert_array_equal(ended(1e-9, 1), ended(10.0, 1 << 20))


def test_a_criterion_that_is_met_at_the_start_ends_there() -> None:
    for stop in ({"loss": 1.0}, lambda t, _: t):
        found = solve(SCALAR, stop=stop, **QUICK)
        assert found.times.tolist() == [0.0]
        assert found.verdict is Verdict.STOPPED_AT_CRITERION


class TestConverged:
    def test_it_ends_once_the_loss_is_at_its_minimum(self) -> None:
        """At |dℓ/dt| t = e^{-2t} t = 1e-6 ℓ(0), or 1e-6 of ½."""
        found = solve(SCALAR, stop="converged", **QUICK)
        time = brentq(lambda t: np.exp(-2 * t) * t - 0.5e-6, 1, 20)
        assert found.verdict is Verdict.CONVERGED
        assert found.ending.details["certificate"] == "the normal equations hold"
        assert found.times[-1] == pytest.approx(time, rel=1e-6)

    @pytest.mark.parametrize(
        "space", ["layers", pytest.param("end_to_end", marks=pytest.mark.slow)]
    )
    def test_a_plateau_does_not_end_it(self, space) -> None:
        """Modes of 1e-6 and 1e-12 are learned at about 2.5 and 7, after a plateau each."""
        layers = [np.diag([1e-3, 1e-6])] * 2
        problem = Problem(Squared(np.diag(PHI)), layers, 1e4)
        found = solve(problem, space, stop="converged", times=[0, 1, 5, 1e4], **QUICK)
        assert found.verdict is Verdict.CONVERGED
        assert found.loss[-1] < 1e-5 * found.loss[0]
        assert 8 < found.times[-1] < 20
        assert found.times[:-1].tolist() == [0, 1, 5]

    def test_a_plateau_at_the_horizon_is_reported(self) -> None:
        problem = Problem(Squared(np.diag(PHI)), [np.diag([1e-3, 1e-9])] * 2, 5.0)
        assert solve(problem, stop="converged", **QUICK).verdict is Verdict.PLATEAU

    def test_a_loss_without_a_minimum_does_not_converge(self) -> None:
        problem = Problem(Linear([[1.0]]), [[[1.0]]], 10.0)
        assert solve(problem, stop="converged", **QUICK).stopped is Verdict.REACHED_HORIZON


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("at rest", "stop must be \"converged\", a table .* but is 'at rest'"),
        (1e-6, "stop must be .*, but is 1e-06"),
        ({"norm": 1.0}, "stop must name one of loss, gradient_norm, .*, but has 'norm'"),
        ({"loss": np.nan}, "stop: loss must be finite, but is nan"),
        ({"loss": "1"}, "stop: loss must be a number, finite, but is '1'"),
        ({"held_out_loss": 1.0}, "stop: held_out_loss needs held_out"),
        (lambda _, W: W, "stop must be a differentiable function .*, but it failed"),
        (lambda _, W: float(W[0, 0]), "write it with jax.numpy alone"),
        (lambda _, W: jnp.log(W[0, 0]), r"g\(0, W\(0\)\) must be a finite number, but is"),
    ],
)
def test_other_criteria_are_rejected(stop, said) -> None:
    with pytest.raises(ValueError, match=said):
        solve(SCALAR, stop=stop)


def test_files_name_the_same_quantities() -> None:
    assert StopAt.model_fields.keys() == QUANTITIES.keys()


def test_a_distance_needs_a_target() -> None:
    problem = Problem(Linear([[1.0]]), [[[1.0]]], 1.0)
    with pytest.raises(ValueError, match="needs a loss with a target"):
        solve(problem, stop={"distance": 1.0})
