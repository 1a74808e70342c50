"""A family of descents on a panel: what is drawn of each, where one leaves, and its colour."""

from __future__ import annotations

import figure_runs as made
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from flowsim.experiment import figures
from flowsim.pictures import plane
from flowsim.pictures.kit import contours, layout, reading, scales, style, trajectories
from flowsim.results.run import Run, Variable

SHORT = np.linspace(0, 6, 61)


@pytest.fixture
def panel() -> Axes:
    """Return a panel of 4 × 2 inches over [0, 4] × [0, 2]."""
    axes = Figure(figsize=(8, 4)).add_axes((0.25, 0.25, 0.5, 0.5))
    axes.set(xlim=(0, 4), ylim=(0, 2))
    return axes


def track(panel: Axes, points: list[list[float]]) -> trajectories.Trajectory:
    return trajectories.trajectory(
        panel, "red", np.arange(len(points), dtype=float), np.array(points)
    )


def test_a_curve_that_stays_is_drawn_to_its_end(panel: Axes) -> None:
    stays = track(panel, [[0, 0], [1, 1], [5, 1], [2, 1]])
    np.testing.assert_allclose(stays.points, [[0, 0], [0.25, 0.5], [1.25, 0.5], [0.5, 0.5]])
    assert stays.direction is None
    assert stays.isolated.all()
    assert [stays.count_reached(moment) for moment in (0, 0.9, 1, 1e9)] == [1, 1, 2, 4]


