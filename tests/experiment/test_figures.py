"""Figures: first the numbers that are drawn, then that every case can be read, then the files."""

from __future__ import annotations

import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import figure_runs as made
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from flowsim.experiment import figures
from flowsim.pictures import descent_distance, gap, singular_values
from flowsim.pictures.kit import curves, reading, trajectories, words
from flowsim.results.run import Run
from flowsim.theory.minimum_nuclear_norm import figure as minimum_nuclear_norm
from flowsim.theory.norms import figure as norms
from flowsim.theory.tracking_bound import figure as tracking_bound

SIZES = [0.01, 0.03, 0.1, 0.8]
LOG_TIME = np.r_[0, np.geomspace(1e-3, 20, 90)]
SHORT = np.linspace(0, 6, 61)


def broken(run: Run) -> Run:
    """Return the run with nan and inf in most of its variables."""
    run = made.replaced(run, "end_to_end.loss", np.full_like(run["end_to_end.loss"], np.nan))
    run = made.replaced(run, "layers.error_estimate", np.full(len(run["layers.time"]), np.nan))
    loss = run["layers.loss"].copy()
    loss[20:30], loss[40:] = np.nan, np.inf
    run = made.replaced(run, "layers.loss", loss)
    singular = run["layers.singular_values"].copy()
    singular[30:] = np.nan
    return made.replaced(run, "layers.singular_values", singular)


def still() -> Run:
    """Return a run whose every value is zero."""
    run = made.plain(sizes=[0.1, 0.2], time=SHORT)
    for path in list(run.paths()):
        if path.split(".")[1] not in ("time", "u", "v", "step_size", "iteration", "outcome"):
            run = made.replaced(run, path, np.zeros_like(run[path]))
    return run


def only_end_to_end() -> Run:
    run = made.plain(time=SHORT)
    kept = {name: run.groups[name] for name in ("end_to_end", "exact", "plane")}
    kept["plane"] = {name: v for name, v in kept["plane"].items() if not name.startswith("layers")}
    return Run(run.name, run.scenario, kept, run.summary)


def stopped_early() -> Run:
    """Return a run whose layer flow failed half way, and whose spaces have times of their own."""
    run = made.plain(time=SHORT)
    groups = dict(run.groups)
    groups["layers"] = made.plain(time=SHORT[:31]).groups["layers"]
    groups["comparison"] = made.plain(time=SHORT[:31]).groups["comparison"]
    summary = {
        "outcome": {"layers": "failed", "end_to_end": "completed"},
        "verdict": {"layers": {"name": "blow-up", "time": 3.0, "advice": "Stop earlier."}},
    }
    return Run("stopped", run.scenario, groups, summary)


def variants(count: int, **changes: Any) -> Run:
    shrink = np.linspace(1, 0.4, count)
    return made.with_variants(
        **{
            f"depth-{k}": made.plain(
                sizes=[0.02, 0.1] if k else [0.02, 0.05, 0.9], target=made.TARGET * s, **changes
            )
            for k, s in enumerate(shrink)
        }
    )


CASES = {
    "plain": lambda: made.plain(sizes=SIZES, time=SHORT),
    "no-descent": lambda: made.plain(time=SHORT),
    "no-exact": lambda: made.plain(time=SHORT, exact=False),
    "apart": lambda: made.plain(time=SHORT, apart=0.05),
    "one-step-size": lambda: made.plain(sizes=[0.1], time=SHORT),
    "all-diverge": lambda: made.plain(sizes=[0.9, 1.2], time=np.linspace(0, 30, 61)),
    "many-step-sizes": lambda: made.plain(sizes=list(np.geomspace(0.01, 0.9, 14)), time=SHORT),
    "log-time": lambda: made.plain(sizes=[0.05, 0.2], time=LOG_TIME, spacing="log"),
    "many-modes": lambda: made.plain(target=np.linspace(4, 0.05, 30), time=SHORT),
    "depth-1": lambda: no_pairs(made.plain(sizes=[0.1], time=SHORT)),
    "one-mode": lambda: made.plain(target=np.array([2.0]), time=SHORT),
    "single-time": lambda: made.plain(sizes=[0.1, 0.2], time=np.zeros(1)),
    "single-log-time": lambda: made.plain(time=np.zeros(1), spacing="log"),
    "broken": lambda: broken(made.plain(sizes=SIZES, time=SHORT)),
    "still": still,
    "end-to-end-only": only_end_to_end,
    "stopped-early": stopped_early,
    "two-variants": lambda: variants(2, time=SHORT),
    "five-variants": lambda: variants(5, time=SHORT),
    "eleven-variants": lambda: variants(11, time=SHORT),
    "mixed-variants": lambda: made.with_variants(
        a=made.plain(sizes=[0.05], time=SHORT), b=only_end_to_end(), c=stopped_early()
    ),
    "hard-names": lambda: Run(
        "hard",
        made.scenario("Cost is $5 and $x_{ " + "long " * 60 + "\x1b[31m\n"),
        {},
        {},
        {"50 % $\\frac{": made.plain(time=SHORT), "_b": made.plain(time=SHORT)},
    ),
}

SEVERAL = {
    "plain",
    "log-time",
    "single-time",
    "broken",
    "end-to-end-only",
    "stopped-early",
    "two-variants",
    "mixed-variants",
    "hard-names",
}
"""Cases that need unlike ways of drawing; the others, which take as long again, are slow."""


@cache
def case_of(name: str) -> Run:
    return CASES[name]()


def no_pairs(run: Run) -> Run:
    run = made.replaced(run, "layers.imbalance", np.zeros((len(run["layers.time"]), 0)))
    shape = (*run["descent.time"].shape, 0)
    return made.replaced(run, "descent.imbalance", np.zeros(shape))


@pytest.fixture(scope="module")
def run() -> Run:
    return made.plain(sizes=SIZES)


def line(axes: Axes, x: np.ndarray, y: np.ndarray) -> bool:
    """Say whether one of the lines on these axes runs through exactly these points."""
    return any(
        np.array_equal(drawn.get_xdata(), x, equal_nan=True)
        and np.array_equal(drawn.get_ydata(), y, equal_nan=True)
        for drawn in axes.lines
    )


def legend(figure: Figure) -> list[str]:
    return [label.get_text() for found in figure.legends for label in found.get_texts()]


def headline(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts if text.get_size() == 7.6)


# The numbers that are drawn


def test_singular_values_of_both_flows_and_the_closed_form_are_drawn(run: Run) -> None:
    figure = figures.draw(run, "singular_values")
    axes = figure.axes[0]
    for space in ("layers", "end_to_end", "exact"):
        for mode in range(3):
            assert line(axes, run[f"{space}.time"], run[f"{space}.singular_values"][:, mode])
    assert legend(figure) == ["layer flow", "end-to-end flow", "closed form"]
    assert [text.get_text() for text in axes.texts] == ["σ₁", "σ₂", "σ₃"]
    assert axes.get_yscale() == axes.get_xscale() == "linear"


