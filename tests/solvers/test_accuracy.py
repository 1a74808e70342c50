"""The wanted accuracy: what is done, and what is offered, where the estimate misses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import problems
import pytest

from flowsim.problem.problem import Problem
from flowsim.solvers import accuracy
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.verdict import Verdict

LOOSE = 0.05
PLATEAU = problems.aligned(3, 1e-6)
TIMES = np.linspace(0, PLATEAU.horizon, 20)


def solved(method: str = "tsit5", rtol: float = LOOSE, **choices) -> Trajectory:
    return solve(PLATEAU.problem, times=TIMES, method=method, rtol=rtol, **choices)


@pytest.fixture(scope="module")
def loose() -> Trajectory:
    return solved()


def test_it_is_missed_above_one_percent_of_w(loose) -> None:
    size = accuracy.largest_norm(loose)
    assert size == pytest.approx(PLATEAU.size, rel=0.1)
    of_estimate = lambda share: replace(loose, error_estimate=np.array([0.0, share * size]))  # noqa: E731
    assert not accuracy.is_inaccurate(of_estimate(0.0099))
    assert accuracy.is_inaccurate(of_estimate(0.0101))


def test_the_tolerance_that_is_offered_reaches_it(loose) -> None:
    assert accuracy.is_inaccurate(loose)
    offered = accuracy.remedy(loose, PLATEAU.problem)
    assert offered.space == "layers"
    assert np.log10(offered.rtol) == pytest.approx(round(np.log10(offered.rtol)))
    again = solved(rtol=offered.rtol)
    assert not accuracy.is_inaccurate(again)
    assert PLATEAU.error(again).max() < 0.01 * PLATEAU.size


class TestAuto:
    def test_tightens_by_itself(self, loose) -> None:
        found = solved("auto")
        assert not accuracy.is_inaccurate(found)
        assert found.rtol < LOOSE
        assert PLATEAU.error(found).max() < 0.01 * PLATEAU.size
        assert found.largest_error < loose.largest_error

    def test_a_named_method_keeps_what_was_asked_for(self, loose) -> None:
        assert loose.rtol == LOOSE

    def test_what_is_accurate_stays(self) -> None:
        assert solved("auto", 1e-6).rtol == 1e-6

    def test_the_budget_is_for_all_solutions_together(self, loose) -> None:
        spent = loose.statistics.accepted + loose.statistics.rejected
        found = solved("auto", max_steps=spent + 10)
        assert found.stopped is Verdict.REACHED_HORIZON
        assert found.rtol == LOOSE


def test_from_a_balanced_start_the_layers_are_the_remedy_for_lost_singular_values() -> None:
    made = replace(
        solved(estimate_error=False),
        space="end_to_end",
        error_estimate=np.array([0.0, 0.6 * PLATEAU.size]),
    )
    assert accuracy.remedy(made, PLATEAU.problem) == accuracy.Remedy("layers", 1e-4)
    W_1, *others = PLATEAU.problem.layers
    unbalanced = Problem(PLATEAU.problem.loss, (2 * W_1, *others), PLATEAU.horizon)
    assert accuracy.remedy(made, unbalanced).space == "end_to_end"
