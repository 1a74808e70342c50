"""Extreme eigenvalues of the Hessian along the layer flow, against what each step size can bear."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

PENS: dict[str, style.Pen] = {
    "largest": {"color": "#0072B2", "linewidth": 1.6},
    "smallest": {"color": "#D55E00", "linewidth": 1.2, "linestyle": (0, (3, 1))},
}
KEYS = {"largest": "sharpness, the largest", "smallest": "the smallest"}
BOUND_KEY = "2/η of each step size"
LABEL_HEIGHT = 0.1
ROOM = 1.5
"""A bound 2/η is shown up to so many times the largest sharpness."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "sharpness.largest")


def draw(run: Run) -> Figure:
    """Draw λ_max(t) and λ_min(t), and 2/η, which λ_max must not pass for descent to be stable."""
    parts = reading.fitted(run, why_unavailable)
    shown = {name: bounds(part) for name, part in parts.items()}
    keys = {KEYS[name]: pen for name, pen in PENS.items()}
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        right=page.RIGHT if run.variants else page.LABELLED,
        keys=keys | ({BOUND_KEY: style.LEVEL} if any(b.size for b in shown.values()) else {}),
    )
    times = [[part["sharpness.time"]] for part in parts.values()]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    values = [part[f"sharpness.{name}"] for part in parts.values() for name in PENS]
    curves.plain_axis(sheet.panels, [*values, *shown.values()])
    for panel, (name, part) in zip(sheet.panels, parts.items(), strict=True):
        curves.draw_levels(panel, shown[name])
        for end, pen in PENS.items():
            curves.plot(panel, part["sharpness.time"], part[f"sharpness.{end}"], pen)
    if not run.variants:
        name_bounds(sheet.panels[0], shown[run.name])
    sheet.label("time t", "eigenvalues of the Hessian")
    return sheet.figure


def bounds(run: Run) -> np.ndarray:
    """Return 2/η of the step sizes for which it is not far above the sharpness."""
    above = 2 / reading.step_sizes(run)
    return np.asarray(above[above <= ROOM * np.nanmax(run["sharpness.largest"])])


def name_bounds(panel: Axes, levels: np.ndarray) -> None:
    """Write η at the right of its level line, where there is room."""
    low, high = panel.get_ylim()
    tall, lowest = LABEL_HEIGHT / page.HEIGHTS[1] * (high - low), np.inf
    for level in -np.sort(-levels):
        if lowest - level < tall:
            continue
        lowest = level
        panel.annotate(
            f"η = {number(2 / level)}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.0,
            annotation_clip=False,
        )


def passed(run: Run) -> list[str]:
    """Say for each step size whose 2/η the sharpness passes when it first does, largest first."""
    time, sharpness = run["sharpness.time"], run["sharpness.largest"]
    found = {
        size: reading.crossing(time, sharpness, 2 / size)
        for size in sorted(reading.step_sizes(run), reverse=True)
    }
    return [f"η = {number(s)} at t = {number(t)}" for s, t in found.items() if np.isfinite(t)]


def headline(run: Run) -> str:
    """Say how the sharpness goes, and which 2/η it passes."""
    said = f"Sharpness {reading.course(run['sharpness.largest'])}"
    crossed = passed(run)
    if crossed:
        return f"{said}; it passes 2/η for {listed(crossed, most=3)}"
    return f"{said}, below 2/η of every step size" if reading.step_sizes(run).size else said


def over_variants(parts: dict[str, Run]) -> str:
    """Say where the sharpness of each variant ends."""
    ends = {name: reading.ends(part["sharpness.largest"])[1] for name, part in parts.items()}
    return f"Final sharpness: {listed((f'{n} {number(s)}' for n, s in ends.items()), most=5)}"
