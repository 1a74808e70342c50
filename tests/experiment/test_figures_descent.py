"""The singular values of descent, one panel a step size: what is drawn, and what is said of it."""

from __future__ import annotations

import figure_runs as made
import numpy as np
import pytest
from descent_runs import (
    BOTH_SWING,
    DIVERGING,
    GROWTH,
    ITERATION,
    NAME,
    ONE_SWINGS,
    PARITY,
    SETTLING,
    SHRINKING,
    U,
    V,
    curves_of,
    drawn,
    has,
    headline,
    run_of,
    titles,
)
from hypothesis import given
from hypothesis import strategies as st

from flowsim.experiment import figures
from flowsim.results.run import Run, Variable
from flowsim.solvers import long_run
from flowsim.solvers.behaviour import Behaviour, LongTermBehaviour
from flowsim.theory.long_run import figure as figure_of
from flowsim.theory.long_run.modes import panel_titles

# The numbers that are drawn


def test_every_iterate_is_drawn_by_the_flows_modes_over_the_flow() -> None:
    everything = (SETTLING, ONE_SWINGS, BOTH_SWING, DIVERGING)
    run = run_of(*everything)
    figure = drawn(run)
    assert len(figure.axes) == 4
    for k, axes in enumerate(figure.axes):
        for r in range(2):
            assert has(axes, run["layers.time"], SETTLING[:, r])
            assert has(axes, run["descent.time"][k], everything[k][:, r])
    assert "u_r^" in figure.axes[0].get_ylabel()
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["mode 1", "mode 2", "flow"]


def test_sorted_singular_values_are_drawn_where_w_was_not_saved() -> None:
    run = run_of(SETTLING, ONE_SWINGS, saved=False)
    figure = drawn(run)
    for k, axes in enumerate(figure.axes):
        for r in range(2):
            assert has(axes, run["layers.time"], run["layers.singular_values"][:, r])
            assert has(axes, run["descent.time"][k], run["descent.singular_values"][k, :, r])
    assert figure.axes[0].get_ylabel() == "sorted singular values"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["σ₁", "σ₂", "flow"]


def test_a_swing_across_another_mode_is_one_modes_only_where_modes_are_followed() -> None:
    said = headline(drawn(run_of(ONE_SWINGS)))
    assert said == "Descent keeps oscillating at η = 0.05 (mode 1)"
    said = headline(drawn(run_of(ONE_SWINGS, saved=False)))
    assert said == "The spectrum of descent keeps oscillating at η = 0.05 (σ₁ and σ₂)"


def test_saved_samples_are_followed_where_w_was_saved_at_a_stride() -> None:
    run = run_of(ONE_SWINGS)
    groups = {name: dict(group) for name, group in run.groups.items()}
    picked = np.arange(0, 201, 3)
    W = run["descent.end_to_end"][:, picked]
    dims = ("step_size", "saved_sample", "output", "input")
    groups["descent"]["end_to_end"] = Variable(dims, W)
    groups["descent"]["saved_sample"] = Variable(("saved_sample",), picked)
    strided = Run(run.name, run.scenario, groups, {})
    axes = drawn(strided).axes[0]
    assert has(axes, run["descent.time"][0, picked], ONE_SWINGS[picked, 0])
    groups["descent"]["end_to_end"] = Variable(dims, W[:, -1:])
    groups["descent"]["saved_sample"] = Variable(("saved_sample",), picked[-1:])
    assert drawn(strided).axes[0].get_ylabel() == "sorted singular values"


def test_a_diverging_descent_does_not_set_the_axis_and_its_leaving_is_marked() -> None:
    figure = drawn(run_of(SETTLING, BOTH_SWING, DIVERGING))
    low, high = figure.axes[2].get_ylim()
    assert BOTH_SWING.max() < high < 1.2 * BOTH_SWING.max()
    assert -2 < low < 0
    marks = [points for points in curves_of(figure.axes[2]) if len(points[0]) == 1]
    assert [y[0] for _, y in marks] == [high, high]
    assert all(len(x) > 1 for axes in figure.axes[:2] for x, _ in curves_of(axes))
    assert {axes.get_ylim() for axes in figure.axes} == {(low, high)}
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 10.0)}


