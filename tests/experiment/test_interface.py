"""`flowsim.run` of a problem from Python, written out where a file can hold it."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

import flowsim
from flowsim import inits, losses
from flowsim.experiment.assembled import Assembled
from flowsim.experiment.plan.posing import pose
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.toml.writing import dumps

RNG = np.random.default_rng(0)
PHI = RNG.standard_normal((2, 3))
LAYERS = inits.balanced([3, 2, 2], 0.3, RNG)
X, Y = RNG.standard_normal((3, 7)), RNG.standard_normal((2, 7))
SHORT = {"flow.samples": 9, "flow.spaces": ["layers"]}


def log_cosh(W):
    return jnp.sum(jnp.log(jnp.cosh(W - PHI)))


def problem(loss=log_cosh, **options) -> flowsim.Problem:
    return flowsim.Problem(loss, LAYERS, 2.0, **options)


WRITTEN = {
    "linear": losses.Linear(PHI),
    "squared": losses.Squared(PHI),
    "completion": losses.Completion(PHI, np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])),
    "regression": losses.PowerRegression(X, Y, 4.0),
    "cross_entropy": losses.CrossEntropy(X, np.array([0, 1, 1, 0, 1, 0, 0])),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_loss_that_a_file_can_hold_is_written_and_read_again(kind: str, tmp_path: Path) -> None:
    loss = WRITTEN[kind]
    file = tmp_path / "scenario.toml"
    posed = pose(problem(loss, weight_decay=0.1), SHORT)
    assert posed.loss.kind == kind
    file.write_text(dumps(posed), "utf-8")
    again = flowsim.read(file)
    assert again == posed
    from flowsim.scenario.build.problem import build_problem

    built = build_problem(again)
    assert (built.horizon, built.weight_decay) == (2.0, 0.1)
    np.testing.assert_array_equal(built.layers[0], LAYERS[0])
    W = RNG.standard_normal(PHI.shape)
    assert float(built.loss.value(W)) == float(loss.value(W))


@pytest.mark.slow
def test_the_run_of_a_problem_is_that_of_its_solvers() -> None:
    run = flowsim.run(problem(), SHORT, step_sizes=[0.1, 0.05])
    flow = flowsim.solve(problem(), times=run["layers.time"])
    np.testing.assert_allclose(run["layers.end_to_end"], flow.end_to_end, atol=1e-9)
    descent = flowsim.descend(problem(), [0.1, 0.05], run["layers.time"])
    np.testing.assert_array_equal(run["descent.end_to_end"], descent.end_to_end)
    assert run.summary["outcome"]["layers"] == "completed"


def test_a_described_run_is_read_and_drawn_but_not_simulated_again(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    claim = {"quantity": "layers.loss", "trend": "decreasing"}
    run = flowsim.run(problem(), SHORT, measures=["norms"], claims=[claim], directory=folder)
    assert run.scenario.loss.kind == "python"
    assert run.summary["claims"][0]["holds"]
    assert run["norms.nuclear_norm"].shape == (9,)
    assert flowsim.plot(folder, "norms") is not None
    with pytest.raises(ScenarioError, match=r"scenario.toml:\d+: loss.kind: .* given in Python"):
        flowsim.run(folder / "scenario.toml")


def test_the_hash_is_that_of_what_the_loss_computes() -> None:
    def hashed(loss) -> str:
        return pose(problem(loss)).loss.sha256

    shift = {"by": 1.0}
    one = hashed(lambda W: jnp.sum((W - shift["by"]) ** 4))
    assert one == hashed(lambda V: jnp.sum((V - 1.0) ** 4))
    shift["by"] = 2.0
    assert one != hashed(lambda W: jnp.sum((W - shift["by"]) ** 4))
    assert one != hashed(lambda W: jnp.sum((W - 1.0) ** 2))


def test_known_properties_reach_the_rules() -> None:
    least_squares = losses.LeastSquares.from_data(X, Y)
    assert pose(problem(least_squares)).loss.quadratic
    sensing = losses.Sensing(PHI, RNG.standard_normal((4, 2, 3)))
    assert pose(problem(sensing), {"descent.step_sizes": [0.1], "descent.batch": 4})
    with pytest.raises(ScenarioError, match="there are 4 samples"):
        pose(problem(sensing), {"descent.step_sizes": [0.1], "descent.batch": 5})
    with pytest.raises(ScenarioError, match="has no samples"):
        pose(problem(), {"descent.step_sizes": [0.1], "descent.batch": 1})


@pytest.mark.slow
def test_batches_are_drawn_of_a_loss_from_python() -> None:
    sensing = losses.Sensing(PHI, RNG.standard_normal((4, 2, 3)))
    whole, part = (
        flowsim.run(problem(sensing), {**SHORT, **batch}, step_sizes=[0.01])["descent.loss"]
        for batch in ({}, {"descent.batch": 1})
    )
    assert np.isfinite(part).all()
    assert not np.allclose(whole[0, -1], part[0, -1], rtol=1e-6)


def test_large_layers_are_hashed() -> None:
    rng = np.random.default_rng(1)
    layers = [0.1 * rng.standard_normal((2, 60_000)), 0.1 * rng.standard_normal((2, 2))]
    wide = flowsim.Problem(lambda W: jnp.sum(W**2), layers, 1.0)
    posed = pose(wide)
    assert (posed.init.kind, posed.loss.kind) == ("python", "python")
    assert len(dumps(posed)) < 2000
    assert posed.loss.problem is wide


@pytest.mark.parametrize("key", ["network.widths", "loss.kind", "init", "flow.horizon"])
def test_what_the_problem_determines_is_not_replaced(key: str) -> None:
    with pytest.raises(ScenarioError, match=f"override {key}: is a property of the problem"):
        flowsim.run(problem(), {key: 3})


def test_mistakes_of_overrides_and_claims_are_placed() -> None:
    with pytest.raises(ScenarioError) as caught:
        flowsim.run(problem(), {"flow.rtol": -1.0, "flow.smaples": 3}, measures=["nrms"])
    assert [text.partition(":")[0] for text in caught.value.mistakes] == [
        "override flow.smaples",
        "override flow.rtol",
        "override output.measures",
    ]


def test_short_names_are_overrides_of_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(dumps(pose(problem(WRITTEN["squared"]), SHORT)), "utf-8")
    run = flowsim.run(file, {"flow.samples": 3}, spaces=["end_to_end"], measures=["norms"])
    assert {"end_to_end", "norms"} <= run.groups.keys()
    assert "layers" not in run.groups
    assert run["end_to_end.loss"].shape == (3,)


@pytest.fixture(scope="module")
def flow():
    return flowsim.solve(problem(), times=np.linspace(0, 2, 9))


@pytest.fixture(scope="module")
def descent(flow):
    return flowsim.descend(flow.problem, [0.1, 0.05], flow.times)


def test_a_measure_of_a_trajectory_is_that_of_a_run(flow, descent) -> None:
    measures = ["sharpness", "tracking_bound", "norms"]
    run = flowsim.run(problem(), SHORT, step_sizes=[0.1, 0.05], measures=measures)
    for name in measures:
        found = flowsim.measure(name, flow, descent=descent)
        assert found.keys() == run.groups[name].keys()
        for variable, values in found.items():
            if not values.dims or "note" not in values.dims:
                expected = run[f"{name}.{variable}"]
                np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9)


def test_layers_that_were_not_kept_are_computed_again(flow) -> None:
    assert flow.layers is None
    kept = flowsim.solve(problem(), times=flow.times, keep_layers=True)
    found, expected = (flowsim.measure("tangent_kernel", each) for each in (flow, kept))
    np.testing.assert_array_equal(found["norm"], expected["norm"])


def test_what_cannot_be_measured_is_refused_with_the_reason(flow, descent) -> None:
    with pytest.raises(ValueError, match='margin cannot be measured: a loss of kind "python"'):
        flowsim.measure("margin", flow)
    with pytest.raises(ValueError, match="tracking_bound cannot be measured: there is no descent"):
        flowsim.measure("tracking_bound", flow)
    with pytest.raises(ValueError, match=r"name must be one of norms, .*'nrms'"):
        flowsim.measure("nrms", flow)
    with pytest.raises(ValueError, match="trajectory must be a Trajectory"):
        flowsim.measure("norms", descent)
    other = flowsim.descend(problem(), [0.1], flow.times)
    with pytest.raises(ValueError, match="of one problem"):
        flowsim.measure("tracking_bound", flow, descent=other)


def test_trajectories_are_drawn_as_their_run_is(flow, descent) -> None:
    own = flowsim.plot([flow, descent], "loss")
    run = flowsim.run(problem(), SHORT, step_sizes=[0.1, 0.05])
    for mine, theirs in zip(curves_of(own), curves_of(flowsim.plot(run, "loss")), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_descent_that_keeps_its_layers_is_drawn_too(flow) -> None:
    kept = flowsim.descend(flow.problem, [0.1], flow.times, keep_layers=True)
    run = Assembled.of([flow, kept]).run()
    np.testing.assert_array_equal(run["descent.layer_2"], kept.layers[1])
    assert run.summary["seconds"]["total"] >= run.summary["seconds"]["descent"]
    assert flowsim.plot([flow, kept], "loss").axes


def curves_of(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata()) for line in figure.axes[0].lines]


def test_named_trajectories_are_compared(flow) -> None:
    deep = flowsim.Problem(log_cosh, inits.balanced([3, 2, 2, 2], 0.3, RNG), 2.0)
    figure = flowsim.plot({"N = 2": flow, "N = 3": flowsim.solve(deep)}, "loss")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["N = 2", "N = 3"]
    assert figure.texts[0].get_text() == "N = 2, N = 3"


def test_a_figure_of_one_panel_is_drawn_into_given_axes(flow, descent) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    before = right.get_position().bounds
    assert flowsim.plot([flow, descent], "loss", ax=right) is figure
    assert right.get_position().bounds == before
    assert not left.lines
    assert right.get_ylabel() == r"loss $\ell(W)$"
    entries = [text.get_text() for text in right.get_legend().get_texts()]
    assert entries == ["layer flow", "η = 0.05", "η = 0.1"]
    with pytest.raises(ValueError, match="figures of one panel, but this one has 2 panels"):
        flowsim.plot([flow, descent], "imbalance", ax=left)


@pytest.mark.parametrize(
    ("given", "required"),
    [
        (3, "a Run, its directory, trajectories"),
        ([], "a Run, its directory, trajectories"),
        ({}, "a Run, its directory, trajectories"),
        ([3], "a Run, its directory, trajectories"),
    ],
)
def test_what_is_no_result_is_not_drawn(given, required: str) -> None:
    with pytest.raises(ValueError, match=f"run must be {required}"):
        flowsim.plot(given)


def test_trajectories_that_do_not_belong_together_are_not_drawn(flow, descent) -> None:
    with pytest.raises(ValueError, match="one per formulation"):
        flowsim.plot([flow, flow])
    with pytest.raises(ValueError, match="A flow is required"):
        flowsim.plot(descent)


def test_a_directory_is_opened_as_a_run_and_loaded_as_a_tree(tmp_path: Path) -> None:
    run = flowsim.run(problem(), SHORT, directory=tmp_path / "own")
    again = flowsim.open(tmp_path / "own")
    assert flowsim.open(again) is again
    assert flowsim.figures.available(tmp_path / "own") == flowsim.figures.available(run)
    assert flowsim.figures.save(str(tmp_path / "own"), tmp_path, "svg", ["loss"])
    np.testing.assert_array_equal(again["layers.loss"], run["layers.loss"])
    memory, disk = flowsim.load(again), flowsim.load(tmp_path / "own")
    assert [node.path for node in memory.subtree] == [node.path for node in disk.subtree]
    for node in disk.subtree:
        assert memory[node.path].to_dataset().identical(node.to_dataset())
    assert memory.attrs == disk.attrs


@pytest.mark.parametrize(
    ("rule", "keys"),
    [
        (flowsim.rules.HeavyBall(0.5), {"rule": "gradient", "momentum": 0.5}),
        (flowsim.rules.Nesterov("increasing"), {"rule": "nesterov", "momentum": "increasing"}),
        (flowsim.rules.SAM(0.1), {"rule": "sam", "rho": 0.1}),
        ("normalized", {"rule": "normalized"}),
        ("heun", {"rule": "heun"}),
    ],
    ids=str,
)
def test_the_rule_of_descent_is_that_of_its_scenario(flow, rule, keys) -> None:
    descent = flowsim.descend(flow.problem, [0.1], flow.times, rule=rule)
    posed = Assembled.of([flow, descent]).scenario({}).descent
    assert {key: getattr(posed, key) for key in keys} == keys


def test_a_measure_is_not_taken_of_another_rule_than_the_given_one(flow) -> None:
    def half(layers, gradients, state, eta):
        return tuple(W - eta / 2 * G for W, G in zip(layers, gradients, strict=True)), state

    descent = flowsim.descend(flow.problem, [0.1], flow.times, rule=half)
    assert flowsim.plot([flow, descent], "loss").axes
    with pytest.raises(ValueError, match="drift_budget cannot be measured: it requires gradient"):
        flowsim.measure("drift_budget", flow, descent=descent)
    posed = Assembled.of([flow, descent]).scenario({}).descent
    assert (posed.rule, posed.python.description) == ("python", "half")
