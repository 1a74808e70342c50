"""The order in which descent follows the flow: its largest distance against η, variants together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.figures import curves, page, reading, style
from flowsim.figures.descent_distance import WORST, order, worst
from flowsim.figures.words import listed, number
from flowsim.results import Run


def unfit(run: Run) -> str:
    """Say why this cannot be drawn, or nothing."""
    if sum(not lacking(part) for part in run.variants.values()) < 2:
        return "it compares variants, and fewer than two have descent at two step sizes or more"
    return ""


def lacking(run: Run) -> str:
    """Say why a run has no order, or nothing."""
    missing = reading.lacking(run, "comparison.descent_vs_flow")
    return missing or ("" if order(run) else "fewer than two step sizes are completed")


def draw(run: Run) -> Figure:
    """Draw the largest distance of each variant against η, its slope in the legend."""
    parts = reading.fitted(run, lacking)
    pens = {name: pen for (name, pen) in zip(parts, style.curve_pens(len(parts)), strict=True)}
    sheet = page.open_page(
        run,
        headline(parts),
        drawn=parts,
        keys={f"{name}: slope {slope(part):.2f}": pens[name] for name, part in parts.items()},
    )
    (panel,) = sheet.panels
    curves.step_axis(panel, reading.all_step_sizes(parts.values()))
    curves.log_axis([panel], [kept(part)[1] for part in parts.values()])
    for name, part in parts.items():
        draw_power(panel, *kept(part), pens[name])
    panel.set_ylabel(WORST)
    return sheet.figure


def kept(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the step sizes, ascending, that are completed, and the largest distance at each."""
    sizes, largest = reading.step_sizes(run), worst(run)
    rank = [k for k in np.argsort(sizes) if not reading.diverged(run)[k]]
    return sizes[rank], largest[rank]


def draw_power(panel: Axes, sizes: np.ndarray, values: np.ndarray, pen: style.Pen) -> None:
    """Draw values at step sizes, each marked."""
    panel.plot(sizes, values, **{"marker": "o", **pen})


def slope(run: Run) -> float:
    """Return the power of η that the small step sizes follow."""
    law = order(run)
    assert law is not None  # else the run is not drawn
    return law.slope


def headline(parts: Mapping[str, Run]) -> str:
    """Say in what power of η each variant departs from the flow, and how far the best comes."""
    powers = listed((f"{slope(part):.2f} ({name})" for name, part in parts.items()), most=5)
    best = min(parts, key=lambda name: float(np.nanmin(kept(parts[name])[1])))
    sizes, values = kept(parts[best])
    k = int(np.nanargmin(values))
    return (
        f"Descent departs from the flow as η to the power {powers}; {best} comes within "
        f"{number(float(values[k]))} at η = {number(float(sizes[k]))}"
    )
