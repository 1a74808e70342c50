"""When the loss over a plane is computed, and that a stored run has the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flowsim
from flowsim.experiment import figures, plane
from flowsim.experiment.figure_selection import Selection
from flowsim.experiment.plan.reading import from_toml
from flowsim.results import archive
from flowsim.results.run import Run
from flowsim.scenario.spec.errors import ScenarioError

TARGET = (1.0, 0.5)
TOML = """
title = "Two entries"
[network]
widths = [2, 2, 1]
[loss]
kind = "squared"
target = [[1.0, 0.5]]
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 3.0
samples = 9
[descent]
step_sizes = [0.1]
"""
VARIANTS = """
[[variant]]
name = "a"
set = { "init.scale" = 0.2 }
[[variant]]
name = "b"
set = { "init.scale" = 0.3 }
"""


def run(more: str = "", **options) -> Run:
    return flowsim.run(from_toml(TOML + more), **options)


def claim(path: str) -> str:
    return f'[[claims]]\nquantity = "{path}"\nreduce = "min"\nbelow = 10.0\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "has"),
    [
        ("", False),
        ("[output]\nfigure = 'plane'", False),
        ("[output]\nplane = false", False),
        ("[output]\nplane = true", True),
        ("[output]\nplane = [[0, 0], [0, 1]]", True),
        (claim("plane.loss"), True),
    ],
)
def test_it_is_computed_where_the_scenario_asks_for_it(more: str, has: bool) -> None:
    assert ("plane" in run(more).groups) is has


@pytest.mark.slow
def test_a_claim_on_one_variant_asks_for_it_there() -> None:
    whole = run(VARIANTS + claim("b/plane.loss"))
    assert ["plane" in part.groups for part in whole.variants.values()] == [False, True]
    assert whole.summary["claims"][0]["holds"]


def test_it_is_the_loss_at_each_point() -> None:
    found = run("[output]\nplane = [[0, 0], [0, 1]]")
    u, v = found["plane.u"], found["plane.v"][:, None]
    expected = ((u - TARGET[0]) ** 2 + (v - TARGET[1]) ** 2) / 2
    assert found["plane.loss"] == pytest.approx(expected, abs=1e-14)
    assert found["plane.layers"] == pytest.approx(found["layers.end_to_end"][:, 0], abs=1e-15)


@pytest.mark.parametrize("more", ["", 'end_to_end = 3\n[flow]\nspaces = ["layers"]'])
def test_a_stored_run_has_the_same(tmp_path: Path, more: str) -> None:
    text = (TOML + "[output]\nplane = true\n").replace("samples = 9", "samples = 9\n")
    output, _, flow = more.partition("[flow]\n")
    text = (text + output).replace("samples = 9\n", f"samples = 9\n{flow}\n")
    asked = flowsim.run(from_toml(text))
    later = flowsim.run(
        from_toml(text.replace("plane = true", "")), figures="none", directory=tmp_path / "run"
    )
    assert "plane" not in later.groups
    stored = plane.completed(archive.read(tmp_path / "run"))
    assert stored.groups["plane"].keys() == asked.groups["plane"].keys()
    for name in asked.groups["plane"]:
        np.testing.assert_array_equal(stored[f"plane.{name}"], asked[f"plane.{name}"])
    assert figures.draw(archive.read(tmp_path / "run"), "plane").axes


def test_other_random_draws_are_no_loss_of_the_run() -> None:
    found = run()
    drawn = {**found.summary["drawn"], "target": (1e3, 0.0)}
    other = replace(found, summary={**found.summary, "drawn": drawn})
    with pytest.raises(ValueError, match=r"random draws differ .*\(target\)"):
        flowsim.plot(other, "plane")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "step_sizes = [0.1]",
            'step_sizes = [0.1]\n[output]\nend_to_end = "last"',
            "a single time",
        ),
        ("widths = [2, 2, 1]", "widths = [1, 2, 1]", "a single number"),
    ],
)
def test_a_run_without_a_plane_gives_the_reason(old: str, new: str, reason: str) -> None:
    text = TOML.replace(old, new)
    if "[1, 2, 1]" in new:
        text = text.replace("[[1.0, 0.5]]", "[[1.0]]")
    with pytest.raises(ScenarioError, match=reason):
        from_toml(text + claim("plane.loss"))
    found = flowsim.run(from_toml(text))
    assert "plane" not in figures.available(found)
    with pytest.raises(ValueError, match=reason):
        flowsim.plot(found, "plane")


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        (None, {"singular_values"}),
        ("none", set()),
        ("loss", {"loss"}),
        (["loss", "plane"], {"loss", "plane"}),
    ],
)
def test_a_run_on_disk_has_the_figures_asked_for(tmp_path: Path, asked, drawn) -> None:
    found = run(figures=asked, directory=tmp_path / "run")
    assert {path.stem for path in archive.figures(tmp_path / "run")} == drawn
    assert ("plane" in found.groups) is ("plane" in drawn)


@pytest.mark.slow
def test_of_variants_the_leading_figure_is_drawn_once(tmp_path: Path) -> None:
    found = run(VARIANTS + "[output]\nfigure = 'loss'", directory=tmp_path / "run")
    assert [path.stem for path in archive.figures(tmp_path / "run")] == ["loss"]
    assert not any(archive.figures(part.directory) for part in found.variants.values())
    every = run(VARIANTS, figures=["loss"], directory=tmp_path / "every")
    assert all(archive.figures(part.directory) for part in every.variants.values())


@pytest.mark.slow
def test_a_loss_from_python_has_a_plane_while_it_is_there(tmp_path: Path) -> None:
    layers = (np.full((2, 2), 0.3), np.full((1, 2), 0.3))
    problem = flowsim.Problem(lambda W: ((W - 1.0) ** 4).sum(), layers, 1.0)
    found = flowsim.run(problem)
    assert flowsim.plot(found, "plane").axes
    u, v, values = (plane.completed(found)[f"plane.{name}"] for name in ("u", "v", "loss"))
    flowsim.run(problem, figures="none", directory=tmp_path / "run")
    assert values.shape == (v.size, u.size)
    with pytest.raises(ValueError, match="given in Python"):
        flowsim.plot(tmp_path / "run", "plane")


def test_an_unknown_figure_is_refused_before_the_simulation() -> None:
    with pytest.raises(ValueError, match="Did you mean 'plane'"):
        run(figures=["loss", "plnae"])
    assert Selection.of("loss, plane") == Selection.of(["loss", "plane"])
