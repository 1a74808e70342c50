"""Extreme eigenvalues of the Hessian along the layer flow, beside the stability limits 2/η.

Gradient descent with step size η is unstable where the sharpness λ_max exceeds 2/η.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LINE_STYLES: dict[str, style.LineStyle] = {
    "largest": {"color": "#0072B2", "linewidth": 1.6},
    "smallest": {"color": "#D55E00", "linewidth": 1.2, "linestyle": (0, (3, 1))},
}
LABELS = {"largest": "sharpness (largest eigenvalue)", "smallest": "smallest eigenvalue"}
BOUND_LABEL = "2/η of each step size"
LABEL_HEIGHT = 0.1
"""Inches of a label at the right of the axes; of closer levels only the highest is labelled."""
ROOM = 1.5
"""A limit 2/η is shown up to this multiple of the largest sharpness."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "sharpness.largest")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw λ_max(t), λ_min(t), and the limits 2/η of the step sizes."""
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


def headline(run: Run) -> str:
    """Return how the sharpness changes, and which limits 2/η it exceeds."""
    sentence = f"Sharpness {reading.describe_change(run['sharpness.largest'])}"
    crossings = describe_crossings(run)
    if crossings:
        return f"{sentence}; it exceeds 2/η for {join_words(crossings, most=3)}"
    below = ", below 2/η of every step size" if reading.step_sizes(run).size else ""
    return sentence + below


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final sharpness of each variant."""
    ends = (f"{n} {number(reading.final(p['sharpness.largest']))}" for n, p in parts.items())
    return f"Final sharpness: {join_words(ends, most=5)}"
