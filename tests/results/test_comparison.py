"""Comparison of runs: differences that are known, beside error estimates that are known."""

from __future__ import annotations

import json
from dataclasses import replace

import made_runs
import numpy as np
import pytest

import flowsim
from flowsim.cli import main
from flowsim.experiment.plan.reading import from_toml
from flowsim.results import archive
from flowsim.results.comparison import Comparison, compare
from flowsim.results.run import Run, Variable

SCENARIO = from_toml(made_runs.TOML)
TIMES = np.linspace(0.0, 1.0, 11)
MATRIX = np.array([[3.0, 0.0], [0.0, 4.0]])
"""W(t) = t · MATRIX has ‖W(t)‖_F = 5 t, and ½‖W‖² = 12.5 t²."""


def flow(shift: float = 0.0, error: float = 1e-3, times: np.ndarray = TIMES) -> dict:
    """Return the group of a flow W(t) + shift · E, E of norm 1 along W, for t > 0."""
    size = 5 * times + shift * (times > 0)
    W = size[:, None, None] * MATRIX / 5
    dims = ("time", "output", "input")
    return {
        "time": Variable(("time",), times),
        "loss": Variable(("time",), 0.5 * size**2),
        "error_estimate": Variable(("time",), error * (times > 0)),
        "singular_values": Variable(("time", "mode"), size[:, None] * np.array([0.8, 0.6])),
        "end_to_end": Variable(dims, W),
    }


def run(groups: dict | None = None, **more: dict) -> Run:
    groups = {"layers": groups or flow(), **more}
    return Run("made", SCENARIO, groups, made_runs.summary(SCENARIO))


def test_a_run_agrees_with_itself_with_difference_zero() -> None:
    found = compare(made_runs.plain(), made_runs.plain())
    assert found.agrees
    assert {each.largest for each in found.differences} == {0.0}  # nan and inf equal themselves
    assert found.only_in == ((), ())
    assert "descent.outcome" in {each.path for each in found.differences}


def test_the_largest_difference_and_both_error_estimates_are_those_of_the_runs() -> None:
    found = compare(run(flow(error=1e-3)), run(flow(shift=0.5e-3, error=2e-4)))
    assert found.agrees
    W = found["layers.end_to_end"]
    assert W.largest == pytest.approx(0.8 * 0.5e-3)
    assert W.relative == pytest.approx(0.8 * 0.5e-3 / 4, rel=1e-3)
    assert W.errors == pytest.approx((1e-3, 2e-4), rel=1e-3)
    assert W.place.endswith("output = 1, input = 1")
    # dℓ/d‖W‖ = ‖W‖ ≤ 5
    loss = found["layers.loss"]
    assert loss.largest == pytest.approx(5 * 0.5e-3, rel=1e-3)
    assert loss.errors == pytest.approx((5e-3, 1e-3), rel=1e-3)
    assert loss.place == "time = 1"


@pytest.mark.parametrize(("shift", "agrees"), [(1.9e-3, True), (-1.9e-3, True), (2.6e-3, False)])
def test_runs_disagree_beyond_the_sum_of_their_error_estimates(shift: float, agrees: bool) -> None:
    found = compare(run(flow()), run(flow(shift)))
    assert found.agrees is agrees
    assert found["layers.end_to_end"].is_beyond is not agrees
    assert ("✗" in repr(found)) is not agrees


def test_an_error_estimate_counts_from_its_time_on() -> None:
    late = flow()
    late["error_estimate"] = Variable(("time",), np.where(TIMES > 0.85, np.inf, 0.0))
    other = flow()
    W = other["end_to_end"].values.copy()
    W[-1] += 1.0
    other["end_to_end"] = replace(other["end_to_end"], held=W)
    assert compare(run(late), run(other))["layers.end_to_end"].is_beyond is False
    W[5] += 0.1
    other["end_to_end"] = replace(other["end_to_end"], held=W.copy())
    found = compare(run(late), run(other))["layers.end_to_end"]
    assert found.is_beyond
    assert found.place.startswith("time = 0.5")  # the larger one at t = 1 is within its estimate


@pytest.mark.parametrize(
    ("value", "largest"), [(np.nan, np.inf), (np.inf, np.inf), (1.0 + 1e-7, 1e-7), (1.0, 0.0)]
)
def test_values_without_an_error_estimate_agree_up_to_rounding(value, largest: float) -> None:
    def descent(last: float) -> dict:
        return {
            "step_size": Variable(("step_size",), np.array([0.1])),
            "loss": Variable(("step_size", "sample"), np.array([[np.nan, last]])),
        }

    found = compare(run(descent=descent(1.0)), run(descent=descent(value)))["descent.loss"]
    assert found.largest == pytest.approx(largest)
    assert np.isnan(found.errors).all()
    assert found.is_beyond is (largest > 0)


def test_other_times_are_reported_and_common_ones_compared() -> None:
    found = compare(run(), run(flow(times=np.array([0.0, 0.25, 1.0]))))
    assert found.not_compared == {"layers.time": "11 and 3 values, 2 in common"}
    assert found.agrees
    assert found["layers.loss"].largest == 0.0


