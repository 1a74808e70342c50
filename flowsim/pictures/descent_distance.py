"""Distance of gradient descent from gradient flow: over time, and against the step size.

Descent is the explicit Euler method for the flow, so that the distance at a fixed time is of first
order in η wherever the flow is smooth: the right panel then shows a line of slope 1.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.power_laws import (
    draw_against_step_size,
    draw_all_against_step_size,
    fit_power_law,
    largest_distances,
    largest_shown,
    power_law_title,
    power_laws,
)
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LABEL = r"$\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "comparison.descent_vs_flow")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the distance over time, and beside it the largest distance against η."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one run: over time, and against η if it has several step sizes."""
    run = subject.run
    # against η there must be two points, of step sizes that do not all diverge
    both = len(reading.step_sizes(run)) > 1 and not reading.diverged(run).all()
    grid = layout.panel_grid(
        subject,
        panels=2 if both else 1,
        names=("over time", power_law_title(fit_power_law(run))) if both else (),
        legend=curves.step_size_legend([run]),
        steps=scales.scale_if_many([run]),
        gap=layout.OWN_AXIS,
    )
    draw_over_time(grid.panels[:1], {run.name: run})
    grid.panels[0].set(xlabel="time t", ylabel=LABEL)
    if both:
        draw_against_step_size(grid.panels[1], run)
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one panel per variant over time, and in a last one all largest distances against η."""
    parts = subject.parts
    laws = power_laws(parts)
    together = len(laws) > 1
    greys = dict(zip(laws, style.grey_styles(len(laws)), strict=True)) if together else {}
    grid = layout.panel_grid(
        subject,
        panels=len(parts) + together,
        names=[*parts, *(["largest, against η"] if together else [])],
        legend=curves.step_size_legend(parts.values())
        | {f"{name}, slope {laws[name].slope:.2f}": grey for name, grey in greys.items()},
        steps=scales.scale_if_many(parts.values()),
    )
    draw_over_time(grid.panels[: len(parts)], parts)
    grid.label("time t", LABEL)
    if together:
        panel = grid.panels[-1]
        draw_all_against_step_size(panel, {name: (parts[name], greys[name]) for name in laws})
        # the same quantity as in the other panels, so the same axis
        panel.set_ylim(grid.panels[0].get_ylim())
    return grid


def draw_over_time(panels: tuple[Axes, ...], parts: dict[str, Run]) -> None:
    """Draw the distance at every step size over time, one panel per run, on shared axes."""
    sizes = reading.all_step_sizes(parts.values())
    curves.time_axes(panels, parts.values(), reading.flow_times)
    shown = []
    for part in parts.values():
        distance = part["comparison.descent_vs_flow"]
        # at t = 0 the distance is rounding, which would stretch a logarithmic axis
        moved = np.where(part["descent.time"] > 0, distance, np.nan)
        shown += [np.where(row <= largest_shown(part), row, np.nan) for row in moved]
    top = curves.log_axis(panels, shown)
    for panel, part in zip(panels, parts.values(), strict=True):
        curves.draw_descent(panel, part, part["comparison.descent_vs_flow"], sizes, top)


def headline(run: Run) -> str:
    """Return the order in η of the distance, or its size, and the step sizes that diverge."""
    sizes, largest = reading.step_sizes(run), largest_distances(run)
    law = fit_power_law(run)
    known = np.flatnonzero(np.isfinite(largest) & ~reading.diverged(run))
    phrases = []
    if law is not None:
        phrases.append(
            f"Gradient descent deviates from the flow as η to the power {law.slope:.2f} "
            f"for η ≤ {number(law.largest)}"
        )
    elif known.size:
        k = known[np.argmin(sizes[known])]
        phrases.append(
            f"Gradient descent stays within {number(float(largest[k]))} of the flow "
            f"at η = {number(float(sizes[k]))}"
        )
    gone = np.sort(sizes[reading.diverged(run)])
    if gone.size:
        which = join_words((number(float(eta)) for eta in gone), most=3)
        phrases.append(f"{'it' if phrases else 'Gradient descent'} diverges at η = {which}")
    return "; ".join(phrases) or "Distance of gradient descent from gradient flow"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the order in η of each variant's distance, or else its size."""
    several = power_laws(parts)
    laws = {n: fit_power_law(part) for n, part in parts.items() if n in several or not several}
    slopes = [f"{law.slope:.2f} ({name})" for name, law in laws.items() if law is not None]
    if slopes:
        which = join_words(slopes, most=5)
        return f"Gradient descent deviates from the flow as η to the power {which}"
    phrases = []
    for name, part in parts.items():
        completed = largest_distances(part)[~reading.diverged(part)]
        phrases.append(f"{name} {number(float(np.nanmax([*completed, 0.0])))}")
    return f"Largest distance of completed descent from the flow: {join_words(phrases, most=5)}"
