"""What a run leaves of its convergence: in memory, on disk, in claims and in notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import flowsim
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.results import archive
from flowsim.results.run import Group, Run
from flowsim.scenario.build.problem import build_problem
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.solvers.monitor import Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.global_minimum import global_minimum
from flowsim.theory.setting import Setting, measure

BASE = """
title = "One number"
[network]
widths = [1, 1, 1]
[loss]
kind = "squared"
target = [[1.0]]
[init]
kind = "identity"
scale = 0.8
[flow]
horizon = 3.0
samples = 31
rtol = 1e-11
[descent]
step_sizes = [1e-5, 0.1]
[output]
measures = ["convergence"]
"""
LOGISTIC = """
title = "Classes that overlap"
[network]
widths = [2, 2, 1]
[loss]
kind = "logistic"
[data]
inputs = [[1.0, -1.0, 0.5, 2.0], [0.3, 1.0, -2.0, 0.1]]
targets = [[1, -1, -1, -1]]
[init]
kind = "gaussian"
scale = 0.3
[flow]
horizon = 60.0
samples = 601
rtol = 1e-10
[output]
measures = ["convergence"]
"""


@pytest.fixture(scope="module")
def one() -> Run:
    return run(from_toml(BASE), "one")


def test_one_number_has_the_rates_of_its_solution(one: Run) -> None:
    """s(t) = 1/(1 + e^{-2t}/4) from 0.8 to 1: rate 4s, bound 3.2, P_W = 2s."""
    t, s = one["convergence.time"], 1 / (1 + 0.25 * np.exp(-2 * one["convergence.time"]))
    excess = 0.5 * (1 - s) ** 2
    assert np.abs(one["convergence.excess_loss"] - excess).max() <= one["convergence.error"].max()
    np.testing.assert_allclose(one["convergence.rate"], 4 * s, rtol=1e-8)
    np.testing.assert_allclose(one["convergence.smallest_eigenvalue"], 2 * s, rtol=1e-8)
    np.testing.assert_allclose(one["convergence.decrease"], 2 * s * (1 - s) ** 2, rtol=1e-6)
    np.testing.assert_allclose(one["convergence.bound"], 0.02 * np.exp(-3.2 * t), rtol=1e-12)
    np.testing.assert_allclose(one["convergence.distance_to_minimum"], 1 - s, rtol=1e-6)
    for name in ("bound_ratio", "running_ratio"):
        assert one[f"convergence.{name}"].max() <= 1
        assert one[f"convergence.{name}"][0] == pytest.approx(1, abs=1e-9)
    wanted = {
        "deficiency_margin": 0.8,
        "rate_bound": 3.2,
        "minimum": 0.0,
        "polyak_lojasiewicz": 1.0,
    }
    wanted["largest_step_size"] = 0.8**3 / (6144 * 8)
    for name, value in wanted.items():
        assert one[f"convergence.{name}"] == pytest.approx(value, rel=1e-12)


def test_iterations_lie_where_the_recorded_ones_say(one: Run) -> None:
    s, count = 0.8, 0
    while (1 - s) ** 2 > 1e-3 * 0.2**2:
        s, count = s * (1 + 0.1 * (1 - s)) ** 2, count + 1
    above, measured = one["convergence.iterations_above"], one["convergence.iterations_measured"]
    assert above[1] < count <= measured[1]
    promised = one["convergence.iterations_bound"]
    assert promised[0] == np.ceil(np.log(1e3) / (1e-5 * 0.8))
    assert measured[0] < promised[0]
    assert np.isnan(promised[1])


def test_hypotheses_are_told_by_name(one: Run) -> None:
    names = list(one["convergence.hypothesis"])
    assert (one["convergence.holds"] == 1).all()
    assert not any("does not apply" in note for note in one.summary["notes"])
    lost = run(from_toml(BASE.replace("[[1.0]]", "[[-1.0]]")), "lost")
    assert lost["convergence.holds"][names.index("deficiency margin")] == 0
    assert np.isnan(lost["convergence.holds"][names.index("approximate balance")])
    told = [note for note in lost.summary["notes"] if "deficiency margin fails" in note]
    assert len(told) == 2
    assert told[0].startswith("convergence: the bound on the flow does not apply")
    assert "but it is -0.8" in told[0]
    assert np.isnan(lost["convergence.bound"]).all()
    assert (lost["convergence.running_ratio"] <= 1).all()


def test_single_numbers_survive_the_disk_and_can_be_claimed(one: Run, tmp_path: Path) -> None:
    archive.write(one, tmp_path / "one")
    again = archive.read(tmp_path / "one")
    for name, variable in one.groups["convergence"].items():
        other = again.groups["convergence"][name]
        assert other.dims == variable.dims
        np.testing.assert_array_equal(other.values, variable.values)
    tree = flowsim.load(tmp_path / "one")
    assert float(tree["convergence"]["deficiency_margin"]) == pytest.approx(0.8)
    for reduce in ("max", "last", "mean"):
        claim = f'\n[[claims]]\nquantity = "convergence.deficiency_margin"\nreduce = "{reduce}"\n'
        claimed = run(from_toml(BASE + claim + "equals = 0.8\nwithin = 1e-9"), "claimed")
        (found,) = claimed.summary["claims"]
        assert found["holds"]
        assert found["value"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (
            'quantity = "convergence.deficiency_margin"\nat = { time = 1.0 }',
            "which is a single number",
        ),
        (
            'quantity = "convergence.deficiency_margin"\ntrend = "decreasing" #',
            "deficiency_margin is a single number",
        ),
        ('quantity = "convergence.rate"\nat = { mode = 0 }', "which has time"),
        ('quantity = "convergence.iterations_bound"\n#descent', "there is no descent"),
    ],
)
def test_claims_that_cannot_be_are_refused(claim: str, why: str) -> None:
    text = BASE.replace("[descent]\nstep_sizes = [1e-5, 0.1]", "") if "#descent" in claim else BASE
    with pytest.raises(ScenarioError, match=why):
        from_toml(f"{text}\n[[claims]]\n{claim}\nbelow = 1")


def test_weight_decay_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no bound on it supports"):
        from_toml(BASE.replace("horizon", "weight_decay = 0.1\nhorizon"))


@pytest.mark.slow
def test_a_convex_loss_off_balance_comes_to_the_minimum_that_newton_finds() -> None:
    found = run(from_toml(LOGISTIC), "overlapping")
    minimum = global_minimum(build_problem(found.scenario).loss, (1, 2), 1)
    assert found["convergence.minimum"] == minimum.value > 0.1
    distance, excess = found["convergence.distance_to_minimum"], found["convergence.excess_loss"]
    W = found["layers.end_to_end"]
    np.testing.assert_allclose(
        distance, np.linalg.norm(W - minimum.W, axis=(1, 2)), rtol=1e-12, atol=1e-15
    )
    assert excess[-1] < 1e-6 * excess[0]
    time, decrease = found["convergence.time"], found["convergence.decrease"]
    fallen = np.sum(np.diff(time) * 0.5 * (decrease[1:] + decrease[:-1]))
    bend = np.abs(np.diff(decrease, 2)).sum() * (time[1] - time[0]) / 12  # of the trapezoids
    assert fallen == pytest.approx(found["layers.loss"][0] - found["layers.loss"][-1], abs=2 * bend)
    assert (np.diff(found["convergence.loss"])[:100] < 0).all()
    assert np.isnan(found["convergence.running_bound"]).all()
    assert any("it is the loss Logistic" in note for note in found.summary["notes"])


def measured_after_a_stop(trajectory: Trajectory) -> Group:
    """Return the diagnostic of a flow, with a stop requested from its beginning on."""
    scenario = from_toml(BASE)
    monitor = Monitor(stop_requested=lambda: True)
    flows = {"layers": trajectory}
    setting = Setting(scenario, build_problem(scenario), flows, None, monitor)
    return measure("convergence", setting)


def test_an_interrupt_leaves_what_was_reached() -> None:
    flow = solve(build_problem(from_toml(BASE)), keep_layers=True, estimate_error=False)
    found = measured_after_a_stop(flow)
    assert np.isnan(found["decrease"].values).all()
    assert np.isfinite(found["loss"].values).all()


def test_without_a_known_minimum_there_are_no_counts() -> None:
    """A linear loss, which has no minimum; and a start that is the minimum."""
    text = BASE.replace('kind = "squared"\ntarget', 'kind = "linear"\ntarget')
    found = run(from_toml(text.replace("1e-5, ", "")), "unknown")
    for name in ("excess_loss", "rate", "distance_to_minimum", "minimum", "iterations_measured"):
        assert np.isnan(found[f"convergence.{name}"]).all()
    assert np.isnan(found["convergence.iterations_above"]).all()
    assert any(
        "linear loss, which has none, is not computed" in note for note in found.summary["notes"]
    )
    there = run(from_toml(BASE.replace("0.8", "1.0").replace("1e-5, ", "")), "there")
    assert there["convergence.iterations_measured"] == 0
    assert (there["convergence.excess_loss"] == 0).all()


def test_an_interrupted_flow_is_measured_as_far_as_it_came() -> None:
    asked = iter([False] * 2 + [True])
    flow = solve(
        build_problem(from_toml(BASE)),
        times=np.linspace(0, 3, 3000),
        keep_layers=True,
        monitor=Monitor(stop_requested=lambda: next(asked)),
    )
    assert 1 < flow.times.size < 3000
    found = measured_after_a_stop(flow)
    np.testing.assert_array_equal(found["time"].values, flow.times)
    assert found["rate"].shape == flow.times.shape
