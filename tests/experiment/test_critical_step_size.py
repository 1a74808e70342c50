"""2/sharpness at initialization, at the minimum and along the flow, and step sizes in that unit."""

from __future__ import annotations

import numpy as np
import pytest
from scenario_texts import spoilt, the_mistake, told

from flowsim.experiment.plan.footprint import footprint
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.experiment.step_sizes import NoCriticalStepSizeError, critical_step_size
from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.toml.writing import dumps
from flowsim.solvers.monitor import Monitor
from flowsim.theory.sharpness.measure import extremes

PHI = np.diag([3.0, 1.0])


def following(horizon: float, samples: int = 41) -> np.ndarray:
    return np.linspace(0, horizon, samples)


def scalar(w1: float, w2: float, phi: float, horizon: float, decay: float = 0.0) -> Problem:
    return Problem(losses.Squared(np.array([[phi]])), [[[w1]], [[w2]]], horizon, decay)


@pytest.mark.parametrize("place", ["start", "minimum", "flow"])
def test_of_a_quadratic_it_is_two_over_its_largest_eigenvalue_everywhere(place) -> None:
    """One layer: the Hessian is XXᵀ/m + λ wherever one is."""
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((3, 9)), rng.standard_normal((2, 9))
    problem = Problem(losses.LeastSquares.from_data(X, Y), [np.zeros((2, 3))], 5.0, 0.2)
    found = critical_step_size(place, problem, following(5.0))
    largest = np.linalg.eigvalsh(X @ X.T / 9)[-1] + 0.2
    assert found.step_size == pytest.approx(2 / largest, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 3])
def test_at_a_balanced_minimum_the_sharpness_is_that_of_its_largest_mode(depth) -> None:
    """N σ₁^{2-2/N}, though the horizon lies before the minimum."""
    layers = initialization.identity([2] * (depth + 1), 0.5)
    found = critical_step_size("minimum", Problem(losses.Squared(PHI), layers, 1.0), following(1.0))
    wanted = 2 / (depth * 3 ** (2 - 2 / depth))
    assert abs(found.step_size - wanted) <= found.error + 1e-7 * wanted
    assert found.error < 1e-5 * wanted
    assert found.time > 1


def test_along_the_flow_it_is_the_least_there() -> None:
    """From w = (3, 0.1) the sharpness falls: at the start w₁² and more, at the minimum less."""
    problem = scalar(3.0, 0.1, 1.0, 10.0)
    start, flow, minimum = (
        critical_step_size(place, problem, following(10.0))
        for place in ("start", "flow", "minimum")
    )
    H = np.array([[0.1**2, 2 * 0.3 - 1], [2 * 0.3 - 1, 3.0**2]])
    assert start.step_size == pytest.approx(2 / np.linalg.eigvalsh(H)[-1], rel=1e-12)
    # at a minimum w₁² + w₂², where w₁² - w₂² = c is kept and w₁w₂ = 1
    c = 3.0**2 - 0.1**2
    assert minimum.step_size == pytest.approx(2 / np.sqrt(c**2 + 4), rel=1e-5)
    assert flow.step_size <= min(start.step_size, minimum.step_size) * (1 + 1e-6)
    sharpest = critical_step_size("flow", scalar(0.1, 0.1, 1.0, 20.0), following(20.0))
    assert sharpest.time == pytest.approx(20.0)  # sharpness only rises there, to 2σ
    assert sharpest.step_size == pytest.approx(1.0, rel=1e-6)


def test_the_minimum_is_compared_with_the_sharpness_up_to_the_final_time() -> None:
    """Of w₁ = w₂ = s^½ it is 3s - φ, which rises up to 2φ; s(t) is Saxe's logistic curve."""
    horizon, phi, start = 2.0, 1.0, 0.5
    problem = scalar(np.sqrt(start), np.sqrt(start), phi, horizon)
    found = critical_step_size("minimum", problem, following(horizon))
    at_end = phi / (1 + (phi / start - 1) * np.exp(-2 * phi * horizon))
    assert found.sharpest.ends.largest == pytest.approx(3 * at_end - phi, rel=1e-6)
    assert found.sharpest.time == horizon
    doubled = np.log2(found.time / horizon)
    assert doubled == round(doubled) > 0
    ratio = 2 * phi / (3 * at_end - phi)
    assert found.note() == (
        f"Step sizes are relative to the minimum found at t = {found.time:.4g}, "
        f"{found.time / horizon:g} times the final time; its sharpness 2 is {ratio:.3g} times the "
        f"largest up to the final time, {3 * at_end - phi:.5g} at t = 2."
    )
    assert (
        "t = 20, the final time; "
        in critical_step_size("minimum", scalar(1.0, 0.9, phi, 20.0), following(20.0)).note()
    )
    assert critical_step_size("start", problem, following(horizon)).note() == ""


