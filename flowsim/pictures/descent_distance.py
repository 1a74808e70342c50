"""Distance of gradient descent from the flow: over time, and how it grows with the step size."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.powers import (
    ceiling,
    draw_against_step,
    draw_together,
    lawful,
    order,
    right_name,
    worst,
)
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

LABEL = r"$\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "comparison.descent_vs_flow")


def draw(run: Run) -> Figure:
    """Draw the distance over time, and beside it the largest distance against η."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run: over time, and against η where there are several step sizes."""
    both = len(reading.step_sizes(run)) > 1 and not reading.diverged(run).all()
    names = ("over time", right_name(order(run))) if both else ()
    sheet = page.open_page(
        run,
        headline(run),
        panels=2 if both else 1,
        names=names,
        keys=curves.step_keys([run]),
        steps=scales.many([run]),
        gap=page.OWN_AXIS,
    )
    draw_over_time(sheet.panels[:1], {run.name: run})
    sheet.panels[0].set(xlabel="time t", ylabel=LABEL)
    if both:
        draw_against_step(sheet.panels[1], run)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw one panel a variant, and in the last how the largest distances grow with η."""
    parts = reading.fitted(run, why_unavailable)
    laws = lawful(parts)
    together = len(laws) > 1
    greys = dict(zip(laws, style.grey_pens(len(laws)), strict=True)) if together else {}
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts) + together,
        names=[*parts, *(["largest, against η"] if together else [])],
        drawn=parts,
        keys=curves.step_keys(parts.values())
        | {f"{name}, slope {laws[name].slope:.2f}": pen for name, pen in greys.items()},
        steps=scales.many(parts.values()),
    )
    draw_over_time(sheet.panels[: len(parts)], parts)
    sheet.label("time t", LABEL)
    if together:
        draw_together(sheet.panels[-1], {name: (parts[name], greys[name]) for name in laws})
        sheet.panels[-1].set_ylim(sheet.panels[0].get_ylim())
    return sheet.figure


def draw_over_time(panels: tuple[Axes, ...], parts: dict[str, Run]) -> None:
    """Draw every step size's distance over time, one panel a run, axes shared."""
    sizes = reading.all_step_sizes(parts.values())
    times = [reading.flow_times(part) for part in parts.values()]
    curves.time_axes(panels, times, reading.logarithmic(parts.values()))
    shown = []
    for part in parts.values():
        distance = part["comparison.descent_vs_flow"]
        moved = np.where(part["descent.time"] > 0, distance, np.nan)
        shown += [np.where(row <= ceiling(part), row, np.nan) for row in moved]
    top = curves.log_axis(panels, shown)
    for panel, part in zip(panels, parts.values(), strict=True):
        curves.draw_descent(panel, part, part["comparison.descent_vs_flow"], sizes, top)


def headline(run: Run) -> str:
    """Say how close descent stays at the smallest step size, in what order, and which diverge."""
    sizes, largest = reading.step_sizes(run), worst(run)
    law = order(run)
    known = np.flatnonzero(np.isfinite(largest) & ~reading.diverged(run))
    said = []
    if law is not None:
        said.append(
            f"Descent departs from the flow as η to the power {law.slope:.2f} "
            f"for η ≤ {number(law.largest)}"
        )
    elif known.size:
        k = known[np.argmin(sizes[known])]
        said.append(
            f"Descent stays within {number(float(largest[k]))} of the flow "
            f"at η = {number(float(sizes[k]))}"
        )
    gone = np.sort(sizes[reading.diverged(run)])
    if gone.size:
        which = listed((number(float(eta)) for eta in gone), most=3)
        said.append(f"it diverges at η = {which}" if said else f"Descent diverges at η = {which}")
    return "; ".join(said) or "Distance of descent from the flow"


def over_variants(parts: dict[str, Run]) -> str:
    """Say in what order of η each variant's descent departs from its flow."""
    several = lawful(parts)
    laws = {name: order(part) for name, part in parts.items() if name in several or not several}
    slopes = [f"{law.slope:.2f} ({name})" for name, law in laws.items() if law is not None]
    if slopes:
        return f"Descent departs from the flow as a power of η: {listed(slopes, most=5)}"
    reach = {n: float(np.nanmax([*worst(p)[~reading.diverged(p)], 0.0])) for n, p in parts.items()}
    ends = listed((f"{name} {number(most)}" for name, most in reach.items()), most=5)
    return f"Largest distance of completed descent from the flow: {ends}"
