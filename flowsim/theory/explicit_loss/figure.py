"""Whether the end-to-end flow is the gradient flow of an explicit loss.

It is if the Jacobian of its field is symmetric, and so if every circulation is 0. Of one run each
asymmetry and circulation is drawn over a bar: its rounding bound. Variants are cells of a table.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from flowsim.pictures.kit import layout, reading, style
from flowsim.pictures.kit.words import number
from flowsim.results.run import Run
from flowsim.theory.explicit_loss import table

FLOOR = 1e-17
"""Smaller values, and 0, are drawn at this height."""

ROUNDING: style.LineStyle = {"facecolor": "#bbbbbb", "alpha": 0.6, "linewidth": 0}
LINE_STYLES: dict[str, style.LineStyle] = {
    "on the trajectory": {"color": "#D55E00", "marker": "o", "linestyle": "none"},
    "random matrix": {"color": "#0072B2", "marker": "s", "linestyle": "none"},
    "loop of Arora, Cohen & Hazan": {"color": "#009E73", "marker": "D", "linestyle": "none"},
}
ON_TRAJECTORY, RANDOM, LOOP = LINE_STYLES.values()


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "explicit_loss.circulation")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw asymmetries and circulations of a run, or the table of its variants."""
    run = subject.run
    if run.variants:
        return table.draw(subject)
    legend = {**LINE_STYLES, "0 within rounding": ROUNDING}
    on_it, loops = np.isfinite(run["explicit_loss.time"]), run["explicit_loss.circulation"]
    names = (
        f"asymmetry of the Jacobian at {len(on_it)} points",
        f"circulation around {len(loops)} closed loops",
    )
    grid = layout.panel_grid(subject, panels=2, names=names, legend=legend)
    asymmetry, circulation = grid.panels
    draw_with_bounds(
        asymmetry,
        run["explicit_loss.asymmetry"],
        run["explicit_loss.asymmetry_bound"],
        [ON_TRAJECTORY if known else RANDOM for known in on_it],
    )
    draw_with_bounds(
        circulation,
        np.abs(loops),
        run["explicit_loss.circulation_error"],
        [LOOP, *(ON_TRAJECTORY if known else RANDOM for known in on_it)],
    )
    grid.label("", "relative size")
    asymmetry.set_xlabel("matrix W")
    circulation.set_xlabel("loop: that of the proof, then circles around each W")
    return grid


def draw_with_bounds(
    panel: Axes, values: np.ndarray, bounds: np.ndarray, line_styles: list[style.LineStyle]
) -> None:
    """Draw each value over a bar up to its bound; nan is left out."""
    for k, (value, bound, line_style) in enumerate(zip(values, bounds, line_styles, strict=True)):
        if not np.isfinite(value):
            continue
        panel.bar(k, max(bound, FLOOR) - FLOOR / 3, 0.8, FLOOR / 3, **ROUNDING)
        low = value < FLOOR
        panel.plot(
            k, max(value, FLOOR), **{**line_style, "marker": "v" if low else line_style["marker"]}
        )
    panel.set_yscale("log")
    panel.set_ylim(FLOOR / 3, 5)
    panel.yaxis.set_major_locator(LogLocator(numticks=7))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    panel.set_xlim(-0.7, len(values) - 0.3)
    panel.grid(visible=False, axis="x")


def headline(run: Run) -> str:
    """Return whether an explicit loss exists, and the largest asymmetry and circulation."""
    answer = float(run["explicit_loss.conservative"])
    found = table.largest_values(run)
    sentence = " and ".join(f"{what} {size}" for what, size in found.items())
    if np.isnan(answer):
        return f"Undecided whether there is an explicit loss: {sentence}"
    if not answer:
        return f"The end-to-end field is the gradient of no loss: {sentence} at most"
    apart = run["explicit_loss.closed_form_deviation"]
    if np.isfinite(apart).any():
        known = number(float(np.nanmax(apart)), 1)
        sentence += f"; the integrated F agrees with its closed form within {known}"
    return f"The end-to-end field is the gradient of an explicit loss F: {sentence}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return how many fields at each depth are the gradient of an explicit loss."""
    return table.headline(parts)
