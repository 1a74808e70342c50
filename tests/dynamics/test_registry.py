"""The registries of formulations and update rules agree with the classes that they stand for."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from flowsim.dynamics import rules, update_rules
from flowsim.dynamics.registry import FLOWS, RULES, FlowName, Momentum, RuleName
from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem

WIDTHS = (3, 4, 2)


def problem() -> Problem:
    Phi = np.eye(2, 3) * [[2.0], [1.0]]
    return Problem(losses.Squared(Phi), initialization.aligned(WIDTHS, 0.1, Phi), 1.0)


def test_names_in_files_are_those_of_the_registries() -> None:
    assert get_args(FlowName) == tuple(FLOWS)
    assert get_args(RuleName) == tuple(RULES)
    assert set(update_rules.TABLEAUS) < set(RULES)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_has_the_declared_name_and_state(name: str) -> None:
    flow = FLOWS[name].build(problem())
    assert flow.space == name
    sizes = [matrix.size for matrix in flow.initial_state(problem())]
    assert sum(sizes) == FLOWS[name].state_size(WIDTHS)


@pytest.mark.parametrize("name", FLOWS)
def test_the_second_solve_is_in_the_declared_formulation(name: str) -> None:
    flow, _ = FLOWS[name].build(problem()).second_solve(problem())
    assert flow.space == FLOWS[name].checked_in


@pytest.mark.parametrize("name", RULES)
def test_every_update_rule_can_be_made(name: RuleName) -> None:
    assert isinstance(rules.named(name), rules.Rule)


@pytest.mark.parametrize(
    ("name", "momentum"),
    [(name, 0.0) for name in RULES] + [("nesterov", 0.9), ("nesterov", "increasing")],
)
def test_a_rule_follows_the_flow_where_that_is_declared(name: RuleName, momentum: Momentum) -> None:
    assert rules.named(name, momentum=momentum).follows_flow == (
        RULES[name].follows_flow and momentum != "increasing"
    )


def test_the_registries_need_neither_numpy_nor_jax() -> None:
    program = (
        "import sys, flowsim.dynamics.registry\n"
        "sys.exit(bool({'numpy', 'jax', 'equinox'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
