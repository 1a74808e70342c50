"""How the largest distance of descent from the flow grows with the step size: as a power of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, reading, style
from flowsim.pictures.kit.words import number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run

WORST = r"largest $\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"
FIT: style.Pen = {"color": style.INK, "linewidth": 0.9, "linestyle": (0, (1.5, 1.5)), "zorder": 1.8}
APART = 1.2
SAME_SLOPE = 0.25
LEAST = 3
"""Step sizes that tell a power beside others; through two any power goes."""


@dataclass(frozen=True)
class Order:
    """The power law max distance = factor · η^slope that the small step sizes follow."""

    slope: float
    factor: float
    smallest: float
    largest: float


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
    order, factor = straight_fit(eta[:count], reach[:count])
    return Order(order, factor, float(eta[0]), float(eta[count - 1]))


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


def lawful(parts: Mapping[str, Run]) -> dict[str, Order]:
    """Return the power laws of the variants that have three step sizes or more."""
    laws = {name: order(part) for name, part in parts.items()}
    return {
        name: law
        for name, law in laws.items()
        if law is not None and len(reading.step_sizes(parts[name])) >= LEAST
    }


def draw_together(panel: Axes, parts: Mapping[str, tuple[Run, style.Pen]]) -> None:
    """Draw the largest distance of each variant against η, on a value axis that is set already."""
    curves.step_axis(panel, reading.all_step_sizes(part for part, _ in parts.values()))
    panel.set_yscale("log", nonpositive="mask")
    for part, pen in parts.values():
        sizes, largest = reading.step_sizes(part), worst(part)
        rank = [k for k in np.argsort(sizes) if not reading.diverged(part)[k]]
        panel.plot(sizes[rank], largest[rank], **pen)
