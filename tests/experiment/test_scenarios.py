"""Every named scenario runs, holds its claims, and draws the figure that stands in the gallery."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import images
import pytest
from PIL import Image

from flowsim.experiment import figures
from flowsim.experiment.plan.reading import read
from flowsim.experiment.run import run
from flowsim.pictures.animation.encoding import FRAMES
from flowsim.results.run import Run
from flowsim.scenario import catalog

PLOTS = Path(__file__).parents[2] / "plots"

# Past the edge of stability iterates go their own way on another machine's rounding, and gaps
# between equal flows are rounding, as is all that follows once a sign is lost to it: there the
# claims compare the numbers, not the pixels. A table is text, which moves with the font's version.
BY_NUMBERS = {
    "explicit-loss",
    "edge-of-stability",
    "drift-budget",
    "bifurcation",
    "step-size-phases",
    "central-flow",
    "balanced-equals-end-to-end",
    "imbalance-gap",
    "razin-cohen-depth-2",
    "singular-value-law",
}

QUICK = {"saddle-to-saddle", "step-size-fan", "two-layers-unaligned"}
"""The scenarios that the plain command runs; the others together take ten times as long as it."""


def named(names: Iterable[str]) -> list:
    """Return names as parameters, marked as slow unless they are quick."""
    return [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in names]


@cache
def finished(name: str) -> Run:
    return run(read(catalog.resolve(name)), name)


@pytest.mark.parametrize("name", named(catalog.names()))
def test_runs_to_the_end_and_holds_its_claims(name: str) -> None:
    summary = finished(name).summary
    failed = [claim for claim in summary["claims"] if not claim["holds"]]
    assert summary["claims"], "a named scenario claims something"
    assert not failed
    assert summary["exit_code"] == 0


@pytest.mark.parametrize("name", catalog.names())
def test_says_what_to_look_at_and_where_it_comes_from(name: str) -> None:
    scenario = read(catalog.resolve(name))
    assert "Look at" in " ".join(scenario.summary.split()) or "look at" in scenario.summary
    assert scenario.sources


@pytest.mark.parametrize("name", named(catalog.names()))
def test_estimates_its_error_everywhere(name: str) -> None:
    run = finished(name)
    for plain in run.variants.values() or [run]:
        for space in plain.scenario.flow.spaces:
            estimate = plain.summary["error_estimate"][space]
            notes = [note for note in plain.summary["notes"] if note.startswith(f"{space}: ")]
            decided = any("rounding errors determine the solution" in note for note in notes)
            assert math.isinf(estimate) if decided else math.isfinite(estimate)


@pytest.mark.parametrize(
    "name", named(n for n in catalog.names() if "speed" in read(catalog.resolve(n)).output.measures)
)
def test_finds_the_best_step_sizes_inside_their_sweep(name: str) -> None:
    run = finished(name)
    for plain in run.variants.values() or [run]:
        sizes, best = plain["speed.step_size"], plain["speed.best_step_size"]
        assert ((best > sizes.min()) & (best < sizes.max())).all(), plain.name


@pytest.mark.parametrize("name", named(catalog.names()))
def test_draws_the_gallery(name: str, tmp_path: Path) -> None:
    result = finished(name)
    lead = figures.lead(result)
    figures.save(result, tmp_path, names=[lead])
    assert (PLOTS / f"{name}.png").is_file(), "run python tools/gallery.py"
    if name not in BY_NUMBERS:
        rectangles = images.interiors(figures.draw(result, lead))
        assert images.same_interiors(PLOTS / f"{name}.png", tmp_path / f"{lead}.png", rectangles)


def test_the_gallery_shows_every_scenario_and_nothing_else() -> None:
    page = (PLOTS / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in PLOTS.glob("*.png")} == set(catalog.names())
    for name in catalog.names():
        assert f"({name}.png)" in page
    for film in PLOTS.glob("*.webp"):
        assert f"({film.name})" in page
        assert film.stat().st_size < 1.5e6
        with Image.open(film) as image:
            assert image.n_frames == FRAMES