def test_singular_values_beyond_ten_are_thin_and_grey() -> None:
    axes = figures.draw(CASES["many-modes"](), "singular_values").axes[0]
    faint = [drawn for drawn in axes.lines if drawn.get_linewidth() < 0.5]
    assert len(faint) == 20


def test_headline_gives_the_times_when_modes_are_halfway(run: Run) -> None:
    halves = np.log(1.0 * made.TARGET / made.START - 1) / (2 * made.TARGET)
    said = headline(figures.draw(run, "singular_values"))
    assert said.startswith("Larger modes are learned earlier, in overlapping rises")
    for mode, half in enumerate(halves):
        found = singular_values.rises(run["layers.time"], run["layers.singular_values"])
        assert found[mode][2] == pytest.approx(half, rel=0.01)
        assert words.number(found[mode][2]) in said


def test_modes_are_one_by_one_only_where_their_rises_do_not_overlap() -> None:
    far = made.plain(target=np.array([30.0, 3.0, 0.3]), time=np.linspace(0, 30, 3001))
    assert headline(figures.draw(far, "singular_values")).startswith("Modes are learned one by one")
    near = made.plain(target=np.array([1.0, 1.0]), time=SHORT)
    assert "2 modes are learned together" in headline(figures.draw(near, "singular_values"))


def test_loss_of_flows_and_every_step_size_is_drawn_on_a_log_axis(run: Run) -> None:
    figure = figures.draw(run, "loss")
    axes = figure.axes[0]
    for space in ("layers", "end_to_end", "exact"):
        assert line(axes, run[f"{space}.time"], run[f"{space}.loss"])
    for k in range(len(SIZES)):
        assert line(axes, run["descent.time"][k], run["descent.loss"][k])
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == r"loss $\ell(W)$"
    assert axes.get_xlabel() == "time t"
    assert "η = 0.8 (diverged)" in legend(figure)
    assert "η = 0.1" in legend(figure)
    assert headline(figure).endswith("descent diverges at η = 0.8")


def test_a_diverging_step_size_leaves_the_axes_and_is_marked(run: Run) -> None:
    axes = figures.draw(run, "loss").axes[0]
    top = axes.get_ylim()[1]
    assert top < 1e3 * run["layers.loss"].max()
    marks = [drawn for drawn in axes.lines if len(drawn.get_xdata()) == 1]
    assert [mark.get_ydata()[0] for mark in marks] == [top]
    last_inside = run["descent.time"][3][run["descent.loss"][3] <= top].max()
    assert last_inside <= marks[0].get_xdata()[0] <= last_inside + 0.8


def test_where_a_curve_leaves_is_interpolated() -> None:
    time, values = np.arange(4.0), np.array([1.0, 1.0, 100.0, np.inf])
    assert curves.exit_point(time, values, 10.0, log=True) == (pytest.approx(1.5), 10.0)
    assert curves.exit_point(time, values, 50.5, log=False) == (pytest.approx(1.5), 50.5)
    assert curves.exit_point(time, values, 200.0, log=True) == (2.0, 100.0)
    assert curves.exit_point(time, np.full(4, np.nan), 1.0, log=True) is None


def test_loss_of_variants_is_overlaid() -> None:
    several = variants(3, time=SHORT)
    figure = figures.draw(several, "loss")
    for name in several.variants:
        times, losses = several[f"{name}/layers.time"], several[f"{name}/layers.loss"]
        assert line(figure.axes[0], times, losses)
    assert legend(figure) == [*several.variants, "closed form"]


def test_distance_of_descent_and_its_order_are_drawn(run: Run) -> None:
    figure = figures.draw(run, "descent_distance")
    left, right = figure.axes
    for k in range(len(SIZES)):
        assert line(left, run["descent.time"][k], run["comparison.descent_vs_flow"][k])
    largest = [np.nanmax(row) for row in run["comparison.descent_vs_flow"]]
    for k in range(3):
        assert line(right, np.array([SIZES[k]]), np.array([largest[k]]))
    slope = np.polyfit(np.log(SIZES[:3]), np.log(largest[:3]), 1)[0]
    assert f"slope {slope:.2f} for η ≤ 0.1" in right.get_title(loc="left")
    assert right.get_xscale() == right.get_yscale() == left.get_yscale() == "log"
    assert right.get_xlabel() == "step size η"


def test_order_is_fitted_only_while_the_slope_holds() -> None:
    sizes = np.array([0.01, 0.1, 0.2, 0.4])
    start = made.plain(sizes=list(sizes), time=SHORT)
    distance = np.ones((4, len(SHORT))) * np.array([0.03, 0.3, 0.6, 50])[:, None]
    law = descent_distance.fit_power_law(
        made.replaced(start, "comparison.descent_vs_flow", distance)
    )
    assert law is not None
    assert law.slope == pytest.approx(1)
    assert (law.smallest, law.largest) == (0.01, 0.2)


@pytest.mark.parametrize(("apart", "agree"), [(1e-10, True), (0.05, False)])
def test_gap_says_whether_it_lies_in_the_band(apart: float, agree: bool) -> None:
    run = made.plain(apart=apart)
    figure = figures.draw(run, "gap")
    axes = figure.axes[0]
    assert line(axes, run["comparison.time"], run["comparison.end_to_end_vs_layers"])
    assert ("agree within their error estimates" in headline(figure)) is agree
    assert axes.get_yscale() == "log"
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(gap.summed_error_estimate(run).max())
    assert band.min() == pytest.approx(axes.get_ylim()[0])
    both = run["layers.error_estimate"] + run["end_to_end.error_estimate"]
    assert np.array_equal(gap.summed_error_estimate(run), both)


def test_gap_without_estimates_has_no_band() -> None:
    run = broken(made.plain(time=SHORT, sizes=SIZES))
    figure = figures.draw(run, "gap")
    assert legend(figure) == ["distance between the flows"]
    assert headline(figure).startswith("End-to-end flow and layer flow differ by at most")


def test_gap_over_variants_says_where_it_leaves_the_band() -> None:
    near, far = made.plain(time=SHORT), made.plain(time=SHORT, apart=0.05)
    seldom = np.array(near["comparison.end_to_end_vs_layers"])
    seldom[7] = 1.0
    once = made.replaced(near, "comparison.end_to_end_vs_layers", seldom)
    said = headline(figures.draw(made.with_variants(a=near, b=far, c=once), "gap"))
    assert "agree within their error estimates for a; not for b (distance up to 0.187)" in said
    assert "c (outside at 2 % of times)" in said


def test_gap_at_the_level_of_rounding_is_no_disagreement() -> None:
    run = made.plain(time=SHORT)
    zero = np.zeros(len(SHORT))
    for space in ("layers", "end_to_end"):
        run = made.replaced(run, f"{space}.error_estimate", zero)
    run = made.replaced(run, "comparison.end_to_end_vs_layers", zero + 1e-15)
    assert not gap.exceeds(run).any()
    run = made.replaced(run, "comparison.end_to_end_vs_layers", zero + 1e-9)
    assert gap.exceeds(run).all()


