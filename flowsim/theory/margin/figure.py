"""Margins of a flow that classifies: the direction settles while the norm grows."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

PEN: style.Pen = {"color": "#0072B2", "linewidth": 1.6}
BOUND_KEY = "largest margin there is"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "margin.margin", "margin.norm")


def draw(run: Run) -> Figure:
    """Draw the margin beside the largest, the angle between their directions, and ‖W‖_F."""
    parts = reading.fitted(run, why_unavailable)
    pens = style.curve_pens(len(parts)) if run.variants else [PEN]
    bounds = [bound for bound in map(largest, parts.values()) if bound is not None]
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=3,
        keys=(dict(zip(parts, pens, strict=True)) if run.variants else {})
        | ({BOUND_KEY: style.EXACT} if bounds else {}),
        drawn=parts if run.variants else (),
        gap=page.OWN_AXIS,
    )
    margins, turned, norms = sheet.panels
    times = [part["margin.time"] for part in parts.values()]
    curves.time_axis(sheet.panels, times, reading.logarithmic(parts.values()))
    margin, norm = ([p[f"margin.{name}"] for p in parts.values()] for name in ("margin", "norm"))
    angle = [np.degrees(part["margin.angle"]) for part in parts.values()]
    curves.plain_axis([margins], [*margin, np.array(bounds)])
    curves.log_axis([turned], angle)
    curves.log_axis([norms], norm)
    for bound in dict.fromkeys(bounds):
        margins.axhline(bound, **style.EXACT)
    for panel, values in zip(sheet.panels, (margin, angle, norm), strict=True):
        for k, (time, each, pen) in enumerate(zip(times, values, pens, strict=True)):
            curves.plot(panel, time, each, pen, shift=k)
    margins.set(xlabel="time t", ylabel=r"margin of $W/\|W\|_F$")
    turned.set(xlabel="time t", ylabel="angle to it in degrees")
    norms.set(xlabel="time t", ylabel=r"norm $\|W\|_F$")
    return sheet.figure


def largest(run: Run) -> float | None:
    """Return the largest margin there is, where data can be separated."""
    value = float(run["margin.largest_margin"])
    return value if np.isfinite(value) else None


def share(run: Run) -> str:
    """Say which share of the largest margin is reached, or the margin where there is no largest."""
    last, bound = reading.ends(run["margin.margin"])[1], largest(run)
    return f"{100 * last / bound:.4g} % of the largest" if bound else number(last)


def headline(run: Run) -> str:
    """Say where the margin and the norm go."""
    norm = reading.course(run["margin.norm"])
    return f"The margin ends at {share(run)}, while the norm {norm}"


def over_variants(parts: dict[str, Run]) -> str:
    """Say which share of the largest margin each variant reaches, and at which norm."""
    ends = {name: reading.ends(part["margin.norm"])[1] for name, part in parts.items()}
    said = (f"{share(part)} with norm {number(ends[n])} ({n})" for n, part in parts.items())
    return f"Margins end at {listed(said, most=4)}"