def test_alone_a_diverging_descent_is_drawn_at_the_scale_of_the_flow() -> None:
    figure = drawn(run_of(DIVERGING))
    assert 10 < figure.axes[0].get_ylim()[1] < 12
    assert headline(figure) == "Descent diverges at η = 0.05"


# What is said


def test_the_headline_tells_settling_swinging_and_diverging_apart() -> None:
    figure = drawn(run_of(SETTLING, ONE_SWINGS, BOTH_SWING, DIVERGING))
    assert headline(figure) == (
        "Descent converges at η = 0.05;"
        " keeps oscillating at η = 0.1 (mode 1) and 0.15 (modes 1 and 2);"
        " diverges at η = 0.2"
    )
    assert titles(figure) == [
        "η = 0.05: converges",
        "η = 0.1: mode 1 oscillates between 9.2 and 10.8",
        "η = 0.15: modes 1 and 2 oscillate",
        "η = 0.2: diverges by t = 6",
    ]


def test_a_swing_that_shrinks_does_not_keep_swinging() -> None:
    figure = drawn(run_of(SHRINKING))
    assert headline(figure) == "Descent has a decaying oscillation at η = 0.05 (mode 1)"


def test_an_uneven_swing_is_not_said_to_shrink() -> None:
    swing = PARITY * np.interp(ITERATION, [164, 165, 179, 180], [1.0, 0.2, 0.2, 0.8])
    uneven = SETTLING + np.stack([swing, 0 * swing], axis=1)
    said = headline(drawn(run_of(uneven)))
    assert said == "Descent oscillates irregularly at η = 0.05 (mode 1)"


def test_a_mode_on_its_way_neither_settles_nor_swings() -> None:
    slow = SETTLING * np.stack([np.ones(201), ITERATION / 400], axis=1)
    assert headline(drawn(run_of(slow))) == "Descent still moves at η = 0.05 (mode 2)"
    hump = SETTLING + np.stack([np.exp(-(((ITERATION - 175) / 9) ** 2)), 0 * GROWTH], axis=1)
    assert headline(drawn(run_of(hump))) == "Descent still moves at η = 0.05 (mode 1)"


def test_a_swing_between_modes_is_seen_though_the_modes_stand_still() -> None:
    between = 0.5 * PARITY[:, None, None] * np.outer(U[:, 0], V[:, 1])
    said = headline(drawn(run_of(SETTLING, added=between)))
    assert said == "Descent still moves between its modes at η = 0.05"


def test_a_two_cycle_seen_at_every_second_iterate_is_not_said_to_settle() -> None:
    figure = drawn(run_of(ONE_SWINGS, every=2))
    assert titles(figure) == ["η = 0.05: unmoved every 2 iterates"]
    assert "may converge" in headline(figure)
    assert "Descent converges" in headline(drawn(run_of(SETTLING, every=2)))
    assert "keeps oscillating" in headline(drawn(run_of(ONE_SWINGS, every=3)))


def test_few_iterates_and_interrupted_descents_are_told() -> None:
    assert "too few iterates" in headline(drawn(run_of(SETTLING, every=20)))
    run = run_of(np.where(ITERATION[:, None] <= 40, SETTLING, np.nan))
    run = made.replaced(run, "descent.outcome", np.array(["interrupted"]))
    assert titles(drawn(run)) == ["η = 0.05: ends at t = 2"]


def test_a_swing_smaller_than_a_thousandth_counts_as_still() -> None:
    for size, kind in ((4e-4, Behaviour.CONVERGES), (6e-4, Behaviour.PERSISTENT)):
        values = 1 + size * PARITY[150:]
        assert long_run.mode_behaviour(values, 1e-3) is kind


def test_a_cycle_after_a_burst_swings() -> None:
    """The burst, in the tail's first quarter, makes its first half larger; the rest is the same."""
    k = np.arange(400)
    values = 9 + np.where(k < 60, 4.0, 1.0) * (-1.0) ** k
    assert long_run.mode_behaviour(values, 1e-3) is Behaviour.PERSISTENT
    assert long_run.mode_behaviour(9 + 0.999**k * (-1.0) ** k, 1e-3) is Behaviour.DECAYING