def test_imbalance_of_flow_by_pair_and_descent_by_step_size(run: Run) -> None:
    figure = figures.draw(run, "imbalance")
    left, right = figure.axes
    for pair in range(2):
        assert line(left, run["layers.time"], run["layers.imbalance"][:, pair])
    for k in range(len(SIZES)):
        assert line(right, run["descent.time"][k], run["descent.imbalance"][k].max(axis=-1))
    assert left.get_ylim() == right.get_ylim()
    assert legend(figure)[:2] == ["W₁, W₂", "W₂, W₃"]
    moved = np.abs(run["layers.imbalance"] - run["layers.imbalance"][0]).max()
    assert words.number(moved) in headline(figure)


def test_plane_draws_the_path_and_the_minimum_within_its_edges(run: Run) -> None:
    figure = figures.draw(run, "plane")
    axes = figure.axes[0]
    path = run["plane.layers"]
    assert line(axes, path[:, 0], path[:, 1])
    assert axes.get_xlim() == (run["plane.u"].min(), run["plane.u"].max())
    assert axes.get_ylim() == (run["plane.v"].min(), run["plane.v"].max())
    assert axes.get_xlabel() == "entry w₁₁ (u)"
    assert "end-to-end flow" not in legend(figure)
    assert {"initialization", "final point of the flow", "minimum in this plane"} <= set(
        legend(figure)
    )
    assert line(axes, made.TARGET[:1], made.TARGET[1:2])


def test_plane_shows_the_end_to_end_path_where_it_differs(run: Run) -> None:
    other = run["plane.layers"] * [1.0, 0.9]
    figure = figures.draw(made.replaced(run, "plane.end_to_end", other), "plane")
    assert "end-to-end flow" in legend(figure)


def test_distance_from_a_path_counts_its_pieces_not_only_its_points() -> None:
    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [np.nan, 1.0]])
    assert trajectories.largest_distance(
        path, np.array([[0.5, 0.25], [np.nan, 7.0]])
    ) == pytest.approx(0.25)
    assert trajectories.largest_distance(path, np.array([[3.0, 1.0]])) == pytest.approx(2.0)
    assert trajectories.path_length(path) == pytest.approx(2.0)


def test_effective_rank_and_nuclear_norm_are_drawn(run: Run) -> None:
    figure = figures.draw(run, "effective_rank")
    for axes, measure in zip(figure.axes, ("effective_rank", "nuclear_norm"), strict=True):
        for space in ("layers", "end_to_end"):
            assert line(axes, run[f"{space}.time"], run[f"{space}.{measure}"])
        for k in range(len(SIZES)):
            assert line(axes, run["descent.time"][k], run[f"descent.{measure}"][k])
        assert axes.get_ylim()[1] < 2 * run[f"layers.{measure}"].max()
    assert "(maximum " in headline(figure) or "(minimum " in headline(figure)


def test_entries_are_drawn_and_named(run: Run) -> None:
    figure = figures.draw(run, "end_to_end_entries")
    for i in range(3):
        for j in range(3):
            assert line(figure.axes[0], run["layers.time"], run["layers.end_to_end"][:, i, j])
    assert legend(figure)[:2] == ["w₁₁", "w₁₂"]
    assert "w₁₁, rises from 0.001 to 3" in headline(figure)


def with_saved_descent(run: Run, **changes: Any) -> Run:
    """Return the run with W of descent, diagonal as its singular values, kept at some samples."""
    dims = ("step_size", "sample", "output", "input")
    found = {"end_to_end": (dims, run["descent.singular_values"][..., None] * np.eye(3))}
    if (kept := changes.get("kept")) is not None:
        W = found["end_to_end"][1][:, kept]
        found = {"end_to_end": (("step_size", "saved_sample", "output", "input"), W)}
        found["saved_sample"] = (("saved_sample",), kept)
    descent = {**run.groups["descent"], **made.group(**found)}
    return Run(run.name, run.scenario, {**run.groups, "descent": descent}, run.summary)


def test_the_largest_entry_is_drawn_in_every_flow_and_at_every_step_size(run: Run) -> None:
    groups = {**run.groups, "spectral": made.flow(SHORT[:31], made.TARGET * [1, 1, 4])}
    run = with_saved_descent(Run(run.name, run.scenario, groups, run.summary))
    figure = figures.draw(run, "entry_comparison")
    axes = figure.axes[0]
    assert axes.get_ylabel() == "w₃₃"
    for space in ("layers", "end_to_end", "spectral", "exact"):
        assert line(axes, run[f"{space}.time"], run[f"{space}.end_to_end"][:, 2, 2])
    for space in ("layers", "end_to_end", "spectral"):
        assert line(axes, run[f"{space}.time"][-1:], run[f"{space}.end_to_end"][-1:, 2, 2])
    for k in range(3):
        assert line(axes, run["descent.time"][k], run["descent.end_to_end"][k, :, 2, 2])
    assert legend(figure)[:3] == ["layer flow", "end-to-end flow", "spectral flow"]
    assert "η = 0.8 (diverged)" in legend(figure)
    low = words.number(run["descent.end_to_end"][:3, -1, 2, 2].min())
    assert headline(figure) == f"w₃₃ ends at {low} to 4, largest in the spectral flow"


def test_the_largest_entry_is_told_for_each_of_a_few_dynamics() -> None:
    run = made.plain(sizes=[0.1], time=SHORT, apart=0.5)
    said = headline(figures.draw(run, "entry_comparison"))
    assert said == "w₁₁ ends at 3 in the layer flow and 4.5 in the end-to-end flow"
    saved = with_saved_descent(run, kept=np.array([0, 30, 60]))
    figure = figures.draw(saved, "entry_comparison")
    W = saved["descent.end_to_end"][0, :, 0, 0]
    assert line(figure.axes[0], run["descent.time"][0, [0, 30, 60]], W)
    assert headline(figure).endswith(f"and {words.number(W[-1])} in gradient descent at η = 0.1")
    several = headline(figures.draw(made.with_variants(a=run, b=saved, c=run), "entry_comparison"))
    assert several == "The largest final entry is 3 to 4.5 (a), 3 to 4.5 (b) and 3 to 4.5 (c)"


def test_the_largest_entry_is_compared_only_where_there_is_something_to_compare() -> None:
    with pytest.raises(ValueError, match="one flow only, so that there is nothing to compare"):
        figures.draw(only_end_to_end(), "entry_comparison")
    with pytest.raises(ValueError, match="30 × 30 entries, and at most 9 are drawn"):
        figures.draw(CASES["many-modes"](), "entry_comparison")
    one = made.plain(sizes=[0.1], time=SHORT)
    groups = {key: one.groups[key] for key in ("layers", "descent")}
    alone = Run(one.name, one.scenario, groups, one.summary)
    assert "entry_comparison" not in figures.available(alone)
    assert "entry_comparison" in figures.available(with_saved_descent(alone))


TIMELESS = {
    "plane", "explicit_loss", "minimum_nuclear_norm", "speed", "step_size_thresholds",
    "oscillation", "momentum_flow",
}  # fmt: skip
"""Figures whose first axes have no axis of time."""


