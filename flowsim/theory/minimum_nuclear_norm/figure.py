"""The end of the flow beside the solution of least nuclear norm: rank, norm, distance to Φ."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import clipped, number
from flowsim.results.run import Run

PANELS = {
    "effective_rank": "effective rank",
    "nuclear_norm": r"nuclear norm $\|W\|_*$",
    "distance_to_target": r"distance $\|W - \Phi\|_F$ to the target",
}
END: style.Pen = {"linestyle": "none", "marker": "o", "color": style.OKABE_ITO[0], "markersize": 5}
LEAST: style.Pen = {
    "linestyle": "none",
    "marker": "D",
    "color": style.OKABE_ITO[1],
    "markerfacecolor": "white",
    "markersize": 4.4,
}
MOST_NAMES, FAR = 12, 100
"""How many rows are named at most; and by which factor values differ on a logarithmic axis."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "minimum_nuclear_norm.nuclear_norm") or reading.why_no_flow(
        run, "distance_to_target"
    )


def draw(run: Run) -> Figure:
    """Draw a row a variant: where its flow ends, and the solution of least nuclear norm."""
    parts = reading.fitted(run, why_unavailable)
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(PANELS),
        keys={"end of the flow": END, "least nuclear norm": LEAST},
        drawn=parts if run.variants else (),
    )
    rows = np.arange(len(parts))
    for panel, (measure, says) in zip(sheet.panels, PANELS.items(), strict=True):
        ends = np.array([final(part, measure) for part in parts.values()])
        least = np.array([reading.least(part, measure) for part in parts.values()])
        panel.plot(least, rows, **LEAST)
        panel.plot(ends, rows, **END)
        value_axis(panel, np.concatenate([ends, least]))
        panel.set_xlabel(says)
        panel.set_ylim(len(parts) - 0.5, -0.5)
        panel.grid(visible=False, axis="x")
    name_rows(sheet, list(parts) if run.variants else ["flow"])
    return sheet.figure


def value_axis(panel: Axes, values: np.ndarray) -> None:
    """Fit the axis of values, logarithmic where they lie far apart."""
    known = curves.finite([values])
    limits = curves.log_limits(known)
    if limits is None or limits[1] < FAR * limits[0]:
        curves.nice_ticks(panel.xaxis, 4)
        panel.set_xlim(*curves.linear_limits(known))
        return
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(numticks=5))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlim(*limits)


def name_rows(sheet: page.Page, names: list[str]) -> None:
    """Write variants at the left of the first panel, as many as there is room for."""
    every = -(-len(names) // MOST_NAMES)
    characters = int((page.LEFT - 0.1) / page.CHARACTER)
    for k, panel in enumerate(sheet.panels):
        labels = [clipped(name, characters) if k == 0 else "" for name in names[::every]]
        panel.set_yticks(range(0, len(names), every), labels=labels, parse_math=False)


def final(run: Run, measure: str) -> float:
    """Return where the first flow ends."""
    return reading.ends(run[f"{reading.spaces(run, measure)[0]}.{measure}"])[1]


def compared(run: Run) -> str:
    """Say how far from the target, and at which multiple of the least norm, a flow ends."""
    away, other = final(run, "distance_to_target"), reading.least(run, "distance_to_target")
    ratio = reading.over_least(run, final(run, "nuclear_norm"), "nuclear_norm")
    said = f"at {number(away)} from the target (of least nuclear norm: {number(other)})"
    return f"{said}, with {number(ratio, 4)} times the least nuclear norm"


def headline(run: Run) -> str:
    """Say where the flow ends."""
    return f"The flow ends {compared(run)}"


def over_variants(parts: dict[str, Run]) -> str:
    """Say which variant ends nearest to the target, and where."""
    nearest = min(parts, key=lambda name: final(parts[name], "distance_to_target"))
    return f"{nearest} ends nearest, {compared(parts[nearest])}"
