"""Animations: frames, moments, bytes, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import figure_runs as made
import made_runs
import numpy as np
import pytest
from PIL import Image

from flowsim.cli import main
from flowsim.experiment import figures
from flowsim.pictures.animation import encoding
from flowsim.pictures.animation.animation import (
    Animation,
    FrameRenderer,
    GrowingLine,
    IterateMarkers,
    TimeCursor,
    TimeLabel,
)
from flowsim.pictures.animation.animation import GrowingPath as Running
from flowsim.pictures.kit import style, trajectories
from flowsim.results import archive
from flowsim.results.run import Run

SHORT = np.linspace(0, 6, 61)
SIZES = [0.03, 0.1, 0.8]
COARSE = {"webp": 60, "gif": 50}
"""Dots per inch at which a film takes little time."""
ANIMATED = ["plane", "singular_values", "loss", "descent_singular_values", "end_to_end_entries"]


def plain(**changes) -> Run:
    return made.plain(**{"sizes": SIZES, "time": SHORT, **changes})


def by_momentum() -> Run:
    """Return a run whose steps have no time of the flow."""
    run = made.replaced(plain(), "descent.time", None)
    return made.replaced(run, "comparison.descent_vs_flow", None)


CASES: dict[str, Callable[[], Run]] = {
    "plain": plain,
    "one-step-size": lambda: plain(sizes=[0.1]),
    "no-descent": lambda: plain(sizes=None),
    "log-time": lambda: plain(time=np.append(0, np.geomspace(1e-3, 6, 40)), spacing="log"),
    "many": lambda: plain(sizes=list(np.geomspace(0.01, 0.9, 30))),
    "untimed": by_momentum,
    "variants": lambda: made.with_variants(a=plain(), b=plain(sizes=[0.05], apart=0.3)),
}


def moving(run: Run, name: str = "plane") -> Animation:
    return figures.FIGURES[name].animation(run)


def part(found: Animation, kind: type) -> object:
    return next(each for each in found.parts if isinstance(each, kind))


# What a frame shows


@pytest.mark.parametrize("case", CASES)
def test_frames_are_what_a_drawing_of_that_moment_is(case: str) -> None:
    """Nothing that stands still covers what moves, and nothing of an earlier frame is left."""
    run = CASES[case]()
    for name in figures.animatable(run) if case == "plain" else ["plane"]:
        with style.settings():
            found = moving(run, name)
            projector = FrameRenderer(found, 50)
            for moment in found.moments(4)[[3, 0, 1]]:
                frame = projector.frame(float(moment))
                assert frame.tobytes() == projector.whole(float(moment)).tobytes(), name


@pytest.mark.parametrize("name", ["singular_values", "loss", "end_to_end_entries"])
def test_the_last_frame_has_all_curves_of_the_figure(name: str) -> None:
    run = plain()
    still, found = figures.draw(run, name), moving(run, name)
    found.show(found.last)
    for one, other in zip(still.axes, found.figure.axes, strict=True):
        assert [line.get_xydata().tolist() for line in one.lines] == [
            line.get_xydata().tolist() for line in other.lines[: len(one.lines)]
        ]


def test_the_last_frame_of_the_plane_has_all_iterates_of_the_figure() -> None:
    run = plain()
    still = figures.draw(run, "plane").axes[0]
    found = moving(run)
    drawn = part(found, trajectories.TrajectoryArtists)
    panel = found.figure.axes[0]
    np.testing.assert_allclose(panel.get_xlim(), still.get_xlim())
    found.show(found.last)
    expected = trajectories.trajectories(
        run, panel, dict.fromkeys(SIZES, "k"), run["plane.descent"]
    )
    for path, track in zip(drawn.lines.get_segments(), expected, strict=True):
        np.testing.assert_array_equal(path, track.points)


def test_flow_and_iterates_are_where_they_are_at_that_time() -> None:
    run = plain()
    iterates = run["plane.descent"].copy()
    iterates[2, 20:] = 99.0
    run = made.replaced(run, "plane.descent", iterates)
    found = moving(run)
    panel = found.figure.axes[0]
    flow, heads = part(found, Running), part(found, IterateMarkers)
    moment = 3.14
    found.show(moment)
    where = [np.interp(moment, SHORT, axis) for axis in run["plane.layers"].T]
    np.testing.assert_allclose(flow.head.get_xydata(), trajectories.axes_fractions(panel, [where]))
    offsets = np.asarray(heads.points.get_offsets())
    for k, at in zip([0, 1], offsets, strict=True):  # the third has left the frame
        i = int(np.flatnonzero(run["descent.time"][k] <= moment)[-1])
        expected = trajectories.axes_fractions(panel, run["plane.descent"][k, i])
        np.testing.assert_allclose(at, expected, atol=2 * trajectories.FINEST)


def test_lines_over_time_are_cut_at_the_moment() -> None:
    found = moving(plain(), "loss")
    found.show(2.0)
    for each in found.parts:
        if isinstance(each, GrowingLine):
            drawn = each.line.get_xdata()
            assert (drawn <= 2.0).all()
            assert len(drawn) == np.sum(each.x <= 2.0)
        if isinstance(each, TimeCursor):
            assert each.lines[0].get_xdata() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("case", "name", "said"),
    [
        ("plain", "plane", "t = kη = 3.00   iteration k = 100 at η = 0.03 … 3 at η = 0.8"),
        ("one-step-size", "plane", "t = kη = 3.00   iteration k = 30"),
        ("no-descent", "plane", "t = 3.00"),
        ("plain", "singular_values", "t = 3.00"),
        ("untimed", "plane", "kη = 3.00   iteration k = 100 at η = 0.03 … 3 at η = 0.8"),
        ("log-time", "plane", "t = kη = 3   iteration k = 100 at η = 0.03 … 3 at η = 0.8"),
    ],
)
def test_the_clock_tells_time_and_iteration(case: str, name: str, said: str) -> None:
    found = moving(CASES[case](), name)
    found.show(3.0)
    assert part(found, TimeLabel).text.get_text() == said


def test_at_the_end_iterates_count_up_to_half_a_step_beyond() -> None:
    """k = round(T/η) is the last iterate that a run keeps: 8 · 0.8 = 6.4 for T = 6."""
    found = moving(plain(sizes=[0.8]))
    found.show(found.last)
    assert found.last == 6
    assert part(found, TimeLabel).text.get_text().endswith("iteration k = 8")


def test_a_flow_stands_still_beside_steps_that_have_no_time() -> None:
    found = moving(by_momentum())
    assert not any(isinstance(each, Running) for each in found.parts)
    assert len(found.figure.axes[0].lines) > 2
    assert found.figure.axes[1].get_xlabel() == "kη"


def test_moments_are_spaced_as_the_time_is() -> None:
    run = CASES["log-time"]()
    found = moving(run)
    ratios = found.moments(10)[1:] / found.moments(10)[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert (found.first, found.last) == (pytest.approx(1e-3), 6)
    np.testing.assert_allclose(moving(plain()).moments(4), [0, 2, 4, 6])


def test_variants_stand_side_by_side() -> None:
    found = moving(CASES["variants"]())
    assert [panel.get_title(loc="left") for panel in found.figure.axes[:2]] == ["a", "b"]


# Files


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(encoding, "DPI", COARSE)
        return film_in(folder)


def film_in(folder: Path) -> dict[str, Path]:
    told: list[tuple[str, float]] = []
    paths = {
        format: figures.animate(plain(), folder, format, progress=lambda *said: told.append(said))
        for format in figures.ANIMATION_FORMATS
    }
    assert [path.name for path in sorted(folder.iterdir())] == ["plane.gif", "plane.webp"]
    assert {name for name, _ in told} == {"plane"}
    assert [fraction for _, fraction in told[: encoding.FRAMES]] == [
        pytest.approx(k / encoding.FRAMES) for k in range(encoding.FRAMES)
    ]
    return {format: found for format, (found,) in paths.items()}


@pytest.mark.slow
@pytest.mark.parametrize("format", figures.ANIMATION_FORMATS)
def test_a_film_has_its_frames_for_their_time(filmed: dict[str, Path], format: str) -> None:
    with Image.open(filmed[format]) as image:
        assert image.n_frames == encoding.FRAMES
        assert image.info["loop"] == 0
        times = []
        for k in range(image.n_frames):
            image.seek(k)
            image.load()
            times.append(image.info["duration"])
    assert times == encoding.durations(encoding.FRAMES)
    assert 8 < sum(times) / 1000 < 15


@pytest.mark.slow
def test_webp_frames_are_the_drawings_themselves(filmed: dict[str, Path]) -> None:
    with style.settings():
        found = moving(plain())
        projector = FrameRenderer(found, COARSE["webp"])
    with Image.open(filmed["webp"]) as image:
        for k in (0, encoding.FRAMES - 1):
            image.seek(k)
            drawn = projector.whole(float(found.moments(encoding.FRAMES)[k]))
            assert image.convert("RGB").tobytes() == drawn.tobytes()


def test_gif_frames_have_nearly_the_colours_of_the_drawing(filmed: dict[str, Path]) -> None:
    with style.settings():
        found = moving(plain())
        drawn = np.asarray(FrameRenderer(found, COARSE["gif"]).frame(found.last), dtype=float)
    with Image.open(filmed["gif"]) as image:
        image.seek(encoding.FRAMES - 1)
        shown = np.asarray(image.convert("RGB"), dtype=float)
    assert shown.shape == drawn.shape
    assert np.sqrt(np.mean((shown - drawn) ** 2)) < 3
    assert (shown[2, 2] == 255).all()


@pytest.mark.parametrize("format", figures.ANIMATION_FORMATS)
def test_films_of_one_run_are_the_same_bytes(tmp_path: Path, format: str) -> None:
    run, few = plain(), 3
    for name in ("a", "b"):
        with style.settings():
            encoding.write(moving(run), tmp_path / name, format, lambda _share: None, few)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_one_frame_at_a_time_is_in_memory() -> None:
    drawn: list[int] = []

    def frame(k: int) -> Image.Image:
        drawn.append(k)
        return Image.new("RGB", (4, 3), (k, 0, 0))

    reel = encoding.FrameSequence(3, frame)
    assert (reel.n_frames, reel.size, reel.mode, drawn) == (3, (4, 3), "RGB", [0])
    reel.seek(2)
    reel.seek(2)
    assert (reel.tell(), reel.getpixel((0, 0)), drawn) == (2, (2, 0, 0), [0, 2])
    with pytest.raises(EOFError):
        reel.seek(3)


def test_what_goes_wrong_while_drawing_leaves_the_old_film(tmp_path: Path) -> None:
    old = tmp_path / "plane.webp"
    old.write_bytes(b"old")

    def stop(_name: str, fraction: float) -> None:
        if fraction > 0.02:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        figures.animate(plain(), tmp_path, progress=stop)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


# What can be animated, and what is refused


def test_figures_that_can_be_animated_are_named() -> None:
    assert figures.animatable(plain()) == ANIMATED
    assert figures.animatable(plain(time=np.array([0.0]))) == []
    assert figures.animatable(plain(target=np.array([2.0])))[0] == "singular_values"


def test_what_cannot_be_animated_is_refused(tmp_path: Path) -> None:
    run = plain()
    with pytest.raises(ValueError, match="saved as webp, gif, but got 'png'"):
        figures.animate(run, tmp_path, "png")
    with pytest.raises(
        ValueError, match="drawn as a whole only; animatable figures: plane, singular"
    ):
        figures.animate(run, tmp_path, names=["gap"])
    with pytest.raises(ValueError, match="Did you mean 'plane'"):
        figures.animate(run, tmp_path, names=["plan"])
    with pytest.raises(ValueError, match="saved at one time only; animatable figures: none"):
        figures.animate(plain(time=np.array([0.0])), tmp_path, names=["loss"])
    with pytest.raises(ValueError, match="png, svg, pdf"):
        figures.save(run, tmp_path, "webp")
    assert list(tmp_path.iterdir()) == []


def test_a_pillow_without_webp_is_told_of(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(encoding.features, "check", lambda _name: False)
    with pytest.raises(ValueError, match="no WebP; write format 'gif'"):
        figures.animate(plain(), tmp_path)
    assert encoding.why_unwritable("gif") is None


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own with a run that has a loss over time, `run`."""
    monkeypatch.chdir(tmp_path)
    archive.write(made_runs.plain(), "run")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--animate", "--format", "png"],
            "--format is png, but webp or gif is required for an animation",
        ),
        (["--format", "gif"], "--format is gif, but png, svg, pdf is required for a figure"),
        (["--animate", "--figure", "gap"], "drawn as a whole only. Animatable figures: "),
        (["--animate", "--figure", "nope"], "no such figure. Animatable figures: "),
    ],
)
def test_bad_combinations_are_refused_with_a_sentence(here, arguments, told, capsys) -> None:
    assert main(["plot", "run", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert archive.figures("run") == []


def test_plot_animates(here: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding.write, "__defaults__", (4,))
    assert main(["plot", "run", "--animate", "--figure", "loss", "--format", "gif"]) == 0
    assert capsys.readouterr().out == "run/figures/loss.gif\n"
    with Image.open("run/figures/loss.gif") as image:
        assert image.n_frames == 4
    assert archive.read("run").name


def test_an_interrupt_leaves_nothing_half_written(here: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "flowsim", "plot", "run", "--animate", "--figure", "loss"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    assert process.stderr is not None
    while "animating" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert archive.figures("run") == []
    assert [path.name for path in here.iterdir() if not path.name.startswith(".")] == ["run"]
    assert archive.read("run").name
