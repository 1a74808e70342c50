"""What exact flows never do: held by every solved flow, and told with its time where broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import problems
import pytest

from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.solvers.invariants import of_descent, of_flow
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory


@pytest.fixture(scope="module")
def case() -> problems.Aligned:
    return problems.aligned(2, 1e-2)


@pytest.fixture(scope="module")
def layers(case) -> Trajectory:
    return solve(case.problem, times=np.linspace(0, case.horizon, 25))


def broken(trajectory: Trajectory, problem: Problem) -> dict[str, float | None]:
    return {each.name: each.broken_at for each in of_flow(replace(trajectory, problem=problem))}


@pytest.mark.parametrize("space", ["layers", "end_to_end"])
@pytest.mark.parametrize("seed", range(3))
def test_solved_flows_hold_all_of_them(space, seed) -> None:
    case = problems.aligned(2, 1e-2, seed=seed)
    for weight_decay in (0.0, 0.3):
        problem = Problem(case.problem.loss, case.problem.layers, case.horizon, weight_decay)
        found = solve(problem, space, times=np.linspace(0, case.horizon, 25))
        watched = broken(found, problem)
        assert {"loss", "det_sign"} <= watched.keys()
        assert ("imbalance" in watched) == (space == "layers")
        assert not any(watched.values())


def test_a_rising_loss_is_told_with_its_time(case, layers) -> None:
    loss = layers.loss.copy()
    loss[7] = loss[6] + 2 * layers.loss_error.max() + 1e-6
    assert broken(replace(layers, loss=loss), case.problem)["loss"] == layers.times[7]


def test_a_rise_within_the_estimated_error_is_none(case, layers) -> None:
    loss, error = layers.loss.copy(), np.full(layers.times.size, 1e-3)
    loss[7] = loss[6] + 0.5e-3
    changed = replace(layers, loss=loss, loss_error=error)
    assert broken(changed, case.problem)["loss"] is None


@pytest.mark.parametrize("seed", [41, 47, 55])
def test_a_flow_at_its_minimum_does_not_rise_by_more_than_the_error_of_w_explains(seed) -> None:
    """The errors of W raise a loss of 1e-30, by ½ ‖error‖² for this loss."""
    rng = np.random.default_rng(seed)
    widths = [(3, 3, 3), (2, 4, 3), (3, 3, 3, 3)][seed % 3]
    Phi = rng.standard_normal((widths[-1], widths[0])) * 10.0 ** rng.integers(-3, 4)
    layers = initialization.from_svd(widths, *np.linalg.svd(Phi, full_matrices=False))
    problem = Problem(losses.Squared(Phi), layers, 10.0)
    found = solve(problem, times=np.linspace(0, 10, 11), method="tsit5", rtol=1e-8)
    assert found.loss.max() > 1e10 * found.loss[0]
    assert broken(found, problem)["loss"] is None
    allowed = 0.5 * np.maximum.accumulate(found.error_estimate) ** 2
    risen = found.loss.copy()
    risen[4] += 10 * (allowed[4] + found.loss_error.max()) + 1e-12 * np.linalg.norm(Phi) ** 2
    assert broken(replace(found, loss=risen), problem)["loss"] == found.times[4]


def test_a_changed_imbalance_is_told_with_its_time(case, layers) -> None:
    imbalance = layers.imbalance.copy()
    imbalance[9:] += 1e-3
    assert (
        broken(replace(layers, imbalance=imbalance), case.problem)["imbalance"] == (layers.times[9])
    )


def test_imbalance_must_fall_with_weight_decay(case, layers) -> None:
    """The same numbers, balanced or not, break the law e^{-2λt} where they do not follow it."""
    decaying = Problem(case.problem.loss, case.problem.layers, case.horizon, 0.5)
    constant = replace(layers, imbalance=np.full_like(layers.imbalance, 0.1))
    assert broken(constant, decaying)["imbalance"] is not None
    falling = 0.1 * np.exp(-layers.times)[:, None]
    assert broken(replace(layers, imbalance=falling), decaying)["imbalance"] is None


def test_a_changed_sign_of_the_determinant_is_told_with_its_time(case, layers) -> None:
    sign = layers.det_sign.copy()
    sign[4] *= -1
    assert broken(replace(layers, det_sign=sign), case.problem)["det_sign"] == layers.times[4]


@pytest.mark.parametrize(
    "start",
    [
        initialization.gaussian((3, 3, 3), 0.1, np.random.default_rng(0)),  # not balanced
        initialization.balanced((3, 2, 3), 0.1, np.random.default_rng(0)),  # of rank 2
        initialization.balanced((3, 3, 2), 0.1, np.random.default_rng(0)),  # W is not square
        initialization.balanced((3, 3), 0.1, np.random.default_rng(0)),  # one layer
    ],
)
def test_the_sign_is_watched_only_where_it_is_an_invariant(start) -> None:
    shape = (start[-1].shape[0], start[0].shape[1])
    problem = Problem(losses.Squared(np.eye(*shape)), start, 1.0)
    found = solve(problem, times=[0.0, 1.0])
    assert "det_sign" not in broken(found, problem)


def test_descent_may_change_the_sign_of_the_determinant(case) -> None:
    """At η = 1.5 the first step takes each of three scalars from 1 to -½."""
    problem = Problem(losses.Squared(np.zeros((1, 1))), [[[1.0]]] * 3, 6.0)
    large, small = of_descent(descend(problem, [1.5, 0.1], np.array([0.0, 1.5])), problem)
    assert [each.broken_at for each in large] == [1.5]
    assert [each.broken_at for each in small] == [None]
