"""Margins of a flow that classifies: the direction of W converges while its norm grows."""

from __future__ import annotations

import numpy as np

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LINE_STYLE: style.LineStyle = {"color": "#0072B2", "linewidth": 1.6}
BOUND_LABEL = "maximum margin"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "margin.margin", "margin.norm")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the margin under its maximum, the angle to the maximum-margin direction, and ‖W‖_F."""
    run, parts = subject.run, subject.parts
    line_styles = curves.variant_legend(run, parts, LINE_STYLE)
    bounds = [bound for bound in map(maximum_margin, parts.values()) if bound is not None]
    grid = layout.panel_grid(
        subject,
        panels=3,
        legend=(line_styles if run.variants else {})
        | ({BOUND_LABEL: style.EXACT} if bounds else {}),
        gap=layout.OWN_AXIS,
    )
    margins, angles, norms = grid.panels
    times = [part["margin.time"] for part in parts.values()]
    curves.fit_time_axis(grid.panels, times, reading.has_log_times(parts.values()))
    margin, norm = ([p[f"margin.{name}"] for p in parts.values()] for name in ("margin", "norm"))
    angle = [np.degrees(part["margin.angle"]) for part in parts.values()]
    curves.plain_axis([margins], [*margin, np.array(bounds)])
    curves.log_axis([angles], angle)
    curves.log_axis([norms], norm)
    for bound in dict.fromkeys(bounds):
        margins.axhline(bound, **style.EXACT)
    for panel, values in zip(grid.panels, (margin, angle, norm), strict=True):
        curves.draw_parts(panel, times, values, line_styles)
    grid.label("time t", r"margin of $W/\|W\|_F$", "angle in degrees", r"norm $\|W\|_F$")
    return grid


def maximum_margin(run: Run) -> float | None:
    """Return the maximum margin, or None if the data are not separable."""
    value = float(run["margin.largest_margin"])
    return value if np.isfinite(value) else None


def describe_margin(run: Run) -> str:
    """Return the final margin in percent of the maximum margin, or itself if there is none."""
    last, bound = reading.final(run["margin.margin"]), maximum_margin(run)
    return f"{100 * last / bound:.4g} % of the maximum" if bound else number(last)


def headline(run: Run) -> str:
    """Return the final margin, and how the norm changes."""
    norm = reading.describe_change(run["margin.norm"])
    return f"The margin reaches {describe_margin(run)}, while the norm {norm}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final margin and norm of each variant."""
    phrases = (
        f"{describe_margin(part)} at norm {number(reading.final(part['margin.norm']))} ({name})"
        for name, part in parts.items()
    )
    return f"Margins reach {join_words(phrases, most=4)}"
