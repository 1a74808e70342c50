"""Compiled programs are freed before they use up what the system grants."""

from __future__ import annotations

import numpy as np
import pytest

import flowsim
from flowsim import inits, losses
from flowsim.solvers import programs


@pytest.fixture
def freed(monkeypatch) -> list[int]:
    """Note how often programs are freed."""
    found: list[int] = []
    monkeypatch.setattr(programs, "free_programs", lambda: found.append(1))
    return found


@pytest.mark.parametrize(("maps", "times"), [(30_001, 2), (30_000, 0), (0, 0)])
def test_many_memory_maps_free_programs(freed, monkeypatch, maps: int, times: int) -> None:
    monkeypatch.setattr(programs, "memory_maps", lambda: maps)
    for _ in range(2 * programs.OFTEN):
        programs.make_room()
    assert len(freed) == times


def test_every_solution_and_descent_makes_room(freed, monkeypatch) -> None:
    monkeypatch.setattr(programs, "memory_maps", lambda: 10**6)
    monkeypatch.setattr(programs, "OFTEN", 1)
    start = inits.balanced([2, 2], 0.1, np.random.default_rng(0))
    problem = flowsim.Problem(losses.Squared(np.eye(2)), start, 1.0)
    flow = flowsim.solve(problem)
    assert len(freed) >= 1
    before = len(freed)
    flowsim.descend(problem, [0.1], flow.times)
    assert len(freed) > before


def test_the_maps_of_this_process_are_counted() -> None:
    assert programs.memory_maps() == 0 or programs.memory_maps() > 10
