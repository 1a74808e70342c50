"""Sharpness along the layer flow and along descent, beside the stability limits 2/η.

Gradient descent with step size η is unstable where the sharpness λ_max exceeds 2/η. At the edge of
stability the sharpness of its iterates rises to 2/η and stays about it.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LINE_STYLES: dict[str, style.LineStyle] = {
    "largest": {"color": "#0072B2", "linewidth": 1.6},
    "smallest": {"color": "#D55E00", "linewidth": 1.2, "linestyle": (0, (3, 1))},
}
LABELS = {"largest": "sharpness (largest eigenvalue)", "smallest": "smallest eigenvalue"}
FLOW_LABEL = "gradient flow"
FLOW: style.LineStyle = {"color": style.INK, "linewidth": 1.2}
BOUND_LABEL = "2/η of each step size"
EDGE = 0.1
"""At the edge of stability the last sharpness is within this fraction of 2/η."""
LABEL_HEIGHT = 0.1
"""Inches of a label at the right of the axes; of closer levels only the highest is labelled."""
ROOM = 1.5
"""A limit 2/η is shown up to this multiple of the largest sharpness."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "sharpness.largest")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the sharpness along the flow and descent, and the limits 2/η of the step sizes."""
    parts = subject.parts.values()
    return _draw_iterates(subject) if any(map(has_iterates, parts)) else _draw_flow(subject)


def has_iterates(run: Run) -> bool:
    """Return whether the sharpness of the iterates of descent is known."""
    return reading.has_numbers(run, "sharpness.descent_sharpness")


def _draw_iterates(subject: reading.Subject) -> layout.PanelGrid:
    """Draw λ_max of the flow and of the iterates by step size, each beside its limit."""
    run, parts = subject.run, list(subject.parts.values())
    sizes, steps = reading.all_step_sizes(parts), curves.step_size_legend(parts)
    limit = {BOUND_LABEL: style.LEVEL}
    grid = layout.panel_grid(
        subject,
        right=layout.RIGHT if run.variants else layout.LABELLED,
        legend={FLOW_LABEL: FLOW} | steps | limit,
        steps=scales.scale_if_many(parts),
    )
    curves.time_axes(grid.panels, parts, lambda part: [part["sharpness.time"]])
    top = curves.plain_axis(grid.panels, [each for part in parts for each in _in_view(part)])
    for panel, part in zip(grid.panels, parts, strict=True):
        curves.draw_levels(panel, limits(part))
        curves.plot(panel, part["sharpness.time"], part["sharpness.largest"], FLOW)
        if has_iterates(part):
            values, time = part["sharpness.descent_sharpness"], part["sharpness.iterate_time"]
            curves.draw_descent(panel, part, values, sizes, top, time)
    if not run.variants:
        label_limits(grid.panels[0], limits(run))
    grid.label("time t", "sharpness (largest eigenvalue)")
    return grid


def _in_view(run: Run) -> list[np.ndarray]:
    """Return what the value axis shows: the flow, the limits, and iterates not far above both."""
    shown = [run["sharpness.largest"], limits(run)]
    if has_iterates(run):
        most = ROOM * np.nanmax(np.concatenate(shown))
        iterates = run["sharpness.descent_sharpness"]
        shown += curves.values_in_view(run, iterates, most, slack=1.0)
    return shown


def _draw_flow(subject: reading.Subject) -> layout.PanelGrid:
    """Draw λ_max(t) and λ_min(t) of the flow, and the limits."""
    run, parts = subject.run, subject.parts
    shown = {name: limits(part) for name, part in parts.items()}
    any_limit = any(each.size for each in shown.values())
    grid = layout.panel_grid(
        subject,
        right=layout.RIGHT if run.variants else layout.LABELLED,
        legend={LABELS[name]: line_style for name, line_style in LINE_STYLES.items()}
        | ({BOUND_LABEL: style.LEVEL} if any_limit else {}),
    )
    curves.time_axes(grid.panels, parts.values(), lambda part: [part["sharpness.time"]])
    values = [part[f"sharpness.{name}"] for part in parts.values() for name in LINE_STYLES]
    curves.plain_axis(grid.panels, [*values, *shown.values()])
    for panel, (name, part) in zip(grid.panels, parts.items(), strict=True):
        curves.draw_levels(panel, shown[name])
        for end, line_style in LINE_STYLES.items():
            curves.plot(panel, part["sharpness.time"], part[f"sharpness.{end}"], line_style)
    if not run.variants:
        label_limits(grid.panels[0], shown[run.name])
    grid.label("time t", "eigenvalues of the Hessian")
    return grid


def limits(run: Run) -> np.ndarray:
    """Return 2/η of the step sizes for which it is not far above the sharpness."""
    above = 2 / reading.step_sizes(run)
    return np.asarray(above[above <= ROOM * np.nanmax(run["sharpness.largest"])])


def label_limits(panel: Axes, levels: np.ndarray) -> None:
    """Write η at the right of its line, from the highest down, unless labels would overlap."""
    low, high = panel.get_ylim()
    tall, lowest = LABEL_HEIGHT / layout.HEIGHTS[1] * (high - low), np.inf
    for level in -np.sort(-levels):
        if lowest - level < tall:
            continue
        lowest = level
        layout.label_right(panel, f"η = {number(2 / level)}", level, 3, fontsize=6.0)


def describe_crossings(run: Run) -> list[str]:
    """Return when the sharpness first exceeds 2/η, for each such step size, largest first."""
    time, sharpness = run["sharpness.time"], run["sharpness.largest"]
    found = {
        size: reading.crossing_time(time, sharpness, 2 / size)
        for size in sorted(reading.step_sizes(run), reverse=True)
    }
    return [f"η = {number(s)} at t = {number(t)}" for s, t in found.items() if np.isfinite(t)]


def at_the_edge(run: Run) -> str:
    """Return the step sizes whose iterates end with a sharpness of about 2/η that the flow exceeds.

    The iterates are held there by their oscillation, as the flow reaches a larger sharpness.
    """
    sizes, exceeded = reading.step_sizes(run), np.nanmax(run["sharpness.largest"])
    ends = np.array([reading.final(row) for row in run["sharpness.descent_sharpness"]])
    held = (np.abs(ends * sizes / 2 - 1) <= EDGE) & (exceeded > 2 / sizes) & ~reading.diverged(run)
    return join_words([f"η = {number(size)}" for size in np.sort(sizes[held])], most=3)


def headline(run: Run) -> str:
    """Return how the sharpness changes, and which limits 2/η it exceeds."""
    sentence = f"Sharpness {reading.describe_change(run['sharpness.largest'])}"
    if has_iterates(run) and (held := at_the_edge(run)):
        return f"Sharpness of descent ends at the edge of stability 2/η for {held}"
    crossings = describe_crossings(run)
    if crossings:
        return f"{sentence}; it exceeds 2/η for {join_words(crossings, most=3)}"
    below = ", below 2/η of every step size" if reading.step_sizes(run).size else ""
    return sentence + below


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final sharpness of each variant."""
    ends = (f"{n} {number(reading.final(p['sharpness.largest']))}" for n, p in parts.items())
    return f"Final sharpness: {join_words(ends, most=5)}"