@pytest.mark.parametrize(
    ("beyond", "place", "way"),
    [
        ([6.0, 1.0], [1.0, 0.5], (1, 0)),
        ([2.0, -3.0], [0.5, 0.0], (0, -1)),
        ([1e200, 1.0], [1.0, 0.5], (1, 0)),
        ([2.0, np.inf], [0.5, 1.0], (0, 1)),
    ],
)
def test_a_curve_that_leaves_ends_at_the_frame(panel: Axes, beyond, place, way) -> None:
    leaves = track(panel, [[0, 0], [2, 1], beyond, [np.nan, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(leaves.points[-1], place, atol=1e-12)
    assert leaves.time[-1] == 2
    np.testing.assert_array_equal(np.sign(leaves.direction), way)
    assert not leaves.isolated[-1]


def test_a_curve_that_becomes_nan_has_no_direction(panel: Axes) -> None:
    lost = track(panel, [[0, 0], [2, 1], [np.nan, np.nan]])
    np.testing.assert_allclose(lost.points[-1], [0.5, 0.5])
    np.testing.assert_array_equal(lost.direction, [0, 0])
    drawn = trajectories.TrajectoryArtists(panel, [lost])
    assert len(drawn.exits) == 1


def test_iterates_are_dots_only_where_they_stand_apart(panel: Axes) -> None:
    near = trajectories.APART / 4 * 0.9 * 4 * np.arange(30)  # in data, closer than APART inches
    dense = track(panel, [[x, 0.5] for x in near])
    assert not dense.isolated.any()
    repeated = track(panel, [[1, 1], [1, 1], [1, 1], [3, 1], [3, 1]])
    assert len(repeated.points) == 2
    assert repeated.isolated.all()


def test_a_fan_shows_what_is_reached(panel: Axes) -> None:
    every = [track(panel, [[0, 0], [1, 1], [2, 1]]), track(panel, [[0, 0], [9, 9]])]
    drawn = trajectories.TrajectoryArtists(panel, every)
    assert [len(path) for path in drawn.lines.get_segments()] == [3, 2]
    assert drawn.exits[0].get_visible()
    drawn.show(0.5)
    assert [len(path) for path in drawn.lines.get_segments()] == [1, 1]
    assert not drawn.exits[0].get_visible()
    drawn.show(1.0)
    assert len(drawn.dots.get_offsets()) == 3
    assert drawn.exits[0].get_visible()


def fans(run: Run) -> list[LineCollection]:
    axes = figures.draw(run, "plane").axes[0]
    return [found for found in axes.collections if isinstance(found, LineCollection)]


def test_every_step_size_is_a_curve_in_its_own_colour_through_its_iterates() -> None:
    sizes = [0.05, 0.1, 0.3]
    run = made.plain(sizes=sizes, time=SHORT)
    (drawn,) = fans(run)
    panel = drawn.axes
    assert len({tuple(colour) for colour in drawn.get_colors()}) == 3
    for path, iterates in zip(drawn.get_segments(), run["plane.descent"], strict=True):
        at = panel.transLimits.inverted().transform(path)
        distances = np.linalg.norm(iterates[:, None] - at[None], axis=2).min(axis=1)
        span = [np.ptp(panel.get_xlim()), np.ptp(panel.get_ylim())]
        inside = np.isfinite(iterates).all(axis=1)
        assert (distances[inside] <= trajectories.FINEST * np.hypot(*span)).all()


def test_of_very_many_step_sizes_a_part_is_drawn() -> None:
    run = made.plain(sizes=list(np.geomspace(0.01, 0.3, 500)), time=np.linspace(0, 1, 5))
    (drawn,) = fans(run)
    assert len(drawn.get_segments()) == trajectories.MOST


def with_unit(run: Run, critical: float, name: str = "2/sharpness at the minimum") -> Run:
    unit = Variable((), np.array(critical), {"long_name": name})
    groups = {**run.groups, "descent": {**run.groups["descent"], "critical_step_size": unit}}
    return Run(run.name, run.scenario, groups, run.summary)


@pytest.mark.parametrize("sizes", [[0.05, 0.1, 0.2, 0.3], list(np.linspace(0.05, 0.3, 40))])
def test_step_sizes_are_read_in_units_of_two_over_sharpness_too(sizes: list[float]) -> None:
    run = made.plain(sizes=sizes, time=SHORT)
    plain = figures.draw(run, "plane")
    figure = figures.draw(with_unit(run, 0.1), "plane")
    assert [text.get_text() for text in figure.texts][-1] == (
        "in units of 2/sharpness at the minimum"
    )
    scale = figure.axes[1]
    above = {text.get_text(): text.xy[0] for text in scale.texts}
    assert above["1"] == pytest.approx(0.1 if len(sizes) > style.FEW else 1)
    assert len(scale.lines) == 2
    added = figure.get_figheight() - plain.get_figheight()
    assert added == pytest.approx(scales.UNITS, abs=0.01)


def test_variants_share_a_unit_only_where_it_is_the_same() -> None:
    run = made.plain(sizes=[0.05, 0.1], time=SHORT)
    one, other = with_unit(run, 0.1), with_unit(run, 0.2)
    assert reading.critical_step_size([one, one]) == (0.1, "2/sharpness at the minimum")
    assert reading.critical_step_size([one, other])[1] == ""
    assert reading.critical_step_size([one, run])[1] == ""


def test_few_step_sizes_have_equal_parts_and_many_a_logarithmic_scale() -> None:
    few = scales.StepScale(np.array([0.01, 0.3, 0.36]))
    assert few.few
    assert few.colours() == style.shades(np.array([0, 0.5, 1]))
    many = scales.StepScale(np.geomspace(0.01, 1, 30))
    assert many.colours() == style.shades(np.linspace(0, 1, 30))


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (0.003, 0.8, [0.003, 0.01, 0.03, 0.1, 0.3]),
        (0.9, 2.1, [1, 1.5, 2]),
        (1.0, 1.2, [1.0, 1.05, 1.1, 1.15, 1.2]),
        (1e-9, 1e-4, [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4]),
    ],
)
def test_scales_are_labelled_with_round_numbers(low: float, high: float, numbers) -> None:
    np.testing.assert_allclose(scales.round_numbers(low, high, 6), numbers)


def test_levels_of_the_loss_are_round_and_named() -> None:
    run = made.plain(time=SHORT)
    bar = figures.draw(run, "plane").axes[1]
    labels = [float(text.get_text()) for text in bar.get_yticklabels()]
    assert len(labels) > 3
    assert {f"{label:e}"[0] for label in labels} <= {"1", "2", "3", "5"}
    assert bar.get_ylabel() == r"loss $\ell(W)$"
    raised = made.replaced(run, "plane.loss", run["plane.loss"] + 7)
    raised = made.replaced(raised, "plane.lowest_loss", np.array(7.0))
    assert figures.draw(raised, "plane").axes[1].get_ylabel().endswith("above its minimum here, 7")


def test_a_minimum_that_is_a_line_is_drawn_as_one() -> None:
    run = made.plain(time=SHORT)
    ends = np.array([[3.0, -0.3], [3.0, 2.8]])
    valley = made.replaced(run, "plane.minimum", ends)
    axes = figures.draw(valley, "plane").axes[0]
    (line,) = [line for line in axes.lines if np.array_equal(line.get_xydata(), ends)]
    assert line.get_linestyle() != "None"
    nowhere = made.replaced(run, "plane.minimum", np.full((2, 2), np.nan))
    figure = figures.draw(nowhere, "plane")
    assert "minimum in this plane" not in [t.get_text() for t in figure.legends[0].get_texts()]


def test_arrows_are_told_of_where_a_descent_ends_outside() -> None:
    run = made.plain(sizes=[0.05, 0.1], time=SHORT)
    iterates = run["plane.descent"].copy()
    for last, told in ((iterates[:, -1], False), (99.0, True), (np.nan, True)):
        iterates[1, -1] = last if np.isscalar(last) else last[1]
        changed = made.replaced(run, "plane.descent", iterates.copy())
        assert plane.leaves_frame(changed) is told
        labels = [t.get_text() for t in figures.draw(changed, "plane").legends[0].get_texts()]
        assert ("leaves the frame" in labels) is told


def test_entries_of_w_have_one_scale() -> None:
    run = made.plain(time=SHORT)
    run.scenario.output.plane_entries = ((0, 0), (1, 1))
    axes = figures.draw(run, "plane").axes[0]
    width, height = axes.get_position().size * axes.figure.get_size_inches()
    assert np.ptp(axes.get_xlim()) / width == pytest.approx(np.ptp(axes.get_ylim()) / height)


def test_a_run_from_before_the_minimum_was_kept_is_drawn() -> None:
    run = made.replaced(made.plain(time=SHORT), "plane.minimum", None)
    run = made.replaced(run, "plane.lowest_loss", None)
    assert contours.lowest_loss(run) == run["plane.loss"].min()
    assert figures.draw(run, "plane").axes


def test_a_page_grows_at_its_foot_and_leaves_the_rest() -> None:
    run = made.plain(sizes=[0.05, 0.1], time=SHORT)
    before, after = figures.draw(run, "plane"), figures.draw(run, "plane")
    layout.extend_below(after, 0.25)
    assert after.get_figheight() == pytest.approx(before.get_figheight() + 0.25)
    for one, other in zip(before.axes, after.axes, strict=True):
        old = one.get_position().bounds * np.tile(before.get_size_inches(), 2)
        new = other.get_position().bounds * np.tile(after.get_size_inches(), 2)
        np.testing.assert_allclose(new - old, [0, 0.25, 0, 0], atol=1e-12)
    extents = [
        figure.legends[0].get_window_extent(FigureCanvasAgg(figure).get_renderer())
        for figure in (before, after)
    ]
    assert extents[1].y0 - extents[0].y0 == pytest.approx(0.25 * after.dpi, abs=0.5)