def test_logarithmic_times_leave_out_zero() -> None:
    run = CASES["log-time"]()
    for name in figures.available(run):
        axes = figures.draw(run, name).axes[0]
        if name in TIMELESS:
            continue
        assert axes.get_xscale() == "log", name
        first = LOG_TIME[1]
        if name == "descriptions":  # over times of iterates, which begin later
            iterates = run["descriptions.time"]
            first = iterates[iterates > 0].min()
        if name == "sgd_noise":  # over those of the largest step size
            iterates = run["sgd_noise.time"][run["sgd_noise.step_size"].argmax()]
            first = iterates[iterates > 0].min()
        assert axes.get_xlim()[0] == pytest.approx(first)
    axes = figures.draw(run, "loss").axes[0]
    assert line(axes, LOG_TIME[1:], run["layers.loss"][1:])


def test_many_step_sizes_get_a_colour_scale_instead_of_a_legend() -> None:
    figure = figures.draw(CASES["many-step-sizes"](), "loss")
    assert not any("η" in label for label in legend(figure))
    assert any(text.get_text() == "step size η" for text in figure.texts)
    assert figure.axes[1].get_xlim() == pytest.approx((0.01, 0.9))


def test_what_fell_short_is_said_above_the_headline() -> None:
    said = figures.draw(stopped_early(), "loss").texts[0].get_text()
    assert "layer flow: blow-up at t = 3" in said
    said = figures.draw(CASES["mixed-variants"](), "gap").texts[0].get_text()
    assert "not drawn: b" in said
    assert "c, layer flow: blow-up" in said


def test_variants_share_a_time_axis_unless_their_lengths_differ_much() -> None:
    for longest, shared in ((12, True), (60, False)):
        run = made.with_variants(
            a=made.plain(time=SHORT), b=made.plain(time=np.linspace(0, longest, 61))
        )
        for name in ("singular_values", "gap", "imbalance", "end_to_end_entries"):
            first, second = figures.draw(run, name).axes
            assert second.get_xlim() == (0, longest)
            assert first.get_xlim() == (0, longest if shared else 6)


def test_variants_of_different_flows_share_a_legend() -> None:
    labels = legend(figures.draw(CASES["mixed-variants"](), "singular_values"))
    assert labels[:2] == ["layer flow / end-to-end flow", "end-to-end flow"]


def test_a_negative_loss_is_drawn_on_a_linear_axis() -> None:
    run = made.plain(sizes=SIZES, time=SHORT, exact=False)
    for space in ("layers", "end_to_end", "descent"):
        run = made.replaced(run, f"{space}.loss", run[f"{space}.loss"] - 10)
    axes = figures.draw(run, "loss").axes[0]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] < -10
    assert -3 < axes.get_ylim()[1] < 10


def test_a_constant_loss_has_no_contours() -> None:
    run = made.plain(time=SHORT)
    flat = made.replaced(run, "plane.loss", np.full_like(run["plane.loss"], 1e6))
    assert len(figures.draw(flat, "plane").axes) == 1


def test_a_change_is_described_with_its_extremum() -> None:
    assert reading.describe_change(np.array([3.0, 2.0, 1.0])) == "falls from 3 to 1"
    assert reading.describe_change(np.array([3.0, 0.5, 1.0])) == "changes from 3 to 1 (minimum 0.5)"
    assert reading.describe_change(np.array([2.0, 2.0])) == "stays at 2"
    assert reading.describe_change(np.array([np.nan, 2.0])) == "is 2 at the only time saved"


def test_numbers_are_written_as_a_reader_says_them() -> None:
    assert words.number(2.149e-9) == "2.15×10⁻⁹"
    assert words.number(1e-5) == "10⁻⁵"
    assert words.number(-0.12) == "−0.12"
    assert words.number(0) == "0"
    assert words.number(2500) == "2500"
    assert words.number(float("inf")) == "∞"
    assert words.distinct_numbers([0.10001, 0.10002]) == ["0.10001", "0.10002"]
    assert words.join_words("abc") == "a, b and c"
    assert words.with_subscripts("w", 1, 12) == "w₁,₁₂"


# Every case


@pytest.mark.parametrize("name", figures.FIGURES)
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c in SEVERAL else [pytest.mark.slow]) for c in CASES]
)
def test_every_figure_draws_every_run_it_fits(case: str, name: str) -> None:
    run = case_of(case)
    if not figures.FIGURES[name].available(run):
        with pytest.raises(ValueError, match="cannot be drawn of"):
            figures.draw(run, name)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figures.draw(run, name)
        assert_readable(figure)
    assert headline(figure)
    for text in figure.findobj(Text):
        assert "nan" not in text.get_text()


def assert_readable(figure: Figure) -> None:
    """Everything lies on the page, labels are there, and no legend covers what is drawn."""
    width, height = figure.get_size_inches()
    assert width in (3.4, 5.0, 7.0)
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    figure.draw_without_rendering()
    page = figure.get_tightbbox(renderer)
    assert page.x0 >= 0
    assert page.y0 >= 0
    assert page.x1 <= width
    assert page.y1 <= height
    insides = [axes.get_window_extent() for axes in figure.axes]
    outside = [found.get_window_extent() for found in figure.legends]
    outside += [text.get_window_extent() for text in figure.texts]
    for k, box in enumerate(outside):
        assert not any(box.overlaps(inside) for inside in insides)
        assert not any(box.overlaps(other) for other in outside[k + 1 :])
    assert any(axes.get_xlabel() for axes in figure.axes)
    rows = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert any(axes.get_ylabel() for axes in figure.axes) or any(map(str.isalpha, "".join(rows)))


def test_cases_cover_every_figure() -> None:
    for name in figures.FIGURES:
        assert sum(figures.FIGURES[name].available(case_of(case)) for case in CASES) > 10


def test_depth_one_has_no_imbalance_to_draw() -> None:
    run = case_of("depth-1")
    assert "imbalance" not in figures.available(run)
    with pytest.raises(ValueError, match="one layer has no neighbouring layers"):
        figures.draw(run, "imbalance")


# Names


def test_an_unknown_figure_is_refused_with_the_nearest_name(run: Run) -> None:
    with pytest.raises(ValueError, match=r"no figure 'los'.*'loss'.*singular_values, loss"):
        figures.draw(run, "los")
    with pytest.raises(ValueError, match="png, svg, pdf"):
        figures.save(run, "nowhere", format="gif")
    with pytest.raises(ValueError, match="no figure 'histogram'"):
        figures.lead(made.plain(figure="histogram"))


def test_the_lead_figure_is_the_scenarios_or_the_first_that_fits() -> None:
    assert figures.lead(made.plain(time=SHORT)) == "singular_values"
    assert figures.lead(made.plain(time=SHORT, figure="gap")) == "gap"
    with pytest.raises(ValueError, match="holds no finite numbers"):
        figures.lead(Run("empty", made.scenario(), {}, {}))


def test_importing_figures_is_light_and_drawing_never_loads_the_simulation(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, flowsim.experiment.figures as f;"
        "heavy = {'numpy', 'matplotlib'} & set(sys.modules);"
        "assert not heavy, heavy; sys.path.insert(0, sys.argv[1]); import figure_runs as made;"
        "f.save(made.plain(), sys.argv[2]);"
        "late = {'jax', 'matplotlib.pyplot', 'flowsim.solvers.solve', 'flowsim.experiment.run'};"
        "assert not late & set(sys.modules), late & set(sys.modules)"
    )
    here = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code, here, str(tmp_path)], check=True)


