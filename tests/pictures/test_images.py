"""The comparison of pictures that the gallery is tested with."""

from __future__ import annotations

from pathlib import Path

import figure_runs as made
import images
import numpy as np
import pytest

from flowsim.experiment import figures
from flowsim.pictures.kit import layout, style
from flowsim.results.run import Run


def saved(run: Run, folder: Path, name: str) -> Path:
    return figures.save(run, folder, names=[name])[0]


@pytest.mark.parametrize("name", ["singular_values", "loss", "end_to_end_entries", "plane"])
def test_a_curve_off_by_one_percent_is_seen(tmp_path: Path, name: str) -> None:
    run = made.plain(exact=False)
    right = saved(run, tmp_path / "right", name)
    again = saved(run, tmp_path / "again", name)
    assert images.difference(right, again, images.interiors(figures.draw(run, name))) == 0
    for path, part in {
        "layers.singular_values": (slice(None), 1),
        "layers.end_to_end": (slice(None), 1, 1),
        "layers.loss": (slice(None),),
        "plane.layers": (slice(None), 1),
    }.items():
        values = run[path].copy()
        values[part] *= 1.01 if path != "layers.loss" else np.exp(0.01 * np.log(1e-5))
        run = made.replaced(run, path, values)
    wrong = saved(run, tmp_path / "wrong", name)
    rectangles = images.interiors(figures.draw(run, name))
    assert images.difference(right, wrong, rectangles) > images.TOLERANCE
    assert not images.same_interiors(right, wrong, rectangles)


def test_text_outside_the_axes_does_not_count(tmp_path: Path) -> None:
    run = made.plain(exact=False)
    renamed = Run(run.name, made.scenario("Another title"), run.groups, run.summary)
    one, other = saved(run, tmp_path / "a", "gap"), saved(renamed, tmp_path / "b", "gap")
    assert one.read_bytes() != other.read_bytes()
    assert images.difference(one, other, images.interiors(figures.draw(run, "gap"))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_longer_headline_leaves_the_interiors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = made.plain(sizes=[0.1, 0.2])
    usual = saved(run, tmp_path / "a", name)
    write = layout.wrap_headline
    monkeypatch.setattr(layout, "wrap_headline", lambda *said: [*write(*said), "and another line"])
    taller = saved(run, tmp_path / "b", name)
    assert len(images.pixels(taller)) == len(images.pixels(usual)) + 30
    assert images.difference(usual, taller, images.interiors(figures.draw(run, name))) == 0


def test_pictures_of_different_sizes_are_told_apart(tmp_path: Path) -> None:
    run = made.plain(sizes=[0.1, 0.2])
    one, other = saved(run, tmp_path, "gap"), saved(run, tmp_path, "imbalance")
    with pytest.raises(AssertionError, match="draw it again"):
        images.difference(one, other, images.interiors(figures.draw(run, "gap")))


def test_axes_stay_where_they_are_whatever_the_font(tmp_path: Path) -> None:
    run = made.plain(sizes=[0.1, 0.2])
    for name in figures.available(run):
        places = images.interiors(figures.draw(run, name))
        settings = dict(style.SETTINGS)
        try:
            style.SETTINGS["font.size"] = 12.0
            style.SETTINGS["xtick.labelsize"] = 12.0
            assert images.interiors(figures.draw(run, name)) == places
        finally:
            style.SETTINGS.clear()
            style.SETTINGS.update(settings)