def test_weight_decay_counts() -> None:
    """At the minimum s = φ - λ of two scalars: s² + … : the Hessian is [[s+λ, s-0], …], by hand."""
    problem = scalar(0.6, 0.6, 2.0, 10.0, decay=0.5)
    found = critical_step_size("minimum", problem, following(10.0))
    s = 2.0 - 0.5
    H = np.array([[s + 0.5, 2 * s - 2.0], [2 * s - 2.0, s + 0.5]])
    assert found.step_size == pytest.approx(2 / np.linalg.eigvalsh(H)[-1], rel=1e-6)
    assert extremes(problem.loss, [np.sqrt([[s]])] * 2, 0.5).largest == pytest.approx(
        np.linalg.eigvalsh(H)[-1]
    )


def test_a_saddle_on_the_way_is_no_minimum() -> None:
    """The second mode waits near 0 long after the first is learned; its minimum is waited for."""
    layers = [np.diag([1.0, 1e-4])] * 2
    problem = Problem(losses.Squared(np.diag([1.0, 2.0])), layers, 3.0)
    found = critical_step_size("minimum", problem, following(3.0))
    assert found.step_size == pytest.approx(2 / 4, rel=1e-6)


def test_where_there_is_none_the_reason_is_said() -> None:
    flat = Problem(losses.Linear(np.eye(2)), [np.eye(2)], 1.0)
    with pytest.raises(NoCriticalStepSizeError, match="sharpness at initialization is 0, but"):
        critical_step_size("start", flat, following(1.0))
    X, y = np.array([[1.0, 2.0, -1.0]]), np.array([[1.0, 1.0, -1.0]])
    apart = Problem(losses.Logistic(X, y), [[[0.1]]], 1.0)
    with pytest.raises(NoCriticalStepSizeError, match="reaches no minimum by t = 4096"):
        critical_step_size("minimum", apart, following(1.0))


@pytest.mark.parametrize("place", ["minimum", "flow"])
def test_an_interrupt_leaves_nothing(place) -> None:
    problem = scalar(0.1, 0.1, 1.0, 20.0)
    assert (
        critical_step_size(
            place, problem, following(20.0), monitor=Monitor(stop_requested=lambda: True)
        )
        is None
    )


RANGE = "{ smallest = 0.5, largest = 2.0, count = 5 }"
RELATIVE = '{ count = 4, smallest = 0.5, largest = 2.0, spacing = "linear", relative_to = "start" }'
MULTIPLES = '{ values = [0.9, 1.1], relative_to = "minimum" }'


def text(step_sizes: str, more: str = "") -> str:
    return spoilt("[0.4, 0.1]", step_sizes) + more


def test_a_range_has_both_ends_and_one_ratio_or_difference() -> None:
    sizes = from_toml(text(RANGE)).descent.sizes
    assert (sizes[0], sizes[-1], len(sizes)) == (0.5, 2.0, 5)
    np.testing.assert_allclose(np.diff(np.log(sizes)), np.log(4) / 4)
    linear = from_toml(text(RELATIVE)).descent
    np.testing.assert_allclose(linear.written, [0.5, 1.0, 1.5, 2.0])
    with pytest.raises(ValueError, match="relative to the sharpness at start"):
        _ = linear.sizes


@pytest.mark.parametrize("written", [RANGE, RELATIVE, MULTIPLES])
def test_written_again_it_is_the_same(written) -> None:
    scenario = from_toml(text(written))
    assert from_toml(dumps(scenario)) == scenario


def test_its_keys_can_be_set_alone() -> None:
    scenario = from_toml(text(RANGE), overrides={"descent.step_sizes.count": 7})
    assert len(scenario.descent.sizes) == 7