# Files


FEW = ["singular_values", "plane", "preconditioner"]
"""A figure of curves, one of contours and one of maps."""


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("png", FEW),
        ("svg", FEW),
        *(pytest.param(format, None, marks=pytest.mark.slow) for format in ("png", "svg", "pdf")),
    ],
)
def test_saving_twice_gives_the_same_bytes(
    run: Run, tmp_path: Path, format: str, names: list[str] | None
) -> None:
    first = figures.save(run, tmp_path / "a", format, names=names)
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        before = dict(mpl.rcParams)
        second = figures.save(run, tmp_path / "b", format, names=names)
        assert dict(mpl.rcParams) == before
    assert [path.name for path in first] == [
        f"{name}.{format}" for name in names or figures.FIGURES
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert sorted(tmp_path.joinpath("a").iterdir()) == sorted(first)


def test_saving_draws_only_what_is_asked_and_replaces_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gap.png").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    assert figures.save(run, str(tmp_path), names=["gap"]) == [tmp_path / "gap.png"]
    assert (tmp_path / "gap.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gap.png", "mine.txt"]


def test_sharpness_is_drawn_beside_what_step_sizes_bear() -> None:
    run = made.plain(sizes=[0.1, 0.4, 0.5])
    figure = figures.draw(run, "sharpness")
    axes = figure.axes[0]
    for name in ("largest", "smallest"):
        assert line(axes, run["sharpness.time"], run[f"sharpness.{name}"])
    levels = [drawn.get_ydata()[0] for drawn in axes.lines if len(drawn.get_xdata()) == 2]
    assert sorted(levels) == [pytest.approx(4.0), pytest.approx(5.0)]  # 2/0.1 = 20 is far above
    assert [text.get_text() for text in axes.texts] == ["η = 0.4", "η = 0.5"]
    assert "exceeds 2/η for η = 0.5 at" in headline(figure)
    assert "and η = 0.4 at" in headline(figure)


def test_sharpness_below_every_bound_says_so() -> None:
    figure = figures.draw(made.plain(sizes=[0.1]), "sharpness")
    assert headline(figure).endswith("below 2/η of every step size")


def test_sharpness_of_iterates_is_drawn_beside_that_of_the_flow() -> None:
    run = made.at_edges(made.plain(sizes=[0.1, 0.4, 0.5]))
    figure = figures.draw(run, "sharpness")
    axes = figure.axes[0]
    assert line(axes, run["sharpness.time"], run["sharpness.largest"])
    for k in range(3):
        assert line(axes, run["sharpness.iterate_time"][k], run["sharpness.descent_sharpness"][k])
    assert headline(figure) == (
        "Sharpness of descent ends at the edge of stability 2/η for η = 0.4 and η = 0.5"
    )
    assert {"gradient flow", "2/η of each step size"} <= {
        text.get_text() for text in figure.legends[0].get_texts()
    }


def test_sharpness_of_variants_has_a_panel_each() -> None:
    several = made.with_variants(a=made.plain(sizes=[0.4]), b=made.plain(sizes=[0.5]))
    figure = figures.draw(several, "sharpness")
    assert len(figure.axes) == 2
    assert headline(figure) == "Final sharpness: a 6 and b 6"


def test_the_drift_budget_is_drawn_by_its_sums_and_by_what_it_costs() -> None:
    run = made.plain(sizes=SIZES[:3], time=SHORT)
    figure = figures.draw(run, "drift_budget")
    over_time, against = figure.axes
    time = run["drift_budget.time"]
    for k in range(3):
        for name in ("accumulated", "measured", "difference", "error"):
            assert line(over_time, time[k], run[f"drift_budget.{name}"][k].max(axis=-1))
    for path in ("drift_budget.cost", "drift_budget.rebalanced", "comparison.descent_vs_flow"):
        assert line(against, np.array(SIZES[:3]), np.nanmax(run[path], axis=1))
    worst = np.nanmax(run["drift_budget.accumulated"][2])
    assert f"At η = 0.1 the imbalance drifts by {words.number(worst)}" in headline(figure)
    assert "from the flow" in headline(figure)


def test_a_drift_budget_of_diverged_descent_alone_has_no_costs_to_draw() -> None:
    figure = figures.draw(CASES["all-diverge"](), "drift_budget")
    assert len(figure.axes) == 1
    assert headline(figure) == "Gradient descent diverges at every step size"


def test_drift_budgets_of_variants_have_a_panel_each() -> None:
    figure = figures.draw(CASES["two-variants"](), "drift_budget")
    assert len(figure.axes) == 2
    assert headline(figure).startswith("The imbalance drifts by up to ")


def test_flows_of_momentum_are_drawn_by_their_distance_and_their_path() -> None:
    run = made.plain(sizes=SIZES, time=SHORT)
    figure = figures.draw(run, "momentum_flow")
    distances, path = figure.axes
    sizes = np.array(SIZES)[~reading.diverged(run)]
    for name in ("flow", "inertia", "high_resolution"):
        values = run[f"momentum_flow.{name}"][~reading.diverged(run)]
        assert line(distances, sizes, np.nanmax(values, axis=1))
        k = len(sizes) - 1
        assert line(path, run["momentum_flow.time"][k], run[f"momentum_flow.{name}_strength"][k])
    low = np.nanmax(run["momentum_flow.flow"][:2], axis=1)
    power = np.log(low[1] / low[0]) / np.log(SIZES[1] / SIZES[0])
    assert f"gradient flow at kη/(1 − μ) as η to the power {power:.2f}" in headline(figure)
    assert distances.get_xscale() == distances.get_yscale() == "log"


def test_flows_of_momentum_of_a_few_variants_have_their_paths_below() -> None:
    few, many = ({f"v{k}": made.plain(sizes=[0.1, 0.05]) for k in range(n)} for n in (2, 4))
    assert len(figures.draw(made.with_variants(**few), "momentum_flow").axes) == 4
    assert len(figures.draw(made.with_variants(**many), "momentum_flow").axes) == 4
    alone = figures.draw(made.plain(sizes=[0.1]), "momentum_flow")
    assert "second-order (inertial) flow by" in headline(alone)


def test_orders_of_variants_are_drawn_together() -> None:
    three, two = made.plain(sizes=SIZES[:3], time=SHORT), made.plain(sizes=SIZES[:2], time=SHORT)
    figure = figures.draw(made.with_variants(a=three, b=three, c=two), "descent_distance")
    assert len(figure.axes) == 4
    largest = np.nanmax(three["comparison.descent_vs_flow"], axis=1)
    assert line(figure.axes[-1], np.array(SIZES[:3]), largest)
    assert figure.axes[-1].get_ylim() == figure.axes[0].get_ylim()
    assert [label for label in legend(figure) if "slope" in label and label.startswith("a")]
    assert "(c)" not in headline(figure)
    assert len(figures.draw(made.with_variants(a=three, c=two), "descent_distance").axes) == 2


def test_descent_is_drawn_under_its_bound_and_where_that_is_made() -> None:
    run = made.plain(sizes=SIZES, time=SHORT)
    figure = figures.draw(run, "tracking_bound")
    over_time, where = figure.axes
    for k in range(4):
        time = run["tracking_bound.iterate_time"][k]
        distance = np.where(time > 0, run["tracking_bound.distance"][k], np.nan)
        assert line(over_time, time, distance)
        assert line(over_time, time, run["tracking_bound.bound"][k])
    density, grown = run["tracking_bound.density"], run["tracking_bound.amplification"]
    assert line(where, SHORT, density)
    assert line(where, SHORT, density * (grown[-1] / grown))
    worst = np.nanmax(run["tracking_bound.distance"][2])
    said = headline(figure)
    assert f"At η = 0.1 descent stays within {words.number(worst)} of the flow" in said
    assert f"the bound is {words.number(2 * worst)}" in said


def test_half_of_the_bound_is_made_where_its_density_says() -> None:
    """Without amplification: ∫ e^{-4s/T} is at half of its whole at -T/4 log((1 + e^{-4})/2)."""
    run = made.plain(sizes=[0.1], time=np.linspace(0, 6, 2001))
    run = made.replaced(run, "tracking_bound.amplification", np.ones(2001))
    wanted = -6 / 4 * np.log((1 + np.exp(-4)) / 2)
    assert tracking_bound.half_time(run) == pytest.approx(wanted, abs=1e-5)


def test_bounds_of_variants_have_a_panel_each() -> None:
    figure = figures.draw(CASES["two-variants"](), "tracking_bound")
    assert len(figure.axes) == 2
    assert headline(figure).startswith("Gradient descent deviates from the flow by up to ")
    figure = figures.draw(CASES["all-diverge"](), "tracking_bound")
    assert headline(figure) == "Gradient descent diverges at every step size"


def test_noise_is_drawn_by_means_and_deviations_and_by_distances_over_step_sizes() -> None:
    run = made.plain(sizes=[0.02, 0.1, 0.05])
    figure = figures.draw(run, "sgd_noise")
    over_time, over_eta = figure.axes
    time = run["sgd_noise.time"][1]
    for source in ("descent", "first", "second"):
        assert line(over_time, time, run[f"sgd_noise.{source}_loss"][1])
    for name in ("weak_first", "weak_second", "strong_first", "strong_second"):
        worst = np.nanmax(run[f"sgd_noise.{name}"], axis=1)
        assert line(over_eta, np.array([0.02, 0.05, 0.1]), worst[[0, 2, 1]])
    assert "to order 1.00 and 2.00 in η" in headline(figure)
    assert "to order 1.00 and 1.50" in headline(figure)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "weak, order-2: slope 2.00" in labels


def test_noise_at_one_step_size_is_drawn_by_the_trace_of_its_covariance() -> None:
    run = made.plain(sizes=[0.05])
    figure = figures.draw(run, "sgd_noise")
    assert line(figure.axes[1], run["sgd_noise.time"][0], run["sgd_noise.trace"][0])
    assert "the trace of Σ falls from 3 to 2" in headline(figure)


def test_noise_of_variants_has_a_panel_each() -> None:
    figure = figures.draw(CASES["two-variants"](), "sgd_noise")
    assert len(figure.axes) == 2


def test_the_tangent_kernel_is_drawn_in_degrees_and_by_its_distance() -> None:
    run = made.plain()
    figure = figures.draw(run, "tangent_kernel")
    time = run["tangent_kernel.time"]
    assert line(figure.axes[0], time, np.degrees(run["tangent_kernel.angle"]))
    assert line(figure.axes[1], time, run["tangent_kernel.distance"])
    assert headline(figure).startswith("The neural tangent kernel rotates by up to 17° and changes")
    two = figures.draw(
        made.with_variants(a=run, b=made.plain(time=np.linspace(0, 1))), "tangent_kernel"
    )
    assert len(two.axes) == 2 and "17° (a) and" in headline(two)


def test_margins_are_drawn_beside_the_largest_one() -> None:
    run = made.plain()
    figure = figures.draw(run, "margin")
    margins, angles, norms = figure.axes
    assert line(margins, run["margin.time"], run["margin.margin"])
    assert line(angles, run["margin.time"], np.degrees(run["margin.angle"]))
    assert line(norms, run["margin.time"], run["margin.norm"])
    assert [x.get_ydata()[0] for x in margins.lines if len(x.get_xdata()) == 2] == [0.5]
    assert headline(figure) == (
        "The margin reaches 80.76 % of the maximum, while the norm rises from 0.693 to 2.08"
    )


def test_margins_of_data_that_cannot_be_separated_have_no_largest() -> None:
    nothing = np.array(np.nan)
    run = made.replaced(made.plain(), "margin.largest_margin", nothing)
    run = made.replaced(run, "margin.angle", np.full(201, np.nan))
    figure = figures.draw(run, "margin")
    assert [x for x in figure.axes[0].lines if len(x.get_xdata()) == 2] == []
    assert headline(figure).startswith("The margin reaches 0.404, while")


def test_sharpness_that_was_not_measured_is_not_drawn() -> None:
    with pytest.raises(ValueError, match=r"no numbers in sharpness.largest"):
        figures.draw(made.replaced(made.plain(), "sharpness.largest", None), "sharpness")


def test_convergence_is_drawn_beside_its_bounds() -> None:
    run = made.plain(sizes=[0.1, 0.5])
    figure = figures.draw(run, "convergence")
    axes, time = figure.axes[0], run["convergence.time"]
    assert line(axes, time, run["convergence.excess_loss"])
    assert line(axes, time, run["convergence.bound"])
    assert line(axes, time, run["convergence.running_bound"])
    assert len(axes.lines) == 3
    slowest = words.number(run["convergence.rate"].min())
    assert headline(figure).startswith(f"The loss falls at a rate from {slowest} to ")
    assert "the proved rate is 0.004" in headline(figure)
    assert headline(figure).endswith("10 iterations at η = 0.5, at most 2×10⁶ by theorem")


def test_the_factor_n_is_drawn_as_no_bound_where_w_is_not_square() -> None:
    run = made.plain()
    run.scenario.network.widths = (4, 3, 3)
    figure = figures.draw(run, "convergence")
    wrong = run["convergence.excess_loss"][0] * np.exp(-0.008 * run["convergence.time"])
    assert line(figure.axes[0], run["convergence.time"], wrong)


def test_what_is_less_than_its_error_is_not_drawn() -> None:
    run = made.plain()
    excess = run["convergence.excess_loss"].copy()
    excess[150:] = -1e-17
    run = made.replaced(run, "convergence.excess_loss", excess)
    run = made.replaced(run, "convergence.error", np.full(len(excess), 1e-16))
    axes = figures.draw(run, "convergence").axes[0]
    assert axes.get_yscale() == "log"
    assert np.isnan(axes.lines[0].get_ydata()[150:]).all()


def test_the_hypothesis_that_fails_is_named() -> None:
    lost = made.plain()
    for path, values in {
        "rate_bound": np.array(np.nan),
        "holds": np.array([1.0, 0.0]),
        "found": np.array(["h = 1", "-0.25"]),
        "bound": np.full(len(lost["convergence.time"]), np.nan),
    }.items():
        lost = made.replaced(lost, f"convergence.{path}", values)
    assert "no rate is proved (deficiency margin −0.25)" in headline(
        figures.draw(lost, "convergence")
    )
    both = figures.draw(made.with_variants(a=made.plain(), b=lost), "convergence")
    assert len(both.axes) == 2
    slowest = words.number(lost["convergence.rate"].min())
    assert headline(both).endswith(f"≥ 0.004 and b {slowest} (none; deficiency margin −0.25)")


def test_the_preconditioner_is_drawn_as_curves_and_as_maps() -> None:
    run = made.plain(exact=False)
    figure = figures.draw(run, "preconditioner")
    spectrum, eigenvalues, *maps, scale = figure.axes
    time, K = run["preconditioner.time"], run["preconditioner.eigenvalues"]
    for r in range(3):
        assert line(spectrum, run["layers.time"], run["layers.singular_values"][:, r])
        for c in range(3):
            assert line(eigenvalues, time, K[:, r, c])
    assert eigenvalues.get_yscale() == "log"
    assert len(maps) == 4
    shown = [int(np.flatnonzero(time == moment)[0]) for moment in marked(eigenvalues)]
    for panel, i in zip(maps, shown, strict=True):
        np.testing.assert_array_equal(np.ravel(panel.collections[0].get_array()), K[i].ravel())
        assert panel.get_title(loc="left") == f"K at t = {words.number(time[i])}"
        assert panel.get_ylim()[0] > panel.get_ylim()[1], "row 1 is the uppermost"
    assert shown[0] == 0
    assert shown[-1] == len(time) - 1
    assert scale.get_yscale() == "log"


def marked(axes: Axes) -> list[float]:
    """Return the times that vertical lines mark."""
    return [float(drawn.get_xdata()[0]) for drawn in axes.lines if len(drawn.get_xdata()) == 2]


def test_the_headline_says_where_the_movement_crowds() -> None:
    run = made.plain()
    moved, slope = (run[f"preconditioner.{n}_share"] for n in ("movement", "gradient"))
    i, k = np.unravel_index(np.argmax(moved - slope), moved.shape)
    said = headline(figures.draw(run, "preconditioner"))
    assert said.startswith(f"At t = {words.number(run['preconditioner.time'][i])} the first ")
    assert f"{words.number(100 * moved[i, k], 2)} % of Ẇ" in said
    assert f"{words.number(100 * slope[i, k], 2)} % of the gradient" in said


def test_zero_eigenvalues_are_left_grey() -> None:
    run = made.plain(time=SHORT)
    K = run["preconditioner.eigenvalues"].copy()
    K[:, 2, 2] = 0
    figure = figures.draw(made.replaced(run, "preconditioner.eigenvalues", K), "preconditioner")
    assert figure.axes[2].collections[0].get_array().mask.ravel().tolist() == [False] * 8 + [True]


def test_a_preconditioner_that_is_the_identity_speeds_nothing_up() -> None:
    run = made.plain(time=SHORT)
    ones = {
        name: np.ones_like(run[f"preconditioner.{name}"])
        for name in ("eigenvalues", "effective_step", "condition_number")
    }
    ones["movement_share"] = run["preconditioner.gradient_share"]
    for name, values in ones.items():
        run = made.replaced(run, f"preconditioner.{name}", values)
    said = headline(figures.draw(run, "preconditioner"))
    assert said.startswith("Ẇ and the gradient have the same directions")
    assert said.endswith("stays at 1")


def test_shares_of_variants_have_a_panel_each() -> None:
    several = made.with_variants(a=made.plain(), b=made.plain(time=SHORT))
    figure = figures.draw(several, "preconditioner")
    for axes, part in zip(figure.axes, several.variants.values(), strict=True):
        for name in ("movement_share", "gradient_share"):
            for share in part[f"preconditioner.{name}"].T:
                assert line(axes, part["preconditioner.time"], share)


def test_the_law_is_drawn_over_the_velocities_and_their_distance_beside_it() -> None:
    run = made.plain()
    figure = figures.draw(run, "singular_value_law")
    upper, lower = figure.axes
    time = run["singular_value_law.time"]
    largest = np.abs(run["singular_value_law.velocity"]).max()
    for r in range(3):
        for name, panel, scale in (
            ("velocity", upper, 1), ("law", upper, 1),
            ("difference", lower, largest), ("error", lower, largest),
        ):  # fmt: skip
            assert line(panel, time, run[f"singular_value_law.{name}"][:, r] / scale)
    assert headline(figure).endswith("of their largest derivative, within the bound")


def test_a_distance_beyond_its_bound_is_said() -> None:
    run = made.plain(time=SHORT)
    law = made.replaced(run, "singular_value_law.error", 0 * run["singular_value_law.error"])
    assert "NOT within the bound" in headline(figures.draw(law, "singular_value_law"))
    several = made.with_variants(a=run, b=law)
    figure = figures.draw(several, "singular_value_law")
    assert len(figure.axes) == 4
    assert headline(figure).endswith("in a and 2.2×10⁻¹⁵, above its bound in b")


def test_of_many_variants_the_law_is_drawn_of_four() -> None:
    figure = figures.draw(variants(6, time=SHORT), "singular_value_law")
    assert len(figure.axes) == 8
    assert "not drawn: depth-4, depth-5" in " ".join(text.get_text() for text in figure.texts)


def cells(figure: Figure) -> list[tuple[str, ...]]:
    """Return the panel, the row, the column and the lines of each cell of a table."""
    found = []
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    for axes in figure.axes:
        columns = [label.get_text().strip() for label in axes.get_xticklabels()]
        for text in axes.texts:
            x, y = (int(value) for value in text.get_position())
            place = (axes.get_title(loc="left"), rows[y], columns[x])
            found.append((*place, *text.get_text().split("\n")))
    return found


def asked(answer: float, value: float, **changes: Any) -> Run:
    """Return a run that was asked for an explicit loss, with that answer."""
    run = made.plain(**changes)
    groups = {**run.groups, "explicit_loss": made.explicit_loss(value, answer)}
    return Run(run.name, run.scenario, groups, run.summary)


def test_explicit_losses_are_a_table_of_losses_outputs_and_depths() -> None:
    white = SimpleNamespace(whiten=True)
    several = made.with_variants(
        a=asked(0.0, 0.25, widths=(3, 3, 3, 2), loss="linear"),
        b=asked(1.0, 1e-14, widths=(3, 1), loss="regression", data=white),
        c=asked(np.nan, 2e-13, widths=(3, 3, 1), loss="linear"),
    )
    figure = figures.draw(several, "explicit_loss")
    assert sorted(cells(figure)) == [
        ("1 output", "linear", "2", "?", "J  2×10⁻¹³", "∮  0 ± 10⁻¹³"),
        ("1 output", "regression,\nwhitened", "1", "✓", "J  0 ± 10⁻¹³", "∮  0 ± 10⁻¹³"),
        ("2 outputs", "linear", "3", "✗", "J  0.25", "∮  0.025"),
    ]
    assert headline(figure) == (
        "Fields that are the gradient of an explicit loss: 1 of 1 at depth 1, none at depth 2 and "
        "none at depth 3"
    )
    assert legend(figure)[:3] == ["✓ gradient", "✗ no gradient", "? undecided"]


def test_variants_that_would_share_a_cell_have_a_row_each() -> None:
    several = made.with_variants(wide=asked(0.0, 0.5), narrow=asked(1.0, 0.0))
    figure = figures.draw(several, "explicit_loss")
    assert [(row, mark) for _, row, _, mark, *_ in cells(figure)] == [
        ("wide", "✗"),
        ("narrow", "✓"),
    ]


@pytest.mark.parametrize(
    ("answer", "value", "said"),
    [
        (0.0, 0.25, "is the gradient of no loss: asymmetry 0.25 and circulation 0.025 at most"),
        (
            1.0,
            1e-14,
            "of an explicit loss F: asymmetry 0 ± 10⁻¹³ and circulation 0 ± 10⁻¹³; the int",
        ),
        (np.nan, 5e-13, "Undecided whether there is an explicit loss: asymmetry 5×10⁻¹³ and circ"),
    ],
)
def test_asymmetries_and_circulations_are_drawn_over_their_bounds(
    answer: float, value: float, said: str
) -> None:
    run = asked(answer, value)
    figure = figures.draw(run, "explicit_loss")
    assert said in headline(figure)
    for axes, name in zip(figure.axes, ("asymmetry", "circulation"), strict=True):
        drawn = [float(dot.get_ydata()[0]) for dot in axes.lines]
        np.testing.assert_array_equal(drawn, np.abs(run[f"explicit_loss.{name}"]))
        tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
        np.testing.assert_allclose(tops, 1e-13)


def test_what_is_exactly_zero_is_drawn_at_the_floor() -> None:
    figure = figures.draw(asked(1.0, 0.0), "explicit_loss")
    assert {float(dot.get_ydata()[0]) for dot in figure.axes[0].lines} == {1e-17}
    assert {dot.get_marker() for dot in figure.axes[0].lines} == {"v"}


def levels(axes: Axes) -> list[float]:
    """Return the heights of the lines that are drawn across the panel."""
    return [drawn.get_ydata()[0] for drawn in axes.lines if list(drawn.get_xdata()) == [0, 1]]


def test_norms_are_drawn_a_panel_each_beside_those_of_least_nuclear_norm(run: Run) -> None:
    figure = figures.draw(run, "norms")
    for axes, name in zip(figure.axes, norms.PANELS, strict=True):
        assert line(axes, run["norms.time"], run[f"norms.{name}"])
        assert levels(axes) == [pytest.approx(float(run[f"minimum_nuclear_norm.{name}"]))]
    assert [axes.get_yscale() for axes in figure.axes] == ["log"] * 5 + ["linear"]
    assert legend(figure) == ["flow", "minimum nuclear norm"]
    said = headline(figure)
    assert "the nuclear norm rises from 0.003 to 5.99, and every other norm rises too" in said
    assert said.endswith("p = 1 ends at 2 and p = 1/2 at 2")


def test_norms_that_fall_are_not_said_to_rise() -> None:
    run = without_least(made.plain(time=SHORT))
    falling = made.replaced(run, "norms.spectral", run["norms.spectral"][::-1])
    assert "every other norm" not in headline(figures.draw(falling, "norms"))
    assert legend(figures.draw(falling, "norms")) == ["flow"]


def test_norms_of_variants_are_compared_in_norm_and_rank() -> None:
    several = variants(2, time=SHORT)
    figure = figures.draw(several, "norms")
    for name in several.variants:
        for axes, norm in zip(figure.axes, norms.PANELS, strict=True):
            assert line(axes, several[f"{name}/norms.time"], several[f"{name}/norms.{norm}"])
    assert "times the minimum; the effective rank at" in headline(figure)
    bare = {name: without_least(part) for name, part in several.variants.items()}
    said = headline(figures.draw(made.with_variants(**bare), "norms"))
    assert said.startswith("Final nuclear norm and effective rank: ")


def without_least(run: Run) -> Run:
    groups = {name: group for name, group in run.groups.items() if name != "minimum_nuclear_norm"}
    return Run(run.name, run.scenario, groups, run.summary)


def test_the_least_nuclear_norm_stands_beside_the_end_of_every_flow() -> None:
    several = variants(3, time=SHORT)
    figure = figures.draw(several, "minimum_nuclear_norm")
    rows = np.arange(3)
    for axes, name in zip(figure.axes, minimum_nuclear_norm.PANELS, strict=True):
        parts = several.variants.values()
        ends = np.array([part[f"layers.{name}"][-1] for part in parts])
        assert line(axes, ends, rows)
        least = np.array([float(part[f"minimum_nuclear_norm.{name}"]) for part in parts])
        assert line(axes, least, rows)
        assert axes.get_ylim() == (2.5, -0.5)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(several.variants)
    assert "ends nearest, at" in headline(figure)


def test_the_end_of_one_flow_is_told_beside_the_least_nuclear_norm(run: Run) -> None:
    said = headline(figures.draw(run, "minimum_nuclear_norm"))
    away = words.number(run["layers.distance_to_target"][-1])
    other = words.number(float(np.linalg.norm(made.TARGET / 2)))
    assert f"ends at distance {away} from the target (minimum nuclear norm: {other})" in said
    assert said.endswith("with 1.998 times the minimum nuclear norm")


def test_what_was_not_sought_is_not_drawn() -> None:
    bare = without_least(made.plain())
    with pytest.raises(ValueError, match=r"no numbers in minimum_nuclear_norm"):
        figures.draw(bare, "minimum_nuclear_norm")
    figure = figures.draw(bare, "effective_rank")
    assert levels(figure.axes[0]) == levels(figure.axes[1]) == []
    assert "minimum nuclear norm" not in legend(figure)


def test_effective_rank_is_drawn_beside_that_of_least_nuclear_norm(run: Run) -> None:
    figure = figures.draw(run, "effective_rank")
    for axes, name in zip(figure.axes, ("effective_rank", "nuclear_norm"), strict=True):
        assert levels(axes) == [pytest.approx(float(run[f"minimum_nuclear_norm.{name}"]))]
    assert "minimum nuclear norm" in legend(figure)
    assert "minimum nuclear norm has rank" in headline(figure)
    several = made.with_variants(a=made.plain(time=SHORT), b=made.plain(time=SHORT))
    figure = figures.draw(several, "effective_rank")
    assert len(levels(figure.axes[0])) == 1
    assert headline(figure).endswith("for minimum nuclear norm")


@pytest.mark.parametrize(("old", "new"), [("fitting", "available"), ("animated", "animatable")])
def test_a_renamed_function_is_answered_with_its_new_name(old: str, new: str) -> None:
    with pytest.raises(AttributeError, match=f"figures.{old} is now called figures.{new}"):
        getattr(figures, old)
    assert not hasattr(figures, "nothing")
