"""Repetitions of a run, whose random draws are compared with those of the earlier run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import made_runs
import numpy as np
import pytest

from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.repetition import Earlier, _checksum, _same, checksums
from flowsim.results import archive
from flowsim.results.run import Run
from flowsim.scenario.build import loss_data, problem
from flowsim.scenario.build.problem import build_problem

TEXT = """
title = "Drawn"
[network]
widths = [3, 4, 2]
[loss]
LOSS
[init]
kind = "gaussian"
scale = 0.5
[flow]
horizon = 1.0
DESCENT
"""
SPECTRUM = 'kind = "squared"\ntarget = { spectrum = [2.0, 1.0] }'
MASK = 'kind = "completion"\ntarget = [[1.0, 2, 3], [4, 5, 6]]\nobserved = { count = 3 }'
SENSING = 'kind = "sensing"\ntarget = [[1.0, 2, 3], [4, 5, 6]]\nmeasurements = 4'
SAMPLES = (
    'kind = "regression"\n[data]\ninputs = [[1.0, 2, 3, 5], [0, 1, 0, 7], [2, 0, 1, 1]]\n'
    "targets = [[1.0, 2, 3, 4], [0, 1, 1, 9]]\nsamples = 2"
)
NOISE = "[descent]\nstep_sizes = [0.1]\nlabel_noise = 0.1"


def drawn(loss: str, descent: str = "") -> dict[str, tuple[float, float]]:
    scenario = from_toml(TEXT.replace("LOSS", loss).replace("DESCENT", descent))
    problem = build_problem(scenario)
    return checksums(scenario, problem.loss, problem.layers)


@pytest.fixture
def drawing_otherwise(monkeypatch) -> Callable[[str], None]:
    """Return a function that makes one draw differ, as in another version of NumPy."""
    generator = loss_data.generator

    def change(changed: str) -> None:
        def other(seed: int, name: str) -> np.random.Generator:
            return generator(seed + 3 * (name == changed), name)

        monkeypatch.setattr(loss_data, "generator", other)
        monkeypatch.setattr(problem, "generator", other)

    return change


@pytest.mark.parametrize(
    ("loss", "descent", "name", "others"),
    [
        (SPECTRUM, "", "init", {"layer 1", "layer 2"}),
        (SPECTRUM, "", "target", {"target"}),
        (MASK, "", "observed", {"observed entries"}),
        (SENSING, "", "measurements", {"measurements"}),
        (SAMPLES, "", "samples", {"inputs", "targets"}),
        (SPECTRUM, NOISE, "noise", {"gradient noise"}),
    ],
)
def test_what_is_drawn_otherwise_is_found(
    loss: str, descent: str, name: str, others: set[str], drawing_otherwise
) -> None:
    before = drawn(loss, descent)
    assert drawn(loss, descent) == before
    drawing_otherwise(name)
    now = drawn(loss, descent)
    assert {key for key in now if not _same(now[key], before[key])} == others


def test_a_checksum_is_close_after_rounding_and_scales() -> None:
    x = np.random.default_rng(0).standard_normal((7, 5))
    largest, mean = _checksum(x)
    assert largest == np.abs(x).max()
    expected = sum(v * np.cos(i) for i, v in enumerate(x.ravel())) / largest / np.sqrt(35)
    assert mean == pytest.approx(expected, rel=1e-12)
    assert _same(_checksum(x * (1 + 1e-13 * x)), (largest, mean))
    assert not _same(_checksum(x.T), (largest, mean))
    assert not _same(_checksum(-x), (largest, mean))
    assert _checksum(1e300 * x) == pytest.approx((1e300 * largest, mean))
    assert _checksum(np.zeros(3)) == _checksum(np.zeros(0)) == (0.0, 0.0)


def with_draws(run: Run, target: tuple[float, float]) -> Run:
    versions = {"numpy": "2.0", "jax": "0.7"}
    return replace(run, summary={**run.summary, "drawn": {"target": target}, "versions": versions})


def test_a_repetition_that_draws_otherwise_is_noted(tmp_path: Path) -> None:
    run = with_draws(made_runs.plain(), (2.0, 0.5))
    archive.write(run, tmp_path / "run")
    earlier = Earlier.of(run.scenario, tmp_path / "run" / "scenario.toml", None)
    assert earlier is not None
    assert earlier.compared(run).summary["notes"] == []
    assert earlier.compared(made_runs.plain()).summary["notes"] == []  # of an older version
    (note,) = earlier.compared(with_draws(run, (2.0, 0.4))).summary["notes"]
    assert "random draws differ (target)" in note
    assert "numpy 2.0 then and 2.0 now" in note


def test_a_run_is_repeated_by_its_file_or_in_its_folder(tmp_path: Path) -> None:
    run, folder = made_runs.plain(), tmp_path / "run"
    archive.write(run, folder)
    (tmp_path / "other.toml").write_text(made_runs.TOML)
    other = from_toml(made_runs.TOML.replace("horizon = 1.0", "horizon = 2.0"))
    assert Earlier.of(run.scenario, tmp_path / "other.toml", None) is None
    assert Earlier.of(run.scenario, None, tmp_path / "nothing") is None
    assert Earlier.of(other, None, folder) is None
    for file, target in ((folder / "scenario.toml", None), (None, folder)):
        found = Earlier.of(run.scenario, file, target)
        assert found is not None
        assert found.folder == folder
    (folder / "run.nc").write_bytes(b"")
    assert Earlier.of(run.scenario, None, folder) is None


def test_variants_are_compared_with_their_own(tmp_path: Path) -> None:
    run = made_runs.with_variants()
    inner = {name: with_draws(variant, (1.0, 0.1)) for name, variant in run.variants.items()}
    archive.write(replace(run, variants=inner), tmp_path / "run")
    earlier = Earlier.of(run.scenario, None, tmp_path / "run")
    assert earlier is not None
    again = {**inner, "fast": with_draws(inner["fast"], (1.0, 0.2))}
    found = earlier.compared(replace(run, variants=again))
    assert found.variants["slow"].summary["notes"] == []
    assert len(found.variants["fast"].summary["notes"]) == 1
