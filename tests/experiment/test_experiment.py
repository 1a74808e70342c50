"""Whole runs: what is saved, how spaces and step sizes are compared, what is said of failures."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from flowsim.experiment import summary
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import losses
from flowsim.problem.problem import Problem
from flowsim.results.run import Run
from flowsim.scenario.build.problem import build_problem
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.methods import METHODS
from flowsim.solvers.monitor import COMPILING, Monitor
from flowsim.solvers.solve import solve
from flowsim.theory.explicit_loss import formulas as explicit_loss
from flowsim.theory.explicit_loss import line_integrals, loops
from flowsim.theory.sharpness.measure import extremes
from flowsim.theory.tangent_kernel import measure as tangent_kernel

BASE = """
title = "A small run"
[network]
widths = [3, 4, 2]
[loss]
kind = "squared"
target = { spectrum = [2.0, 1.0] }
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 3.0
samples = 21
"""
IRIS = """
title = "Iris"
[network]
widths = [4, 3]
[loss]
kind = "cross_entropy"
[data]
dataset = "iris"
standardize = true
held_out = 0.2
[init]
kind = "xavier"
[flow]
horizon = 5.0
samples = 6
spaces = ["layers"]
"""
DESCENT = "[descent]\nstep_sizes = [0.3, 0.07, 5.0]\n"


def scenario(extra: str = "", base: str = BASE) -> Scenario:
    return from_toml(base + extra)


@cache
def plain() -> Run:
    return run(scenario(DESCENT), "plain")


def test_every_variable_has_its_dimensions() -> None:
    found = plain()
    assert found["layers.end_to_end"].shape == (21, 2, 3)
    assert found["layers.singular_values"].shape == (21, 2)
    assert found["layers.imbalance"].shape == (21, 1)
    assert found["descent.end_to_end"].shape == (3, 21, 2, 3)
    assert found.variable("descent.loss").dims == ("step_size", "sample")
    assert found.variable("comparison.end_to_end_vs_layers").dims == ("time",)
    for path in found.paths():
        assert found.variable(path).attributes["long_name"]


def test_comparisons_are_the_distances_they_say() -> None:
    found = plain()
    gap = np.linalg.norm(found["end_to_end.end_to_end"] - found["layers.end_to_end"], axis=(1, 2))
    np.testing.assert_array_equal(found["comparison.end_to_end_vs_layers"], gap)
    estimates = found["layers.error_estimate"] + found["end_to_end.error_estimate"]
    assert (gap <= estimates + 1e-14).all()


def test_iterates_are_those_nearest_to_the_saved_times() -> None:
    found = plain()
    times, step_sizes = found["layers.time"], found["descent.step_size"]
    expected = np.rint(times / step_sizes[:, None])
    np.testing.assert_array_equal(found["descent.iteration"], expected)
    np.testing.assert_array_equal(found["descent.time"], expected * step_sizes[:, None])
    assert found["descent.iteration"].dtype == np.int64


def test_descent_is_compared_with_the_flow_at_its_own_time() -> None:
    found = plain()
    fine = run(scenario().model_copy(), "fine")  # the same flow, no descent
    later = found["descent.time"][1, 10]
    at = int(np.argmin(np.abs(fine["layers.time"] - later)))
    assert later != fine["layers.time"][at]
    distance = np.linalg.norm(found["descent.end_to_end"][1, 10] - fine["layers.end_to_end"][at])
    speed = np.abs(np.diff(fine["layers.end_to_end"], axis=0)).max() / 0.15
    assert abs(found["comparison.descent_vs_flow"][1, 10] - distance) <= 3 * speed * 0.035
    assert np.isfinite(found["comparison.descent_vs_flow"][:2]).all()


def test_a_diverging_step_size_is_a_result() -> None:
    extra = DESCENT.replace("0.3, 0.07, 5.0", "0.07, 2.0").replace("[descent]", "[descent]")
    found = run(scenario(extra, BASE.replace("3.0\nsamples", "60.0\nsamples")), "diverging")
    assert found.summary["outcome"]["descent"] == {"0.07": "completed", "2.0": "diverged"}
    assert list(found["descent.outcome"]) == ["completed", "diverged"]
    assert (
        np.isinf(found["descent.loss"][1, -1])
        and np.isnan(found["descent.end_to_end"][1, -1]).all()
    )
    assert np.isfinite(found["descent.end_to_end"][0]).all()
    assert found.summary["exit_code"] == 0


def test_measures_are_those_of_the_saved_matrices() -> None:
    found = plain()
    W = found["layers.end_to_end"]
    np.testing.assert_allclose(
        found["layers.singular_values"], np.linalg.svd(W, compute_uv=False), atol=1e-14
    )
    sigma = found["layers.singular_values"]
    p = sigma / sigma.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        found["layers.effective_rank"], np.exp(-(p * np.log(p)).sum(axis=1)), rtol=1e-12
    )
    np.testing.assert_allclose(found["layers.nuclear_norm"], sigma.sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize(("asked", "kept"), [('"last"', [20]), ("8", [0, 8, 16, 20])])
def test_w_is_stored_where_it_is_asked_for(asked: str, kept: list[int]) -> None:
    found = run(scenario(DESCENT + f"[output]\nend_to_end = {asked}\nlayers = true"), "sparse")
    every = plain()
    np.testing.assert_array_equal(found["layers.saved_time"], every["layers.time"][kept])
    np.testing.assert_array_equal(found["layers.end_to_end"], every["layers.end_to_end"][kept])
    np.testing.assert_array_equal(
        found["descent.end_to_end"][:2], every["descent.end_to_end"][:2][:, kept]
    )
    np.testing.assert_array_equal(found["layers.singular_values"], every["layers.singular_values"])
    product = found["layers.layer_2"] @ found["layers.layer_1"]
    np.testing.assert_allclose(product, every["layers.end_to_end"], atol=1e-14)
    if asked == '"last"':
        assert found["comparison.end_to_end_vs_layers"].shape == (21,)


@pytest.mark.slow
def test_a_stop_shortens_the_flow_and_leaves_descent_alone() -> None:
    base = BASE + "stop_at_loss = 1.0\n"
    found = run(scenario(DESCENT, base), "stopped")
    assert found["layers.loss"][-1] == pytest.approx(1.0, rel=1e-12)
    assert found["layers.time"].size < 21
    assert found.summary["outcome"]["layers"] == "completed"
    assert found.summary["verdict"]["layers"]["name"] == "stopped_at_criterion"
    assert np.isfinite(found["descent.loss"][1]).all()
    gap = found["comparison.descent_vs_flow"][1]
    assert np.isfinite(gap[0]) and np.isnan(gap[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "verdict"),
    [("{ gradient_norm = 0.1 }", "stopped_at_criterion"), ('"converged"', "converged")],
)
def test_flows_end_at_the_criterion_of_a_file(stop, verdict) -> None:
    base = BASE.replace("horizon = 3.0", "horizon = 1000.0") + f"stop = {stop}\n"
    found = run(scenario("", base), "criterion")
    for space in ("layers", "end_to_end"):
        assert found.summary["verdict"][space]["name"] == verdict
        assert found[f"{space}.time"][-1] < 100.0
        # the gradient of the squared loss is W - Φ
        slope = found[f"{space}.distance_to_target"][-1]
        assert slope == pytest.approx(0.1, rel=1e-9) if verdict != "converged" else slope < 1e-2


def test_a_flow_ends_at_a_held_out_loss() -> None:
    found = run(from_toml(IRIS + "stop = { held_out_loss = 0.9 }\n"), "held-out")
    assert found.summary["verdict"]["layers"]["criterion"] == "held_out_loss"
    assert found["layers.held_out_loss"][-1] == pytest.approx(0.9, rel=1e-9)


def test_a_failed_flow_keeps_what_was_reached_and_says_what_to_do() -> None:
    found = run(scenario("", BASE + "max_steps = 7\n"), "failed")
    assert found.summary["outcome"]["layers"] == "failed"
    assert found.summary["exit_code"] == 3
    assert 1 <= found["layers.time"].size < 21
    assert "allow more steps" in found.summary["verdict"]["layers"]["advice"]
    assert any("max_steps" in note for note in found.summary["notes"])


def test_progress_names_what_is_done() -> None:
    told: list[str] = []
    text = DESCENT + '[output]\nplane = true\nmeasures = ["sharpness"]\n'
    run(scenario(text), "told", monitor=Monitor(lambda label, _: told.append(label)))
    labels = [label for label in dict.fromkeys(told) if not label.endswith(COMPILING)]
    flows = ("layers flow", "end_to_end flow")
    assert labels == [
        "loss and initialization",
        *(label for flow in flows for label in (flow, f"{flow}: error estimate")),
        "descent",
        "verdict",
        "exact solution",
        "plane",
        "sharpness",
    ]


def test_an_interrupt_before_the_first_step_keeps_the_start() -> None:
    found = run(scenario(DESCENT), "interrupted", monitor=Monitor(stop_requested=lambda: True))
    outcome = found.summary["outcome"]
    assert outcome.pop("descent") == dict.fromkeys(("0.3", "0.07", "5.0"), "interrupted")
    assert outcome == dict.fromkeys(("layers", "end_to_end"), "interrupted")
    assert found.summary["exit_code"] == 130
    assert found["layers.time"].tolist() == [0.0]
    assert found["layers.singular_values"].shape == (1, 2)


def test_an_interrupted_sweep_of_variants_names_those_not_run() -> None:
    variants = "".join(f'[[variant]]\nname = "v{i}"\nset = {{ seed = {i} }}\n' for i in range(3))
    found = run(scenario(variants), "interrupted", monitor=Monitor(stop_requested=lambda: True))
    assert list(found.variants) == ["v0"]
    assert found.summary["outcome"]["v1"] == found.summary["outcome"]["v2"] == "interrupted"


def test_a_zero_start_is_a_saddle_and_says_so() -> None:
    start = 'kind = "explicit"\nlayers = [[[0,0,0],[0,0,0]], [[0,0],[0,0]]]\n'
    base = BASE.replace('kind = "balanced"\nscale = 0.1\n', start).replace("[3, 4, 2]", "[3, 2, 2]")
    found = run(scenario("", base), "saddle")
    assert found.summary["verdict"]["layers"]["name"] == "saddle"
    assert any("saddle" in note for note in found.summary["notes"])
    assert (found["layers.end_to_end"] == 0).all()


def test_separable_data_has_no_finite_minimizer_and_says_so() -> None:
    text = """
