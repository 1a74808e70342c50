"""Animation of gradient descent along the flow in the plane, with the loss beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures import loss, plane
from flowsim.pictures.animation.animation import (
    AnimatedPart,
    Animation,
    GrowingPath,
    IterateMarkers,
    TimeCursor,
    TimeLabel,
)
from flowsim.pictures.kit import (
    contours,
    curves,
    layout,
    reading,
    scales,
    style,
    trajectories,
)
from flowsim.pictures.kit.trajectories import flow_paths
from flowsim.results.run import Run

WIDE, LOSS_WIDE = 3.4, 1.75
LOSS_FLOW: style.LineStyle = {**plane.PATH, "zorder": 1.9}
NOW: style.LineStyle = {**plane.END, "zorder": 8}


@dataclass(frozen=True)
class Span:
    """The times of an animation, whether they are logarithmic, and whether flows share them."""

    first: float
    last: float
    log: bool
    timed: bool


def animation(subject: reading.Subject) -> Animation:
    """Return the animation in the plane: with the loss beside it, or one panel per variant."""
    run, parts = subject.run, subject.parts
    descending = list(filter(plane.has_descent, parts.values()))
    scale = scales.step_size_scale(descending)
    colours = plane.step_size_colours(scale, descending)
    span = find_span(list(parts.values()))
    grid = make_grid(subject, scale)
    animated: list[AnimatedPart] = []
    for panel, part in zip(grid.panels, parts.values(), strict=False):
        animated += in_plane(panel, part, colours, span)
    if not run.variants:
        animated += over_time(grid.panels[1], run, colours, span)
    sizes = reading.all_step_sizes(descending)
    name = "t" if span.timed else "kη"
    time_label = TimeLabel(grid.figure, sizes, span.last, not span.log, name)
    return Animation(grid.figure, [*animated, time_label], span.first, span.last, span.log)


def make_grid(subject: reading.Subject, scale: scales.StepScale | None) -> layout.PanelGrid:
    """Return the panels: the plane and the loss, or the plane of each variant."""
    legend = {
        "flow now" if line_style is plane.END else label: line_style
        for label, line_style in plane.legend(subject.parts).items()
    }
    if subject.run.variants:
        return layout.panel_grid(subject, legend=legend, steps=scale, gap=layout.OWN_AXIS)
    tall = plane.panel_height(subject.run, WIDE)
    grid = layout.panel_grid(subject, panels=2, legend=legend, steps=scale, tall=tall)
    layout.set_horizontal(grid.panels[0], layout.LEFT, WIDE)
    layout.set_horizontal(grid.panels[1], layout.WIDE - layout.RIGHT - LOSS_WIDE, LOSS_WIDE)
    return grid


def find_span(runs: Sequence[Run]) -> Span:
    """Return the times of flows and descent, or kη only if that is not a time of the flow."""
    timed = all(reading.has_numbers(run, "descent.time") for run in runs if plane.has_descent(run))
    flows = [run[f"plane.{space}_time"] for run in runs for space in flow_paths(run)]
    steps = [trajectories.iterate_times(run) for run in runs if plane.has_descent(run)]
    # kη of an adaptive rule is not a time of the flow: then the flow is static
    known = curves.finite_values(flows if timed else steps)
    log = timed and reading.has_log_times(runs) and bool((known > 0).any())
    return Span(float(known[known > 0].min()) if log else 0.0, float(known.max()), log, timed)


def in_plane(panel: Axes, run: Run, colours: dict[float, str], span: Span) -> list[AnimatedPart]:
    """Draw the static artists in the plane, and return the animated parts."""
    contours.draw(panel, run)
    plane.fit_frame(panel, run)
    contours.draw_minimum(panel, run)
    animated: list[AnimatedPart] = []
    if not span.timed:
        plane.draw_paths(panel, run)
    else:
        plane.draw_start(panel, run)
        for k, (space, path) in enumerate(flow_paths(run).items()):
            head, time = {} if k else NOW, run[f"plane.{space}_time"]
            animated.append(GrowingPath(panel, time, path, plane.path_style(k), head))
    if plane.has_descent(run):
        animated += iterates(panel, run, colours, run["plane.descent"], span)
    return animated


def over_time(panel: Axes, run: Run, colours: dict[float, str], span: Span) -> list[AnimatedPart]:
    """Return the animated losses of the reference flow and of descent."""
    space = reading.flows_with(run, "loss")[0]
    time, values = run[f"{space}.time"], run[f"{space}.loss"]
    shown, times = [values], [np.array([span.first, span.last])]
    descending = plane.has_descent(run) and reading.has_numbers(run, "descent.loss")
    if descending:
        shown += curves.values_in_view(run, run["descent.loss"], loss.highest_shown([values]))
        times.append(trajectories.iterate_times(run))
    curves.fit_time_axis([panel], times, span.log)
    if span.log:
        panel.set_xlim(left=span.first)
    curves.log_axis([panel], shown)
    panel.set(xlabel="time t" if span.timed else "kη", ylabel=loss.LABEL)
    animated: list[AnimatedPart] = [TimeCursor([panel])]
    if span.timed:
        points = np.stack([time, values], axis=1)
        animated.append(GrowingPath(panel, time, points, LOSS_FLOW, {}))
    if descending:
        points = np.stack([trajectories.iterate_times(run), run["descent.loss"]], axis=-1)
        animated += iterates(panel, run, colours, points, span)
    return animated


def iterates(
    panel: Axes, run: Run, colours: dict[float, str], points: np.ndarray, span: Span
) -> list[AnimatedPart]:
    """Return the animated trajectories of descent and the markers at their current iterates."""
    found = trajectories.trajectories(run, panel, colours, points, span.last)
    return [trajectories.TrajectoryArtists(panel, found), IterateMarkers(panel, found)]
