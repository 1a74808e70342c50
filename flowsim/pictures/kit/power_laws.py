"""Power laws in the step size of the largest distance between gradient descent and the flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, reading, style
from flowsim.pictures.kit.words import number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run

LABEL = r"largest $\|W_\mathrm{descent}-W_\mathrm{flow}\|_F$"
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


def largest_shown(run: Run) -> float:
    """Return the largest distance worth showing: ten times the largest nuclear norm of a flow."""
    norms = [run[f"{space}.nuclear_norm"] for space in reading.flows_with(run, "nuclear_norm")]
    return 10 * max((float(np.nanmax(norm)) for norm in norms), default=np.inf)


def largest_distances(run: Run) -> np.ndarray:
    """Return the largest distance over time at each step size; nan if none is known."""
    distance = run["comparison.descent_vs_flow"]
    known = np.isfinite(distance)
    largest = np.where(known, distance, -np.inf).max(axis=1)
    return np.asarray(np.where(known.any(axis=1), largest, np.nan))


def fit_power_law(run: Run) -> PowerLaw | None:
    """Return the power law fitted to the small step sizes, or None if fewer than two follow one.

    The fit takes converged step sizes from the smallest upward while the local slope stays within
    `SAME_SLOPE` of the first: larger step sizes leave the asymptotic regime.
    """
    sizes, largest = reading.step_sizes(run), largest_distances(run)
    good = ~reading.diverged(run) & np.isfinite(largest) & (largest > 0)
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
    with np.errstate(invalid="ignore"):
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
    panel.set_ylabel(LABEL)


def power_laws(parts: Mapping[str, Run]) -> dict[str, PowerLaw]:
    """Return the power laws of the variants with at least `LEAST` step sizes."""
    laws = {name: fit_power_law(part) for name, part in parts.items()}
    return {
        name: law
        for name, law in laws.items()
        if law is not None and len(reading.step_sizes(parts[name])) >= LEAST
    }


def draw_all_against_step_size(
    panel: Axes, parts: Mapping[str, tuple[Run, style.LineStyle]]
) -> None:
    """Draw the largest distance of each variant against η; the limits of the value axis are set."""
    curves.step_axis(panel, reading.all_step_sizes(part for part, _ in parts.values()))
    panel.set_yscale("log", nonpositive="mask")
    for part, line_style in parts.values():
        sizes, largest = reading.step_sizes(part), largest_distances(part)
        rank = [k for k in np.argsort(sizes) if not reading.diverged(part)[k]]
        panel.plot(sizes[rank], largest[rank], **line_style)
