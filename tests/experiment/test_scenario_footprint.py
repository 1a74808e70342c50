"""Memory and work are predicted in plain integers, and the impossible is refused at once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from scenario_texts import REGRESSION, SQUARED, spoilt

from flowsim.experiment.plan import memory
from flowsim.experiment.plan.footprint import duration, footprint, human, refuse_if_impossible
from flowsim.experiment.plan.machine import MemoryLimit, memory_limit
from flowsim.experiment.plan.reading import from_toml
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.scenario import Scenario
from flowsim.theory.minimum_nuclear_norm import spec as minimum_nuclear_norm
from flowsim.theory.sharpness import spec as sharpness


def scenario(old: str = "seed = 3", new: str = "seed = 3", text: str = SQUARED) -> Scenario:
    return from_toml(spoilt(old, new, text))


def test_parts_are_what_the_sizes_say() -> None:
    parts = footprint(scenario()).parts
    W, layers, samples = 12 * 8, (24 + 30 + 15) * 8, 200
    measures = samples * (memory.EACH_TIME + 8 * (memory.SPECTRA * 3 + 3))
    assert parts["data"] == 0
    assert parts["flow"] == (memory.STAGES + 4 * 256) * layers
    between, check = 2 * samples * W, samples * W
    assert parts["saved"] == 2 * (samples * W + measures) + between + check
    assert parts["descent"] == 2 * (samples * W + measures)


def test_kvaerno5_works_with_matrices_of_the_flattened_state() -> None:
    dense = footprint(scenario("horizon = 6.0", 'horizon = 6.0\nmethod = "kvaerno5"'))
    assert dense.parts["flow"] == footprint(scenario()).parts["flow"]
    assert dense.parts["jacobian"] == 3 * 8 * 69**2


@pytest.mark.parametrize(
    ("saved", "times"), [('"last"', 1), ("50", 6), ("1000", 2), ('"all"', 200)]
)
def test_saving_less_of_w_takes_less_memory(saved: str, times: int) -> None:
    chosen = scenario("[descent]", f"[output]\nend_to_end = {saved}\n[descent]")
    assert memory.kept_times(chosen) == times
    assert footprint(chosen).parts["saved"] <= footprint(scenario()).parts["saved"]


def test_saved_layers_take_memory() -> None:
    more = footprint(scenario("[descent]", "[output]\nlayers = true\n[descent]")).parts["saved"]
    assert more == footprint(scenario()).parts["saved"] + 200 * 69 * 8


def test_layers_that_are_measured_take_the_memory_of_saved_ones() -> None:
    saved = scenario("[descent]", "[output]\nlayers = true\n[descent]")
    measured = scenario("[descent]", '[output]\nmeasures = ["sharpness"]\n[descent]')
    assert footprint(measured).parts["saved"] == footprint(saved).parts["saved"]
    wide = {"network.widths": [4, 900, 900, 3]}
    text = spoilt("[descent]", '[output]\nmeasures = ["sharpness"]\n[descent]')
    parts = footprint(from_toml(text, overrides=wide)).parts
    weights = 4 * 900 + 900**2 + 3 * 900
    lanczos = sharpness.LANCZOS * 8 * weights + 8 * sharpness.NUMBERS
    assert parts["sharpness"] + parts["flow"] == lanczos


def test_data_and_measurements_take_memory() -> None:
    text = from_toml(REGRESSION)
    assert footprint(text).parts["data"] == 8 * (2 * 3 * 3 + 2 * 3)
    sensing = spoilt('"squared"', '"sensing"\nmeasurements = 600')
    assert footprint(from_toml(sensing)).parts["measurements"] == 602 * 12 * 8


def test_the_convex_solver_takes_memory() -> None:
    """A triangle of 7 × 7 for W of 3 × 4, and the measurements."""
    sensing = spoilt('"squared"', '"sensing"\nmeasurements = 6000')
    asked = sensing.replace("[descent]", '[output]\nmeasures = ["minimum_nuclear_norm"]\n[descent]')
    parts = footprint(from_toml(asked)).parts
    wanted = 8 * (minimum_nuclear_norm.CONIC * 28 + minimum_nuclear_norm.SENSED * 6000 * 12)
    assert parts["minimum_nuclear_norm"] + parts["flow"] == wanted
    assert footprint(from_toml(sensing)).parts["minimum_nuclear_norm"] == 0


def test_iterations_are_those_to_the_horizon() -> None:
    predicted = footprint(scenario())
    assert (predicted.iterations, predicted.all_iterations) == (60, 75)
    assert "60 iterations" in repr(predicted)
    assert "60 iterations" in predicted._repr_html_()


def test_operations_are_near_those_of_the_matrix_products() -> None:
    square = scenario("[4, 6, 5, 3]", "[100, 100, 100, 100]")
    assert 12 * 100**3 < footprint(square).operations < 50 * 100**3


def test_variants_are_run_one_after_the_other_and_all_kept() -> None:
    variants = "".join(f'[[variant]]\nname = "v{i}"\nset = {{ seed = {i} }}\n' for i in range(3))
    one, three = footprint(scenario()), footprint(from_toml(SQUARED + variants))
    assert three.parts["flow"] == one.parts["flow"]
    assert three.parts["saved"] == 3 * one.parts["saved"]
    assert three.all_iterations == 3 * one.all_iterations


ABSURD = [
    ("[4, 6, 5, 3]", "[1000000000, 1000000000]", "network.widths"),
    ("[4, 6, 5, 3]", "[1000000000000000, 1000000000000000, 3]", "network.widths"),
    ("horizon = 6.0", "horizon = 6.0\nsamples = 1000000000000", "flow.samples"),
    ('kind = "squared"', 'kind = "sensing"\nmeasurements = 1000000000000', "loss.measurements"),
]


@pytest.mark.parametrize(("old", "new", "key"), ABSURD)
def test_the_impossible_is_refused_at_once(old: str, new: str, key: str) -> None:
    start = time.perf_counter()
    absurd = scenario(old, new)
    with pytest.raises(ScenarioError) as error:
        refuse_if_impossible(absurd)
    assert time.perf_counter() - start < 0.5
    (mistake,) = error.value.mistakes
    limit = memory_limit()
    assert mistake.startswith(f"{key}: needs about ")
    assert f", {limit.limited_by} {human(limit.size)}; reduce " in mistake
    assert key in mistake.partition(";")[2]


def test_dense_jacobians_that_do_not_fit_are_refused_with_another_method() -> None:
    text = spoilt("[4, 6, 5, 3]", "[4, 300000, 3]")
    refuse_if_impossible(from_toml(text))
    dense = spoilt("horizon = 6.0", 'horizon = 6.0\nmethod = "kvaerno5"', text)
    with pytest.raises(ScenarioError, match=r"another flow.method than kvaerno5"):
        refuse_if_impossible(from_toml(dense))


def test_descents_of_months_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"needs 6e\+12 iterations of descent, about 69 days"):
        refuse_if_impossible(scenario("[0.4, 0.1]", "[0.4, 1e-12]"))
    refuse_if_impossible(scenario("[0.4, 0.1]", "[0.4, 1e-6]"))


def test_without_a_known_limit_nothing_is_refused_for_its_memory(monkeypatch) -> None:
    monkeypatch.setattr("flowsim.experiment.plan.footprint.memory_limit", lambda: None)
    monkeypatch.setattr("flowsim.solvers.storage.free_bytes", lambda: None)
    no_descent = SQUARED.replace("[descent]\nstep_sizes = [0.4, 0.1]\n", "")
    refuse_if_impossible(scenario("[4, 6, 5, 3]", "[1000000000, 1000000000]", no_descent))


def test_the_limit_of_a_container_counts(monkeypatch) -> None:
    allowed = MemoryLimit(50_000_000, "the control group (container) allows")
    monkeypatch.setattr("flowsim.experiment.plan.footprint.memory_limit", lambda: allowed)
    with pytest.raises(ScenarioError, match=r"the control group \(container\) allows 50 MB;"):
        refuse_if_impossible(scenario())


def test_many_large_matrices_take_disk_and_not_memory() -> None:
    few, many = (
        from_toml(
            SQUARED.replace("[4, 6, 5, 3]", "[100, 100]").replace(
                "horizon = 6.0", f"horizon = 6.0\nsamples = {samples}"
            )
        )
        for samples in (1000, 2000)
    )
    grown = footprint(many).total - footprint(few).total
    assert footprint(many).disk > 1.9 * footprint(few).disk > 1000 * 100 * 100 * 8
    assert grown < 0.05 * footprint(many).disk
    assert "temporary files" in repr(footprint(many))


def test_too_many_matrices_for_the_disk_are_refused(monkeypatch) -> None:
    monkeypatch.setattr("flowsim.solvers.storage.free_bytes", lambda: 10**6)
    refuse_if_impossible(scenario())
    large = scenario("[4, 6, 5, 3]", "[200, 200, 200, 200]")
    with pytest.raises(
        ScenarioError, match=r"of temporary files, and 1.0 MB are free in '.*TMPDIR"
    ):
        refuse_if_impossible(large)


@pytest.mark.parametrize(
    ("size", "text"),
    [(5, "5 B"), (1500, "1.5 kB"), (24 * 10**9, "24 GB"), (7_300_000_000_000, "7.3 TB"),
     (999_600, "1.0 MB"), (10**30, "1e+12 EB")],
)  # fmt: skip
def test_sizes_are_written_as_people_do(size: int, text: str) -> None:
    assert human(size) == text


def test_predicting_imports_no_numpy() -> None:
    code = (
        "import sys; from flowsim.experiment.plan.footprint import refuse_if_impossible\n"
        "from flowsim.experiment.plan.reading import from_toml\n"
        f"refuse_if_impossible(from_toml({SQUARED!r}))\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


LARGE = """
title = "Approximating flows of a large network"
network = {{ widths = [10, 10, 10, 1] }}
loss = {{ kind = "regression" }}
data = {{ dataset = "diabetes", standardize = true }}
init = {{ kind = "xavier" }}
flow = {{ horizon = {horizon}, samples = 100 }}
descent = {{ step_sizes = [0.05] }}
output = {{ measures = ["descriptions"] }}
"""


def test_time_of_expensive_diagnostics_is_foretold() -> None:
    found = footprint(from_toml(LARGE.format(horizon=1000)))
    assert found.long_diagnostics() == {"descriptions": "up to 16 minutes"}
    assert "time of descriptions" in repr(found)
    # 20,000 iterations of 12 eigendecompositions of a 210 × 210 matrix, and those of other flows
    decompositions = 12 * 20_000 + 12 * 300 + 4 * 100
    assert found.seconds["descriptions"] == pytest.approx(decompositions * 4e-10 * 210**3)
    # the principal flow takes its time at any horizon
    assert footprint(from_toml(LARGE.format(horizon=1))).seconds["descriptions"] > 10
    assert not footprint(scenario()).long_diagnostics()


def test_time_of_all_that_take_over_ten_seconds_is_foretold() -> None:
    """On one idle core they took 6, 7, 32 and 48 seconds here, the first two per 100 times."""
    names = ("sharpness", "tracking_bound", "descriptions", "step_size_thresholds")
    measures = ", ".join(f'"{name}"' for name in names)
    text = LARGE.format(horizon=20).replace('"descriptions"', measures)
    seconds = footprint(from_toml(text.replace("[0.05]", "[0.05, 0.1]"))).seconds
    for name, measured in zip(names, (6, 7, 32, 48), strict=True):
        assert measured < seconds[name] < 3 * measured
    more = footprint(from_toml(text.replace("samples = 100", "samples = 1000"))).seconds
    assert more["tracking_bound"] == pytest.approx(10 * seconds["tracking_bound"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(21, "21 seconds"), (119.5, "120 seconds"), (121, "3 minutes"), (7201, "3 hours")],
)
def test_durations_are_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