@pytest.mark.parametrize(
    ("step_sizes", "complaint"),
    [
        ("{ smallest = 1, largest = 0.5, count = 3 } #!", "step_sizes: goes from 1.0 to 0.5; wr"),
        ("{ smallest = 0, largest = 0.5, count = 3 } #!", "step_sizes.smallest: is 0, but must"),
        ("{ smallest = 0.1, largest = 0.5 } #!", "step_sizes.count: is missing; write count ="),
        ("{ smallest = 0.1, largest = 1, count = 1 } #!", "step_sizes.count: is 1, but must be"),
        ("{ values = [0.1, 0.2] } #!", "step_sizes.relative_to: is missing; write relative_to"),
        ('{ values = [1], relative_to = "end" } #!', 'relative_to: is "end", which is not known'),
        ('{ values = [1, 1], relative_to = "flow" } #!', "values: holds a step size twice"),
        ("{ from = 1, to = 2 } #!", "step_sizes: is a table of no known form; write an array of"),
        ("0.1 #!", "step_sizes: is 0.1, but an array of numbers"),
    ],
)
def test_mistakes_say_what_to_write(step_sizes, complaint) -> None:
    assert complaint in the_mistake(text(step_sizes))


def test_claims_speak_of_step_sizes_as_written() -> None:
    claim = '[[claims]]\nquantity = "descent.loss"\nbelow = 1\nat = {{ step_size = {} }}\n'
    assert not told(text(RANGE, claim.format(0.7)))  # the nearest is taken
    assert "the step sizes go from 0.5 to 2.0" in told(text(RANGE, claim.format(3)))[0]
    assert "the step sizes are 0.9 or 1.1" in told(text(MULTIPLES, claim.format(1.0)))[0]
    unit = '[[claims]]\nquantity = "descent.critical_step_size"\nabove = 1\n'
    assert "relative to no sharpness; write descent.step_sizes = {" in told(text(RANGE, unit))[0]


EDGE = """
title = "Two scalars"
[network]
widths = [1, 1, 1]
[loss]
kind = "squared"
target = [[2.0]]
[init]
kind = "identity"
scale = 0.5
[flow]
horizon = 40.0
samples = 21
spaces = ["end_to_end"]
[descent]
step_sizes = { values = [0.9, 1.1], relative_to = "minimum" }
[[claims]]
quantity = "descent.critical_step_size"
equals = 0.5
within = 1e-6
[[claims]]
quantity = "descent.loss"
reduce = "last"
at = { step_size = 0.9 }
below = 1e-8
[[claims]]
quantity = "descent.loss"
reduce = "last"
at = { step_size = 1.1 }
above = 1e-2
"""


def test_a_run_takes_multiples_of_the_unit_it_finds() -> None:
    """2/(2σ) with σ = 2: below it descent converges, above it does not, as its claims say."""
    found = run(from_toml(EDGE), "edge")
    assert [claim["holds"] for claim in found.summary["claims"]] == [True, True, True]
    unit = found["descent.critical_step_size"]
    np.testing.assert_array_equal(found["descent.relative_step_size"], [0.9, 1.1])
    np.testing.assert_array_equal(found["descent.step_size"], [0.9 * unit, 1.1 * unit])
    assert found.scenario == from_toml(EDGE)  # as it was written
    where = found.summary["relative_to"]
    assert where["place"] == "minimum"
    assert where["sharpness"] == pytest.approx(4.0, rel=1e-6)
    (note,) = (note for note in found.summary["notes"] if note.startswith("Step sizes are"))
    assert f"found at t = {where['time']:.4g}, " in note
    assert f"relative to 2/sharpness at the minimum, 4 at t = {where['time']:.4g}" in repr(found)


def test_what_has_no_unit_is_refused_before_any_variant_is_run() -> None:
    variants = """
[[variant]]
name = "good"
set = { "flow.horizon" = 40.0 }
[[variant]]
name = "flat"
set = { "loss" = { kind = "linear", target = [[2.0]] }, "network.widths" = [1, 1] }
"""
    seen: list[str] = []
    scenario = from_toml(EDGE.partition("[[claims]]")[0] + variants)
    with pytest.raises(ScenarioError, match=r"descent\.step_sizes: the layer flow") as error:
        run(scenario, "edge", monitor=Monitor(lambda label, _: seen.append(label)))
    assert "write absolute step sizes" in str(error.value)
    assert not any("descent" in label for label in seen)


def test_an_interrupt_while_the_unit_is_found_leaves_no_descent() -> None:
    found = run(from_toml(EDGE), "edge", monitor=Monitor(stop_requested=lambda: True))
    assert "descent" not in found.groups
    assert found.summary["outcome"]["descent"] == "interrupted"
    assert found.summary["exit_code"] == 130


def test_the_card_says_the_unit_and_work_is_not_counted_yet() -> None:
    scenario = from_toml(text(RELATIVE))
    assert "4 from 0.5 to 2 (linear) · 2/sharpness at initialization" in str(scenario)
    assert footprint(scenario).iterations == 0
    assert footprint(from_toml(text(RANGE))).iterations == 12