def test_w_stored_at_some_times_is_compared_with_w_stored_at_all() -> None:
    some = flow()
    some["saved_time"] = Variable(("saved_time",), TIMES[[0, 5, 10]])
    W = some["end_to_end"].values[[0, 5, 10]]
    some["end_to_end"] = Variable(("saved_time", "output", "input"), W + 1.0)
    found = compare(run(), run(some))
    assert found["layers.end_to_end"].largest == pytest.approx(1.0)
    assert not found.not_compared


def test_shapes_names_and_recorded_iterates_that_differ_are_reported() -> None:
    def descent(second: int, name: str) -> dict:
        grid = ("step_size", "sample")
        return {
            "step_size": Variable(("step_size",), np.array([0.1])),
            "iteration": Variable(grid, np.array([[0, second]])),
            name: Variable(grid, np.ones((1, 2))),
        }

    wide = flow()
    wide["singular_values"] = Variable(("time", "mode"), np.ones((11, 3)))
    a = run(flow(), descent={**descent(3, "loss"), "extra": Variable((), np.array(1.0))})
    found = compare(a, run(wide, descent=descent(4, "loss")))
    assert found.not_compared == {
        "layers.singular_values": "lengths of mode differ: 2 and 3",
        "descent.loss": "iterates were recorded at other times",
    }
    assert found["descent.iteration"].is_beyond
    assert found.only_in == (("descent.extra",), ())
    with pytest.raises(KeyError, match="lengths of mode differ"):
        _ = found["layers.singular_values"]


def test_a_small_difference_of_large_values_agrees_up_to_their_rounding() -> None:
    def group(apart: float) -> dict:
        return {"potential": Variable((), np.array(1.0)), "apart": Variable((), np.array(apart))}

    assert compare(run(made=group(2e-16)), run(made=group(0.0))).agrees
    assert not compare(run(made=group(2e-12)), run(made=group(0.0))).agrees


def test_imbalance_is_compared_on_the_scale_of_the_layers() -> None:
    def layers(imbalance: float) -> dict:
        values = Variable(("time", "pair"), np.full((11, 1), imbalance))
        return {**flow(), "imbalance": values, "squared_norm": Variable(("time",), 10 * TIMES)}

    found = compare(run(layers(1e-13)), run(layers(3e-12)))["layers.imbalance"]
    assert found.scale == 10.0
    assert not found.is_beyond
    assert compare(run(layers(0.0)), run(layers(0.1)))["layers.imbalance"].is_beyond


def test_variants_are_compared_by_name() -> None:
    a = made_runs.with_variants()
    b = replace(a, variants={"slow": a.variants["slow"], "quick": a.variants["fast"]})
    found = compare(a, b)
    assert all(each.path.startswith("slow/") for each in found.differences)
    assert all(path.startswith("fast/") for path in found.only_in[0])
    assert all(path.startswith("quick/") for path in found.only_in[1])


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (3, made_runs.plain(), "first must be a Run or the directory of one, but is 3"),
        (made_runs.plain(), None, "second must be a Run or the directory of one, but is None"),
        (made_runs.plain(), made_runs.with_variants(), "no variable in common"),
        (run(flow(times=TIMES + 2)), run(), "layers.loss: no time in common"),
    ],
)
def test_what_cannot_be_compared_is_rejected_with_the_reason(first, second, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compare(first, second)


@pytest.fixture
def stored(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, made in {"a": run(), "near": run(flow(1e-3)), "far": run(flow(0.1))}.items():
        archive.write(made, name)


@pytest.mark.parametrize(("other", "code"), [("a", 0), ("near", 0), ("far", 1), ("lost", 2)])
def test_the_exit_code_is_1_beyond_the_error_estimates(stored, other, code, capsys) -> None:
    assert main(["compare", "a", other]) == code
    shown = capsys.readouterr()
    if code == 2:
        assert shown.err == "There is no run at 'lost'.\n"
        assert shown.out == ""
        return
    assert f"{3 * code} of 3 variables differ by more than the error estimates" in shown.out
    assert main(["compare", "a", other, "--json"]) == code
    record = json.loads(capsys.readouterr().out)
    assert record["runs"] == ["a", other]
    assert record["agrees"] is (code == 0)
    paths = [each["variable"] for each in record["variables"]]
    assert paths == ["layers.loss", "layers.singular_values", "layers.end_to_end"]
    if other != "a":
        assert record["variables"][2]["error_estimates"] == pytest.approx([1e-3, 1e-3], rel=1e-3)


def test_runs_with_nothing_in_common_are_bad_input(stored, capsys) -> None:
    archive.write(made_runs.with_variants(), "many")
    assert main(["compare", "a", "many"]) == 2
    assert "no variable in common" in capsys.readouterr().err


def test_python_takes_directories() -> None:
    assert flowsim.compare is compare


def test_directories_and_runs_are_the_same(stored) -> None:
    found = compare("a", run(flow(0.1)))
    assert isinstance(found, Comparison)
    assert found.record() == compare("a", "far").record()


@pytest.mark.slow
def test_a_real_flow_agrees_at_two_tolerances_and_not_from_another_start() -> None:
    changes = [{"flow.rtol": 1e-5}, {"flow.rtol": 1e-8}, {"flow.rtol": 1e-8, "init.scale": 0.02}]
    coarse, fine, other = (
        flowsim.run(from_toml(made_runs.TOML, overrides=each)) for each in changes
    )
    found = compare(coarse, fine)
    assert found.agrees
    assert 0 < found["layers.end_to_end"].largest < 1e-5
    assert not compare(fine, other).agrees
