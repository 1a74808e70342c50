"""Distance of gradient descent from gradient flow: over time, and against the step size.

Descent is the explicit Euler method for the flow, so that the distance at a fixed time is of first
order in η wherever the flow is smooth: the right panel then shows a line of slope 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run

LABEL = r"$\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"
LARGEST_LABEL = r"largest $\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"
FIT: style.LineStyle = {
    "color": style.INK,
    "linewidth": 0.9,
    "linestyle": (0, (1.5, 1.5)),
    "zorder": 1.8,
}
APART = 1.2
"""Least ratio of step sizes for a local slope.

Iterates are recorded near the saved times only; between closer step sizes the slope shows by how
much they miss them.
"""
SAME_SLOPE = 0.25
"""Change of the local slope at which the power law is taken to end."""
LEAST = 3
"""Least number of step sizes for a comparison of powers; two fit any power."""


@dataclass(frozen=True)
class PowerLaw:
    """The law max ‖W_k − W(kη)‖ = factor · η^slope, for step sizes from `smallest` to `largest`."""

    slope: float
    factor: float
    smallest: float
    largest: float


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "comparison.descent_vs_flow")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the distance over time, and in a last panel the largest distance against η."""
    run, parts = subject.run, subject.parts
    laws = power_laws(parts) if run.variants else {}
    greys = dict(zip(laws, style.grey_styles(len(laws)), strict=True)) if len(laws) > 1 else {}
    # against η there must be two points, of step sizes that do not all diverge
    both = not run.variants and len(reading.step_sizes(run)) > 1 and not reading.diverged(run).all()
    grid = layout.panel_grid(
        subject,
        panels=len(parts) + bool(greys),
        names=[*parts, *["largest, against η"] * bool(greys)] if run.variants else (),
        alone=("over time", power_law_title(fit_power_law(run))) if both else (),
        legend=curves.step_size_legend(parts.values())
        | {f"{name}, slope {laws[name].slope:.2f}": grey for name, grey in greys.items()},
        steps=scales.scale_if_many(parts.values()),
    )
    draw_over_time(grid.panels[: len(parts)], parts)
    grid.label("time t", LABEL)
    if both:
        draw_against_step_size(grid.panels[1], run)
    elif greys:
        draw_all_against_step_size(grid.panels[-1], parts, greys)
        # the same quantity as in the other panels, so the same axis
        grid.panels[-1].set_ylim(grid.panels[0].get_ylim())
    return grid


def draw_over_time(panels: tuple[Axes, ...], parts: dict[str, Run]) -> None:
    """Draw the distance at every step size over time, one panel per run, on shared axes."""
    sizes = reading.all_step_sizes(parts.values())
    curves.time_axes(panels, parts.values())
    shown = []
    for part in parts.values():
        distance = part["comparison.descent_vs_flow"]
        # at t = 0 the distance is rounding, which would stretch a logarithmic axis
        moved = np.where(part["descent.time"] > 0, distance, np.nan)
        shown += [np.where(row <= largest_shown(part), row, np.nan) for row in moved]
    top = curves.log_axis(panels, shown)
    for panel, part in zip(panels, parts.values(), strict=True):
        curves.draw_descent(panel, part, part["comparison.descent_vs_flow"], sizes, top)


def largest_shown(run: Run) -> float:
    """Return the largest distance worth showing: ten times the largest nuclear norm of a flow."""
    norms = [run[f"{space}.nuclear_norm"] for space in reading.flows_with(run, "nuclear_norm")]
    return 10 * max((float(np.nanmax(norm)) for norm in norms), default=np.inf)


def largest_distances(run: Run) -> np.ndarray:
    """Return the largest distance over time at each step size; nan if descent diverged."""
    return reading.largest_over_time(run, run["comparison.descent_vs_flow"])


