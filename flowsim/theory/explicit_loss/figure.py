"""Whether the end-to-end flow descends an explicit loss: asymmetries and circulations, or a table.

Of one run every asymmetry and circulation is shown over the bar of what rounding alone can make of
0; variants are cells of a table (`flowsim.theory.explicit_loss.table`).
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from flowsim.pictures.kit import page, reading, style
from flowsim.pictures.kit.words import number
from flowsim.results.run import Run
from flowsim.theory.explicit_loss import table as explicit_loss_table

FLOOR = 1e-17
"""Smaller numbers, and 0, are drawn here."""

ROUNDING: style.Pen = {"facecolor": "#bbbbbb", "alpha": 0.6, "linewidth": 0}
PENS: dict[str, style.Pen] = {
    "on the trajectory": {"color": "#D55E00", "marker": "o", "linestyle": "none"},
    "random matrix": {"color": "#0072B2", "marker": "s", "linestyle": "none"},
    "loop of Arora, Cohen & Hazan": {"color": "#009E73", "marker": "D", "linestyle": "none"},
}
FIRST, RANDOM, MAIN = PENS.values()


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "explicit_loss.circulation")


def draw(run: Run) -> Figure:
    """Draw the numbers of a run, or the table of its variants."""
    if run.variants:
        return explicit_loss_table.draw(run, reading.fitted(run, why_unavailable))
    keys = {**PENS, "0 within rounding": ROUNDING}
    on_it, loops = np.isfinite(run["explicit_loss.time"]), run["explicit_loss.circulation"]
    names = (
        f"asymmetry of the Jacobian at {len(on_it)} points",
        f"circulation around {len(loops)} closed loops",
    )
    sheet = page.open_page(run, headline(run), panels=2, names=names, keys=keys)
    asymmetry, circulation = sheet.panels
    show(
        asymmetry,
        run["explicit_loss.asymmetry"],
        run["explicit_loss.asymmetry_bound"],
        [FIRST if known else RANDOM for known in on_it],
    )
    show(
        circulation,
        np.abs(loops),
        run["explicit_loss.circulation_error"],
        [MAIN, *(FIRST if known else RANDOM for known in on_it)],
    )
    sheet.label("", "relative size")
    asymmetry.set_xlabel("matrix W")
    circulation.set_xlabel("loop: that of the proof, then circles about each W")
    return sheet.figure


def show(panel: Axes, values: np.ndarray, bounds: np.ndarray, pens: list[style.Pen]) -> None:
    """Draw each value over the bar that reaches to its bound; left out where it is nan."""
    for k, (value, bound, pen) in enumerate(zip(values, bounds, pens, strict=True)):
        if not np.isfinite(value):
            continue
        panel.bar(k, max(bound, FLOOR) - FLOOR / 3, 0.8, FLOOR / 3, **ROUNDING)
        low = value < FLOOR
        panel.plot(k, max(value, FLOOR), **{**pen, "marker": "v" if low else pen["marker"]})
    panel.set_yscale("log")
    panel.set_ylim(FLOOR / 3, 5)
    panel.yaxis.set_major_locator(LogLocator(numticks=7))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    panel.set_xlim(-0.7, len(values) - 0.3)
    panel.grid(visible=False, axis="x")


def headline(run: Run) -> str:
    """Say whether there is an explicit loss, and how far the numbers are from 0."""
    answer = float(run["explicit_loss.conservative"])
    found = explicit_loss_table.numbers(run)
    said = " and ".join(f"{what} {told}" for what, told in found.items())
    if np.isnan(answer):
        return f"Undecided whether there is an explicit loss: {said}"
    if not answer:
        return f"The end-to-end field is the gradient of no loss: {said} at most"
    apart = run["explicit_loss.closed_form_deviation"]
    if np.isfinite(apart).any():
        known = number(float(np.nanmax(apart)), 1)
        said += f"; integrated, F meets its closed form within {known}"
    return f"The end-to-end field is the gradient of an explicit loss F: {said}"