title = "Separable"
[network]
widths = [2, 1]
[loss]
kind = "logistic"
[data]
inputs = [[1.0, 2.0, -1.0], [0.5, 1.0, -2.0]]
targets = [[1, 1, -1]]
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 20.0
samples = 5
"""
    found = run(from_toml(text), "separable")
    assert any("no finite minimizer" in note for note in found.summary["notes"])


RAZIN_COHEN = """
title = "Razin and Cohen's completion, depth 2"
[network]
widths = [2, 2, 2]
[loss]
kind = "completion"
target = [[0.0, 1.0], [1.0, 0.0]]
observed = [[0, 1], [1, 1]]
[init]
kind = "identity"
scale = 1e-6
[flow]
horizon = 100.0
samples = 50
"""


@pytest.mark.slow
def test_a_lost_sign_of_the_determinant_is_said_with_its_time() -> None:
    """Matrix entries cannot hold the smallest singular value of depth 2 (Razin & Cohen 2020)."""
    found = run(from_toml(RAZIN_COHEN), "lost")
    for space in ("layers", "end_to_end"):
        said = [
            n for n in found.summary["notes"] if n.startswith(f"{space}: from") and "det W" in n
        ]
        assert len(said) == int((found[f"{space}.det_sign"] < 1).any())
    signs = np.sign(np.linalg.det(found["end_to_end.end_to_end"]))
    np.testing.assert_array_equal(found["end_to_end.det_sign"], signs)
    assert any("det W, as computed, has another sign" in note for note in found.summary["notes"])


def test_a_method_with_a_caveat_is_noted() -> None:
    problem = Problem(losses.Squared([[1.0]]), [[[0.5]]], 1.0)
    flow = solve(problem, times=[0.0, 1.0], method="tsit5")
    assert not list(summary._notes(flow, problem, flow.rtol))
    by_rkc2 = replace(flow, choices=(flow.choices[0]._replace(method=METHODS["rkc2"]),))
    (note,) = summary._notes(by_rkc2, problem, flow.rtol)
    assert "rkc2 falls with rtol^(2/3)" in note


def test_a_kept_sign_of_the_determinant_is_not_remarked_on() -> None:
    base = BASE.replace("[3, 4, 2]", "[2, 2, 2]").replace('"balanced"', '"aligned"')
    found = run(scenario("", base), "kept")
    assert (np.linalg.det(found["layers.end_to_end"]) != 0).all()
    assert not found.summary["notes"]


def test_held_out_samples_are_scored_and_not_learned_from() -> None:
    chosen = from_toml(IRIS)
    found = run(chosen, "iris")
    assert build_problem(chosen).loss.X.shape == (4, 120)
    assert found["layers.held_out_loss"].shape == (6,)
    assert found["layers.held_out_accuracy"][-1] > 0.7
    assert found["layers.held_out_loss"][-1] != found["layers.loss"][-1]


def test_the_same_scenario_gives_the_same_bits() -> None:
    again = run(scenario(DESCENT), "again")
    for path in ("layers.end_to_end", "descent.end_to_end"):
        np.testing.assert_array_equal(again[path], plain()[path])


def test_draws_do_not_disturb_each_other() -> None:
    other = scenario("", BASE.replace('kind = "balanced"', 'kind = "gaussian"'))
    np.testing.assert_array_equal(build_problem(other).loss.Phi, build_problem(scenario()).loss.Phi)
    seeded = scenario("", "seed = 1" + BASE)
    assert not np.array_equal(build_problem(seeded).loss.Phi, build_problem(scenario()).loss.Phi)


@pytest.mark.slow
def test_descent_that_steps_across_a_zero_determinant_is_told_of_its_steps() -> None:
    text = BASE.replace("[3, 4, 2]", "[2, 2, 2, 2]").replace('"balanced"', '"aligned"')
    text = text.replace("horizon = 3.0", "horizon = 9.0")
    found = run(scenario("[descent]\nstep_sizes = [0.5]\n", text), "across")
    assert np.nanmin(found["descent.det_sign"]) == -1
    (told,) = (note for note in found.summary["notes"] if "det W" in note)
    assert told.startswith("descent, step 0.5: from t = ")
    assert "a step was too large" in told


SHARP = '[output]\nmeasures = ["sharpness"]\nlayers = LAYERS\n'


def test_sharpness_is_measured_at_every_saved_time() -> None:
    found = run(scenario(SHARP.replace("LAYERS", "true")), "sharp")
    layers, loss = found["layers.layer_1"], build_problem(found.scenario).loss
    above = found["layers.layer_2"]
    for i in (0, 7, 20):
        wanted = extremes(loss, (layers[i], above[i]))
        assert found["sharpness.largest"][i] == wanted.largest
        assert found["sharpness.smallest"][i] == wanted.smallest
    np.testing.assert_array_equal(found["sharpness.time"], found["layers.time"])
    assert (found["sharpness.error"] < 1e-12).all()


def test_layers_that_are_measured_are_not_saved_unasked() -> None:
    found = run(scenario(SHARP.replace("LAYERS", "false")), "sharp")
    assert found["sharpness.largest"].shape == (21,)
    assert "layer_1" not in found.groups["layers"]


def test_an_interrupt_leaves_what_was_measured() -> None:
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "sharpness" and fraction > 0:
            told.append(fraction)

    chosen = scenario(SHARP.replace("LAYERS", "false"))
    found = run(chosen, "part", monitor=Monitor(progress, lambda: len(told) >= 5))
    largest = found["sharpness.largest"]
    assert np.isfinite(largest[:5]).all()
    assert np.isnan(largest[5:]).all()


def test_an_interrupt_before_the_layers_measures_nothing() -> None:
    asked: list[bool] = []

    def interrupted() -> bool:
        asked.append(True)
        return len(asked) > 1

    text = SHARP.replace("LAYERS", "false")
    base = BASE.replace("samples = 21", 'samples = 21\nspaces = ["end_to_end", "layers"]')
    found = run(scenario(text, base), "none", monitor=Monitor(stop_requested=interrupted))
    assert "layers" not in found.groups
    assert "sharpness" not in found.groups


def test_the_tangent_kernel_is_measured_from_the_layers() -> None:
    text = '[output]\nmeasures = ["tangent_kernel"]\nlayers = true\n'
    found = run(scenario(text), "turning")
    ends = [[found[f"layers.layer_{j}"][i] for j in (1, 2)] for i in (-1, 0)]
    wanted = tangent_kernel.change(*ends)
    for name in ("norm", "distance", "angle"):
        assert found[f"tangent_kernel.{name}"][-1] == getattr(wanted, name)
    assert found["tangent_kernel.distance"][0] == found["tangent_kernel.angle"][0] == 0


SEPARABLE = """
title = "Two classes"
[network]
widths = [2, 2, 1]
[loss]
kind = "logistic"
[data]
inputs = [[3.0, -3.0], [4.0, -4.0]]
targets = [[1, -1]]
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 50.0
samples = 11
spaces = ["end_to_end"]
[output]
measures = ["margin"]
end_to_end = "last"
"""


def test_margins_are_measured_at_every_time_though_w_is_saved_once() -> None:
    """Samples ±x: w turns to x/‖x‖, of margin ‖x‖ = 5."""
    found = run(from_toml(SEPARABLE), "classes")
    assert found["end_to_end.end_to_end"].shape[0] == 1
    assert found["margin.time"].shape == found["margin.margin"].shape == (11,)
    assert found["margin.largest_margin"] == pytest.approx(5.0, rel=1e-13)
    W = found["end_to_end.end_to_end"][-1]
    assert found["margin.norm"][-1] == np.linalg.norm(W)
    cosine = float(W[0] @ [0.6, 0.8]) / np.linalg.norm(W)
    assert found["margin.margin"][-1] == pytest.approx(5 * cosine, rel=1e-12)
    assert np.cos(found["margin.angle"][-1]) == pytest.approx(cosine, rel=1e-12)
    assert (np.diff(found["margin.angle"]) < 0).all()


def test_the_preconditioner_is_measured_along_the_first_flow_there_is() -> None:
    """Of the end-to-end flow alone, whose W is not all saved; K is the kernel of its σ."""
    extra = (
        'spaces = ["end_to_end"]\n[output]\nend_to_end = "last"\nmeasures = ["preconditioner"]\n'
    )
    found = run(scenario(extra), "taken")
    sigma, K = found["end_to_end.singular_values"], found["preconditioner.eigenvalues"]
    np.testing.assert_array_equal(found["preconditioner.time"], found["end_to_end.time"])
    assert K.shape == (21, 2, 3)
    padded = np.pad(sigma, ((0, 0), (0, 1)))
    np.testing.assert_allclose(K, sigma[:, :, None] + padded[:, None, :], rtol=1e-13)  # N = 2
    np.testing.assert_allclose(found["preconditioner.effective_step"], 2 * sigma, rtol=1e-13)
    wanted = 2 * sigma[:, 0] / sigma[:, 1]
    np.testing.assert_allclose(found["preconditioner.condition_number"], wanted, rtol=1e-12)


def test_shares_are_not_told_where_the_gradient_is_lost_in_the_error_of_W() -> None:
    text = BASE.replace("horizon = 3.0", "horizon = 40.0")
    found = run(scenario('[output]\nmeasures = ["preconditioner"]\n', text), "settled")
    lost = found["preconditioner.error"] >= 1
    assert lost[-1]
    assert not lost[0]
    for name in ("movement_share", "gradient_share", "alignment"):
        values = found[f"preconditioner.{name}"].reshape(21, -1)
        np.testing.assert_array_equal(np.isnan(values).any(axis=1), lost)
    assert np.isfinite(found["preconditioner.eigenvalues"]).all()


def test_the_law_of_singular_values_is_measured_within_its_bound() -> None:
    extra = 'weight_decay = 0.1\n[output]\nmeasures = ["singular_value_law"]\n'
    found = run(scenario(extra), "law")
    velocity, law = found["singular_value_law.velocity"], found["singular_value_law.law"]
    off = found["singular_value_law.difference"]
    np.testing.assert_array_equal(off, np.abs(velocity - law))
    assert (off <= found["singular_value_law.error"]).all()
    assert (found["singular_value_law.error"] < 1e-8).all()
    # over a step of 0.15 the trapezoid of σ̇ is off by its second derivative: some percent
    moved = np.diff(found["layers.singular_values"], axis=0)
    trapezoid = 0.075 * (velocity[1:] + velocity[:-1])
    np.testing.assert_allclose(trapezoid.sum(axis=0), moved.sum(axis=0), rtol=0.02)


def test_an_interrupt_leaves_what_the_law_was_measured_at() -> None:
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "singular value law" and fraction > 0:
            told.append(fraction)

    chosen = scenario('[output]\nmeasures = ["singular_value_law"]\n')
    found = run(chosen, "part", monitor=Monitor(progress, lambda: len(told) >= 5))
    velocity = found["singular_value_law.velocity"]
    assert np.isfinite(velocity[:5]).all()
    assert np.isnan(velocity[5:]).all()


ASKED = """
title = "Is there an explicit loss?"
[network]
widths = [3, 3, 2]
[loss]
kind = "squared"
target = { spectrum = [2.0, 1.0] }
[init]
kind = "balanced"
scale = 0.5
[flow]
horizon = 0.5
samples = 11
spaces = ["layers"]
[output]
measures = ["explicit_loss"]
end_to_end = "last"
"""


def test_an_explicit_loss_is_asked_for_on_the_trajectory_and_beside_it() -> None:
    chosen = from_toml(ASKED)
    found, loss = run(chosen, "asked"), build_problem(chosen).loss
    points, times = found["explicit_loss.points"], found["explicit_loss.time"]
    np.testing.assert_array_equal(times[:6], found["layers.time"][::2])
    assert np.isnan(times[6:]).all()
    np.testing.assert_array_equal(points[5], found["layers.end_to_end"][-1])
    norms = np.linalg.norm(points, axis=(1, 2))
    np.testing.assert_allclose(norms[6:], norms[:6], rtol=1e-14)
    for k in (0, 5, 11):
        wanted = explicit_loss.asymmetry_at(loss, points[k], 2)
        assert found["explicit_loss.asymmetry"][k] == wanted.value
        assert found["explicit_loss.asymmetry_bound"][k] == wanted.error
    outer = norms.max()
    loop = loops.arora_cohen_hazan(loss.gradient(np.zeros((2, 3))), 0.5 * outer, outer)
    around = line_integrals.line_integral(loss, 2, loop)
    assert found["explicit_loss.loop_integral"][0] == around.value
    assert found["explicit_loss.circulation"][0] == around.circulation.value
    assert found["explicit_loss.conservative"] == 0
    assert np.isnan(found["explicit_loss.potential"]).all()
    again = run(chosen, "again")
    np.testing.assert_array_equal(again["explicit_loss.points"], points)


def test_an_explicit_loss_that_exists_is_integrated() -> None:
    one = from_toml(
        ASKED, overrides={"network.widths": [3, 3, 1], "loss.target": [[1.0, -2.0, 0.5]]}
    )
    found = run(one, "one")
    assert found["explicit_loss.conservative"] == 1
    phi = np.array([1.0, -2.0, 0.5])
    w = found["explicit_loss.points"][:, 0]
    norm = np.linalg.norm(w, axis=1)
    wanted = 2 / 3 * norm**3 - norm * (w @ phi)
    np.testing.assert_allclose(found["explicit_loss.closed_form"], wanted, rtol=1e-13)
    error = found["explicit_loss.potential_error"]
    assert (np.abs(found["explicit_loss.potential"] - wanted) <= error).all()
    assert (found["explicit_loss.potential_apart"] <= error).all()
    assert (error < 1e-10).all()


def test_an_explicit_loss_is_not_asked_for_where_the_field_has_no_derivative() -> None:
    low = [[[1.0, 0.0, 1.0], [2.0, 0.0, 2.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    chosen = from_toml(ASKED, overrides={"init": {"kind": "explicit", "layers": low}})
    found = run(chosen, "low")
    assert np.linalg.matrix_rank(found["explicit_loss.points"][0]) == 1
    assert np.isnan(found["explicit_loss.asymmetry"][0])
    assert np.isnan(found["explicit_loss.circulation"][1])
    assert np.isfinite(found["explicit_loss.asymmetry"][6:]).all()
    assert found["explicit_loss.conservative"] == 0


def test_an_interrupt_leaves_open_whether_there_is_an_explicit_loss() -> None:
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "explicit loss" and fraction > 0:
            told.append(fraction)

    found = run(from_toml(ASKED), "part", monitor=Monitor(progress, lambda: len(told) >= 3))
    assert np.isnan(found["explicit_loss.conservative"])
    assert np.isfinite(found["explicit_loss.circulation"][:3]).all()
    assert np.isnan(found["explicit_loss.circulation"][3:]).all()


def test_a_linear_loss_is_descended_in_a_straight_line_by_one_layer() -> None:
    text = BASE.replace('"squared"', '"linear"').replace("[3, 4, 2]", "[3, 2]")
    found = run(scenario(DESCENT, text), "line")
    W, time = found["layers.end_to_end"], found["layers.time"]
    speed = -build_problem(found.scenario).loss.gradient(np.zeros((2, 3)))
    np.testing.assert_allclose(W - W[0], time[:, None, None] * np.asarray(speed), atol=1e-7)
    assert found["comparison.layers_vs_exact"].max() < 1e-7
    assert "distance_to_target" not in found.groups["layers"]
    assert found["descent.loss"][0, -1] == pytest.approx(found["layers.loss"][-1], rel=1e-6)


PARTLY_SEEN = """
title = "Entries and their convex completion"
seed = 2
[network]
widths = [5, 5, 5]
[loss]
kind = "completion"
target = { rank = 1, norm = 3.0 }
observed = { count = 15 }
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 3.0
samples = 11
spaces = ["spectral", "layers"]
[output]
measures = ["norms", "minimum_nuclear_norm"]
"""


@pytest.mark.slow
def test_norms_are_of_the_layer_flow_and_of_the_other_solution() -> None:
    found = run(from_toml(PARTLY_SEEN), "seen")
    sigma = found["layers.singular_values"]
    for name, p in (("schatten_half", 0.5), ("schatten_two_thirds", 2 / 3), ("frobenius", 2)):
        wanted = (sigma**p).sum(axis=1) ** (1 / p)
        np.testing.assert_allclose(found[f"norms.{name}"], wanted, rtol=1e-12)
    np.testing.assert_allclose(found["norms.spectral"], sigma[:, 0], rtol=1e-13)
    for name in ("nuclear_norm", "effective_rank"):
        np.testing.assert_allclose(found[f"norms.{name}"], found[f"layers.{name}"], rtol=1e-12)
    halved = found["layers.squared_norm"] / 2  # balanced, depth 2: ‖W‖_* = ½ Σ‖W_j‖²
    drift = found["layers.imbalance"].max() * 5  # an imbalance D moves it by at most tr|D|
    np.testing.assert_allclose(found["norms.schatten_depth"], halved, rtol=1e-12, atol=drift)
    np.testing.assert_array_equal(found["norms.time"], found["layers.time"])


def test_the_least_nuclear_norm_is_below_that_of_all_that_fits() -> None:
    found = run(from_toml(PARTLY_SEEN), "seen")
    loss = build_problem(found.scenario).loss
    W = found["minimum_nuclear_norm.end_to_end"]
    assert float(loss.value(W)) == 0
    assert found["minimum_nuclear_norm.nuclear_norm"].shape == ()
    least = float(found["minimum_nuclear_norm.nuclear_norm"])
    assert least == pytest.approx(np.linalg.norm(W, "nuc"), rel=1e-13)
    assert least - 1e-5 <= found["minimum_nuclear_norm.lower_bound"] <= least * (1 + 1e-13)
    assert least <= np.linalg.norm(loss.target, "nuc") + 1e-5
    away = np.linalg.norm(W - np.asarray(loss.target))
    assert found["minimum_nuclear_norm.distance_to_target"] == pytest.approx(away)
    for path in found.paths():
        assert found.variable(path).attributes["long_name"]


def test_norms_of_what_no_matrix_holds_come_from_logarithms() -> None:
    """At depth 2 the second singular value falls under all numbers, and its logarithm is kept."""
    text = PARTLY_SEEN.replace('["spectral", "layers"]', '["spectral"]')
    found = run(from_toml(text), "seen")
    logs = found["spectral.log_singular_values"]
    wanted = np.exp(2 * np.logaddexp.reduce(logs / 2, axis=1))
    np.testing.assert_allclose(found["norms.schatten_half"], wanted, rtol=1e-12)


DESCRIBED = '[descent]\nstep_sizes = [0.02, 0.01]\n[output]\nmeasures = ["descriptions"]\n'


@pytest.mark.slow
def test_descriptions_are_measured_beside_the_iterates_of_descent() -> None:
    found = run(scenario(DESCRIBED), "described")
    np.testing.assert_array_equal(found["descriptions.time"], found["descent.time"])
    for name, order in (("flow", 1), ("modified", 2), ("principal", 2)):
        coarse, fine = found[f"descriptions.{name}"].max(axis=1)
        assert np.log2(coarse / fine) == pytest.approx(order, abs=0.1)
        assert np.isnan(found[f"descriptions.{name}_broken_at"]).all()
    assert (found["descriptions.sharpness_over_limit"] < 1).all()


@pytest.mark.slow
def test_an_interrupt_leaves_the_descriptions_of_step_sizes_that_are_done() -> None:
    told: list[float] = []

    def progress(label: str, fraction: float) -> None:
        if label == "descriptions":
            told.append(fraction)

    found = run(
        scenario(DESCRIBED),
        "part",
        monitor=Monitor(progress, lambda: max(told, default=0) > 0.5),
    )
    assert np.isfinite(found["descriptions.flow"][0]).all()
    assert np.isnan(found["descriptions.flow"][1]).any()
