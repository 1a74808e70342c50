"""Interrupted runs: at every moment either the summary says so, or the results are complete."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from flowsim.experiment import simulation
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.results.run import Run
from flowsim.solvers.monitor import Monitor

PLAIN = """
title = "Stopped at every moment"
[network]
widths = [2, 2, 2]
[loss]
kind = "squared"
target = [[2.0, 0.0], [0.0, 1.0]]
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 2.0
samples = 4
[descent]
step_sizes = [0.1, 0.5]
[output]
plane = true
measures = ["sharpness", "speed", "norms"]
[[claims]]
quantity = "sharpness.largest"
reduce = "max"
above = 0.0
"""
RELATIVE = PLAIN.replace("[0.1, 0.5]", '{ values = [0.1, 0.5], relative_to = "flow" }').replace(
    '[[claims]]\nquantity = "',
    '[[variant]]\nname = "one"\nset = { seed = 1 }\n'
    '[[variant]]\nname = "two"\nset = { seed = 2 }\n'
    '[[claims]]\nquantity = "one/',
)


def stopped_at(call: int, text: str = PLAIN) -> tuple[Run, bool]:
    """Return a run that is stopped at this request for a stop, and whether it came so far."""
    calls = iter(range(1, 10**6))
    seen: list[bool] = []

    def stop() -> bool:
        seen.append(next(calls) >= call)
        return seen[-1]

    return run(from_toml(text), "stopped", monitor=Monitor(stop_requested=stop)), any(seen)


@cache
def whole(text: str) -> Run:
    return run(from_toml(text), "whole")


def leaves(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    else:
        for branch in tree.values():
            yield from leaves(branch)


def check(found: Run, text: str) -> None:
    """Assert that a run says that it was interrupted, or is that without an interrupt, bitwise."""
    if "interrupted" in leaves(found.summary["outcome"]):
        assert found.summary["exit_code"] == 130
        return
    assert found.summary["exit_code"] == 0
    assert list(found.paths()) == list(whole(text).paths())
    for path in found.paths():
        np.testing.assert_array_equal(found[path], whole(text)[path])
    for key in whole(text).summary.keys() - {"seconds", "provenance"}:
        assert found.summary[key] == whole(text).summary[key]


def calls_of(text: str) -> int:
    """Return the number of requests for a stop of a whole run."""
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(False)
        return False

    run(from_toml(text), "asked", monitor=Monitor(stop_requested=stop))
    return len(asked)


@pytest.mark.parametrize("fraction", [0.6, 1.0])
def test_a_stop_is_in_the_summary_or_changes_nothing(fraction: float) -> None:
    found, _ = stopped_at(max(1, round(fraction * calls_of(PLAIN))))
    check(found, PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "every"), [(PLAIN, 1), (RELATIVE, 20)], ids=["plain", "variants"])
def test_a_stop_at_every_moment_is_in_the_summary_or_changes_nothing(
    text: str, every: int, monkeypatch
) -> None:
    monkeypatch.setattr("flowsim.solvers.chunks.CHUNK_SECONDS", 1e-3)
    call, came = 1, True
    while came:
        found, came = stopped_at(call, text)
        check(found, text)
        call += every
    assert call > 20
    assert found.summary["exit_code"] == 0


def test_every_stage_after_the_flows_is_interrupted(monkeypatch) -> None:
    solved: list[str] = []
    solve = simulation.solve

    def recorded(problem: Any, space: str, **options: Any) -> Any:
        solution = solve(problem, space, **options)
        solved.append(space)
        return solution

    monkeypatch.setattr(simulation, "solve", recorded)
    monitor = Monitor(stop_requested=lambda: len(solved) == 2)
    found = run(from_toml(PLAIN), "between", monitor=monitor)
    assert found.summary["outcome"] == {
        "layers": "completed",
        "end_to_end": "completed",
        "descent": {"0.1": "interrupted", "0.5": "interrupted"},
        "plane": "interrupted",
        "sharpness": "interrupted",
        "speed": "interrupted",
        "norms": "interrupted",
    }
    assert found.summary["exit_code"] == 130
    assert "descent" not in found.groups
    assert found.summary["claims"][0]["value"] is None


def test_a_diagnostic_that_is_stopped_and_all_after_it_are_interrupted() -> None:
    told: list[str] = []
    monitor = Monitor(lambda task, _: told.append(task), lambda: "sharpness" in told)
    found = run(from_toml(PLAIN), "measuring", monitor=monitor)
    outcome = found.summary["outcome"]
    assert outcome["descent"] == {"0.1": "completed", "0.5": "completed"}
    assert "plane" not in outcome
    assert outcome["sharpness"] == outcome["speed"] == outcome["norms"] == "interrupted"
    assert np.isnan(found["sharpness.largest"]).tolist() == [False, True, True, True]
    assert found.summary["exit_code"] == 130


def test_verdicts_are_known_before_a_diagnostic_can_be_stopped(monkeypatch) -> None:
    """They take seconds to compile, and the summary of a stopped run needs them at once."""
    known: list[bool] = []
    monkeypatch.setattr(
        module := import_module("flowsim.experiment.run"),
        "diagnostic_groups",
        lambda plan, outcome, monitor: (
            known.extend("ending" in vars(flow) for flow in outcome.flows.values()),
            known.append("endings" in vars(outcome.descent)),
            simulation.diagnostic_groups(plan, outcome, monitor),
        )[-1],
    )
    assert module.run(from_toml(PLAIN), "verdicts").summary["exit_code"] == 0
    assert known == [True, True, True]


def test_a_stop_while_the_unit_of_step_sizes_is_found_is_in_the_summary() -> None:
    found, _ = stopped_at(2, RELATIVE)
    assert found.summary["outcome"]["one"]["descent"] == "interrupted"
    assert found.summary["outcome"]["two"] == "interrupted"
    assert found.summary["exit_code"] == 130


def test_a_request_that_is_withdrawn_stays_made() -> None:
    once = iter([False, True])
    monitor = Monitor(stop_requested=lambda: next(once, False))
    outcome = run(from_toml(PLAIN), "once", monitor=monitor).summary["outcome"]
    assert set(leaves({k: v for k, v in outcome.items() if k != "layers"})) == {"interrupted"}
