"""Distance of gradient descent from the flow: over time, and how it grows with the step size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.figures import curves, page, reading, scales, style
from flowsim.figures.words import listed, number
from flowsim.results import Run

LABEL = r"$\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"
WORST = r"largest $\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"
FIT: style.Pen = {"color": style.INK, "linewidth": 0.9, "linestyle": (0, (1.5, 1.5)), "zorder": 1.8}
APART = 1.2
SAME_SLOPE = 0.25


@dataclass(frozen=True)
class Order:
    """The power law max distance = factor · η^slope that the small step sizes follow."""

    slope: float
    factor: float
    smallest: float
    largest: float


def unfit(run: Run) -> str:
    """Say why this cannot be drawn, or nothing."""
    return reading.lacking(run, "comparison.descent_vs_flow")


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
    """Draw one panel a variant, with the fitted slope in its name."""
    parts = reading.fitted(run, unfit)
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts),
        names=list(parts),
        drawn=parts,
        keys=curves.step_keys(parts.values()),
        steps=scales.many(parts.values()),
    )
    draw_over_time(sheet.panels, parts)
    sheet.label("time t", LABEL)
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


def ceiling(run: Run) -> float:
    """Return the largest distance worth showing: ten times the largest nuclear norm of a flow."""
    norms = [run[f"{space}.nuclear_norm"] for space in reading.spaces(run, "nuclear_norm")]
    return 10 * max((float(np.nanmax(norm)) for norm in norms), default=np.inf)


def worst(run: Run) -> np.ndarray:
    """Return the largest distance of each step size over time; nan where none is known."""
    distance = run["comparison.descent_vs_flow"]
    known = np.isfinite(distance)
    largest = np.where(known, distance, -np.inf).max(axis=1)
    return np.asarray(np.where(known.any(axis=1), largest, np.nan))


def order(run: Run) -> Order | None:
    """Fit the power law that the small step sizes follow, if two or more follow one.

    From the smallest step size upward, those that did not diverge, as long as the slope stays
    within 0.25 of the first; slopes are between step sizes a factor of 1.2 apart or more, since of
    nearer ones they show when iterates happen to be recorded.
    """
    sizes, largest = reading.step_sizes(run), worst(run)
    good = ~reading.diverged(run) & np.isfinite(largest) & (largest > 0)
    rank = np.argsort(sizes[good])
    eta, reach = sizes[good][rank], largest[good][rank]
    places = _apart(eta)
    if len(places) < 2:
        return None
    local = np.diff(np.log(reach[places])) / np.diff(np.log(eta[places]))
    strays = np.flatnonzero(np.abs(local - local[0]) > SAME_SLOPE)
    count = int(places[strays[0]]) + 1 if strays.size else len(eta)
    slope, shift = np.polyfit(np.log(eta[:count]), np.log(reach[:count]), 1)
    return Order(float(slope), float(np.exp(shift)), float(eta[0]), float(eta[count - 1]))


def _apart(eta: np.ndarray) -> list[int]:
    """Return places of step sizes, ascending, each at least a factor `APART` above the last."""
    places: list[int] = []
    for k, size in enumerate(eta):
        if not places or size >= APART * eta[places[-1]]:
            places.append(k)
    return places


def right_name(law: Order | None) -> str:
    """Name the right panel after the slope fitted."""
    if law is None:
        return "against step size"
    return f"against step size: slope {law.slope:.2f} for η ≤ {number(law.largest)}"


def draw_against_step(panel: Axes, run: Run) -> None:
    """Draw the largest distance against η with the fitted power law; diverged ones on the edge."""
    sizes, largest, lost = reading.step_sizes(run), worst(run), reading.diverged(run)
    curves.step_axis(panel, sizes)
    with np.errstate(invalid="ignore"):
        beyond = lost | (largest > ceiling(run))
    top = curves.log_axis([panel], [largest[~beyond]])
    if (law := order(run)) is not None:
        ends = np.array([law.smallest, law.largest])
        panel.plot(ends, law.factor * ends**law.slope, **FIT)
    ranks = np.argsort(np.argsort(sizes))
    pens = style.step_pens(np.sort(sizes))
    for k, size in enumerate(sizes):
        pen = {"marker": "o", **pens[ranks[k]], "linestyle": "none"}
        if beyond[k]:
            pen |= curves.EDGE_MARK | {"marker": "^"}
        panel.plot([size], [top if beyond[k] else largest[k]], **pen)
    panel.set_ylabel(WORST)


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
    laws = {name: order(part) for name, part in parts.items()}
    slopes = [f"{law.slope:.2f} ({name})" for name, law in laws.items() if law is not None]
    if slopes:
        return f"Descent departs from the flow as a power of η: {listed(slopes, most=5)}"
    reach = {n: float(np.nanmax([*worst(p)[~reading.diverged(p)], 0.0])) for n, p in parts.items()}
    ends = listed((f"{name} {number(most)}" for name, most in reach.items()), most=5)
    return f"Largest distance of completed descent from the flow: {ends}"
