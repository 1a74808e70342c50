"""The neural tangent kernel along the layer flow, which turns (rich) or stays (lazy)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

PEN: style.Pen = {"color": "#0072B2", "linewidth": 1.6}
LABELS = {
    "angle": r"angle of $\Theta$ to its start in degrees",
    "distance": r"$\|\Theta-\Theta(0)\|_F\,/\,\|\Theta(0)\|_F$",
}


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "tangent_kernel.angle", "tangent_kernel.distance")


def draw(run: Run) -> Figure:
    """Draw how far the kernel turns, and how far it moves, for every variant."""
    parts = reading.fitted(run, why_unavailable)
    pens = style.curve_pens(len(parts)) if run.variants else [PEN]
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=2,
        keys=dict(zip(parts, pens, strict=True)) if run.variants else {},
        drawn=parts if run.variants else (),
        gap=page.OWN_AXIS,
    )
    turned, moved = sheet.panels
    times = [part["tangent_kernel.time"] for part in parts.values()]
    curves.time_axis(sheet.panels, times, reading.logarithmic(parts.values()))
    curves.plain_axis([turned], [degrees(part) for part in parts.values()])
    curves.log_axis([moved], [part["tangent_kernel.distance"][1:] for part in parts.values()])
    for panel, name in zip(sheet.panels, LABELS, strict=True):
        panel.set(xlabel="time t", ylabel=LABELS[name])
    draw_each(sheet.panels, parts, pens)
    return sheet.figure


def draw_each(panels: tuple[Axes, ...], parts: dict[str, Run], pens: list[style.Pen]) -> None:
    """Draw both measures of every run."""
    turned, moved = panels
    for k, (part, pen) in enumerate(zip(parts.values(), pens, strict=True)):
        time = part["tangent_kernel.time"]
        curves.plot(turned, time, degrees(part), pen, shift=k)
        curves.plot(moved, time, part["tangent_kernel.distance"], pen, shift=k)


def degrees(run: Run) -> np.ndarray:
    """Return the angle of the kernel to its start in degrees."""
    return np.asarray(np.degrees(run["tangent_kernel.angle"]))


def furthest(run: Run) -> str:
    """Say how far the kernel turns at most."""
    return f"{number(float(np.nanmax(degrees(run))), 2)}°"


def headline(run: Run) -> str:
    """Say how far the kernel turns and moves."""
    moved = number(float(np.nanmax(run["tangent_kernel.distance"])), 2)
    return (
        f"The neural tangent kernel turns by up to {furthest(run)} and moves by up to {moved} "
        "times its size at the start"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Say how far the kernel of each variant turns."""
    said = listed((f"{furthest(part)} ({name})" for name, part in parts.items()), most=7)
    return f"The neural tangent kernel turns by up to {said}"