def fit_power_law(run: Run) -> PowerLaw | None:
    """Return the power law fitted to the small step sizes, or None if fewer than two follow one.

    The fit takes converged step sizes from the smallest upward while the local slope stays within
    `SAME_SLOPE` of the first: larger step sizes leave the asymptotic regime.
    """
    sizes, largest = reading.step_sizes(run), largest_distances(run)
    good = largest > 0
    rank = np.argsort(sizes[good])
    eta, reach = sizes[good][rank], largest[good][rank]
    places = _spaced(eta)
    if len(places) < 2:
        return None
    local = np.diff(np.log(reach[places])) / np.diff(np.log(eta[places]))
    deviating = np.flatnonzero(np.abs(local - local[0]) > SAME_SLOPE)
    count = int(places[deviating[0]]) + 1 if deviating.size else len(eta)
    slope, factor = straight_fit(eta[:count], reach[:count])
    return PowerLaw(slope, factor, float(eta[0]), float(eta[count - 1]))


def _spaced(eta: np.ndarray) -> list[int]:
    """Return the places of ascending step sizes, each at least a factor `APART` above the last."""
    places: list[int] = []
    for k, size in enumerate(eta):
        if not places or size >= APART * eta[places[-1]]:
            places.append(k)
    return places


def power_law_title(law: PowerLaw | None) -> str:
    """Return the title of the panel against η, with the slope if one was fitted."""
    if law is None:
        return "against step size"
    return f"against step size: slope {law.slope:.2f} for η ≤ {number(law.largest)}"


def draw_against_step_size(panel: Axes, run: Run) -> None:
    """Draw the largest distance against η and the power law; diverged step sizes at the edge."""
    sizes, largest, lost = reading.step_sizes(run), largest_distances(run), reading.diverged(run)
    curves.step_axis(panel, sizes)
    # distances far above the size of W, of descents near divergence, would flatten the others
    beyond = lost | (largest > largest_shown(run))
    top = curves.log_axis([panel], [largest[~beyond]])
    if (law := fit_power_law(run)) is not None:
        ends = np.array([law.smallest, law.largest])
        panel.plot(ends, law.factor * ends**law.slope, **FIT)
    # the rank of each step size: colours are by size, not by the order in the scenario
    ranks = np.argsort(np.argsort(sizes))
    line_styles = style.step_size_styles(np.sort(sizes))
    for k, size in enumerate(sizes):
        line_style = {"marker": "o", **line_styles[ranks[k]], "linestyle": "none"}
        if beyond[k]:
            line_style |= curves.EDGE_MARKER | {"marker": "^"}
        panel.plot([size], [top if beyond[k] else largest[k]], **line_style)
    panel.set_ylabel(LARGEST_LABEL)


def power_laws(parts: Mapping[str, Run]) -> dict[str, PowerLaw]:
    """Return the power laws of the variants with at least `LEAST` step sizes."""
    laws = {name: fit_power_law(part) for name, part in parts.items()}
    return {
        name: law
        for name, law in laws.items()
        if law is not None and len(reading.step_sizes(parts[name])) >= LEAST
    }


def draw_all_against_step_size(
    panel: Axes, parts: Mapping[str, Run], line_styles: Mapping[str, style.LineStyle]
) -> None:
    """Draw the largest distance of variants against η; the limits of the value axis are set."""
    curves.step_axis(panel, reading.all_step_sizes(parts[name] for name in line_styles))
    panel.set_yscale("log", nonpositive="mask")
    for name, line_style in line_styles.items():
        sizes, largest = reading.step_sizes(parts[name]), largest_distances(parts[name])
        rank = [k for k in np.argsort(sizes) if not reading.diverged(parts[name])[k]]
        panel.plot(sizes[rank], largest[rank], **line_style)


def headline(run: Run) -> str:
    """Return the order in η of the distance, or its size, and the step sizes that diverge."""
    sizes, largest = reading.step_sizes(run), largest_distances(run)
    law = fit_power_law(run)
    known = np.flatnonzero(np.isfinite(largest))
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
        phrases.append(f"{name} {number(float(np.nanmax(largest_distances(part), initial=0.0)))}")
    return f"Largest distance of completed descent from the flow: {join_words(phrases, most=5)}"