@given(
    centre=st.floats(-50, 50),
    size=st.floats(0.01, 100),
    period=st.integers(2, 6),
    phase=st.integers(0, 5),
)
def test_any_cycle_swings_and_any_fading_one_does_not(
    centre: float, size: float, period: int, phase: int
) -> None:
    steps = np.arange(60)
    cycle = np.where((steps + phase) % period == 0, 1.0, -1.0)
    assert long_run.mode_behaviour(centre + size * cycle, 1e-3) is Behaviour.PERSISTENT
    fading = long_run.mode_behaviour(centre + size * cycle * 0.97**steps, 1e-3)
    assert fading is Behaviour.DECAYING
    assert long_run.mode_behaviour(centre + size * steps / 60, 1e-3) is Behaviour.DRIFTS


# Which panels


def test_at_most_eight_step_sizes_are_drawn_and_all_are_told() -> None:
    figure = drawn(run_of(*[SETTLING] * 9, *[DIVERGING] * 5))
    assert len(figure.axes) == 8
    assert titles(figure)[0] == "η = 0.05: converges"
    assert titles(figure)[-1].startswith("η = 0.7: diverges")
    assert headline(figure) == (
        "Descent converges at the 9 step sizes up to 0.45; diverges at the 5 step sizes from 0.5"
        " (8 of 14 drawn)"
    )


def test_step_sizes_that_do_the_same_are_said_once() -> None:
    said = headline(drawn(run_of(ONE_SWINGS, ONE_SWINGS, SETTLING)))
    assert (
        said == "Descent converges at η = 0.15; keeps oscillating at η = 0.05 and 0.1 (mode 1 each)"
    )


def test_the_tail_is_the_last_quarter_of_the_time_and_some_iterates() -> None:
    assert np.array_equal(long_run.window_rows(np.arange(101)), np.arange(75, 101))
    assert np.array_equal(long_run.window_rows(np.repeat(np.arange(5), 2)), [6, 8])
    spread = np.unique(np.round(np.geomspace(1, 1000, 40)).astype(int))
    assert len(long_run.window_rows(spread)) == long_run.LEAST_ITERATES
    assert list(long_run.window_rows(np.zeros(4, dtype=int))) == [0]


def test_step_sizes_are_drawn_in_ascending_order() -> None:
    run = run_of(DIVERGING, SETTLING)
    run = made.replaced(run, "descent.step_size", np.array([0.2, 0.1]))
    assert [title.split(":")[0] for title in titles(drawn(run))] == ["η = 0.1", "η = 0.2"]


def test_variants_are_counted() -> None:
    both = made.with_variants(deep=run_of(SETTLING, ONE_SWINGS), shallow=run_of(SETTLING))
    figure = drawn(both)
    assert headline(figure) == "Of 3 descents, 2 converge and 1 keeps oscillating"
    assert [title.split(",")[0] for title in titles(figure)] == ["deep", "deep", "shallow"]


def test_it_fits_only_where_descent_has_singular_values() -> None:
    assert NAME not in figures.available(made.plain())
    run = made.replaced(run_of(SETTLING), "descent.singular_values", None)
    with pytest.raises(ValueError, match=r"no numbers in descent\.singular_values"):
        drawn(run)
    assert list(figures.FIGURES).index(NAME) == 2


def test_every_behaviour_has_its_words() -> None:
    for kind in figure_of.VERBS:
        for modes in ((), (0,), (0, 1), tuple(range(9))):
            for projected in (True, False):
                forms = panel_titles(LongTermBehaviour(kind, modes, 1, 2, 3, 2), projected)
                assert all(forms)
                assert len(forms[-1]) <= 15


def test_descriptions_end_in_a_cross_where_they_break() -> None:
    run = made.plain(sizes=[0.01, 0.03, 0.1])
    figure = figures.draw(run, "descriptions")
    assert [axes.get_title(loc="left")[:8] for axes in figure.axes] == [
        "η = 0.01",
        "η = 0.03",
        "η = 0.1:",
    ]
    crosses = [sum(line.get_marker() == "X" for line in axes.lines) for axes in figure.axes]
    assert crosses == [0, 0, 3]
    for k, axes in enumerate(figure.axes):
        central = run["descriptions.central"][k]
        drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
        known = [y for y in drawn if y.shape == central.shape]
        moved = central > 0
        assert any(np.array_equal(y[moved], central[moved]) for y in known)
    several = made.with_variants(a=run, b=made.plain(sizes=[0.02]))
    assert len(figures.draw(several, "descriptions").axes) == 4
    with pytest.raises(ValueError, match="no numbers"):
        figures.draw(made.plain(), "descriptions")
