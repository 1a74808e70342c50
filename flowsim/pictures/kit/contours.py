"""Contours of the loss over a plane, its colour scale, and its minimum in the plane."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from flowsim.pictures.kit import reading, style
from flowsim.pictures.kit.scales import round_numbers
from flowsim.pictures.kit.words import distinct_numbers, number
from flowsim.results.run import Run

MOST = 12
"""Contour levels at most."""
NEGLIGIBLE = 1e-3
"""Ratio to the lowest level below which the lowest loss counts as 0."""
MINIMUM: style.LineStyle = {
    "marker": "+", "color": style.INK, "markersize": 11.0, "markeredgewidth": 1.0,
    "linestyle": "none", "zorder": 5.5,
}  # fmt: skip
VALLEY: style.LineStyle = {
    "color": style.INK, "linewidth": 0.9, "linestyle": (0, (5, 2, 1, 2)), "zorder": 2.5,
}  # fmt: skip


def draw(panel: Axes, run: Run) -> QuadContourSet | None:
    """Draw filled contours of the loss above its lowest value; return None if it is constant."""
    loss = np.ma.masked_invalid(run["plane.loss"])
    floor = lowest_loss(run)
    above = loss - floor
    known = above.compressed()[above.compressed() > 0]
    # contours of a loss that is constant to rounding would only show noise
    if not known.size or loss.max() - loss.min() <= 1e-9 * abs(loss).max():
        return None
    high = float(known.max())
    levels = [level for level in contour_levels(known) if level < high]
    # contourf leaves out values at or below its first edge and above its last: both are moved
    # beyond the values, so that the minimum itself and the largest loss are filled
    edges = np.array([-1e-9 * high, *levels, 1.01 * high])
    greys = ListedColormap([str(round(g, 3)) for g in np.linspace(1.0, 0.78, len(edges) - 1)])
    u, v, norm = run["plane.u"], run["plane.v"], BoundaryNorm(edges, len(edges) - 1)
    filled = panel.contourf(u, v, above, edges, cmap=greys, norm=norm, zorder=0.5)
    panel.contour(u, v, above, levels, colors="#8f8f8f", linewidths=0.4, zorder=0.6)
    return filled


def lowest_loss(run: Run) -> float:
    """Return the lowest loss known in the plane: the computed minimum, or that of the grid."""
    least = float(np.ma.masked_invalid(run["plane.loss"]).min())
    known = reading.has_numbers(run, "plane.lowest_loss")
    return min(float(run["plane.lowest_loss"]), least) if known else least


def contour_levels(above: np.ndarray) -> list[float]:
    """Return round levels above the lowest loss, from its 1.5 % quantile to its largest value."""
    high = float(above.max())
    # the innermost contour encloses 1.5 % of the grid, enough to be seen; the second bound keeps
    # the number of decades finite where the grid contains the minimum
    low = max(float(np.quantile(above, 0.015)), 1e-10 * high)
    # if even the lowest values are high, the levels still span one decade
    return round_numbers(low if low < 0.3 * high else 0.1 * high, high, MOST)


def draw_colour_scale(axes: Axes, figure: Figure, filled: QuadContourSet, run: Run) -> None:
    """Draw the colour scale of the loss with labelled levels."""
    bar = figure.colorbar(filled, cax=axes, spacing="uniform")
    levels = [float(level) for level in np.asarray(filled.levels)[1:-1]]
    named = levels[:: -(-len(levels) // 7)]
    bar.set_ticks(named, labels=distinct_numbers(named))
    axes.minorticks_off()
    axes.tick_params(labelsize=6, length=2)
    axes.grid(visible=False)
    floor = lowest_loss(run)
    sentence = r"loss $\ell(W)$"
    if abs(floor) > NEGLIGIBLE * levels[0]:
        sentence += f" above its minimum here, {number(floor)}"
    bar.set_label(sentence, size=7)


def draw_minimum(panel: Axes, run: Run) -> None:
    """Mark the minimum of the loss within the plane: a cross, or a line."""
    ends = minimum(run)
    if ends is not None:
        panel.plot(ends[:, 0], ends[:, 1], **minimum_style(ends))


def minimum(run: Run) -> np.ndarray | None:
    """Return the minimum: one point, the two ends of a line, or None if it is not in the frame."""
    if not reading.has_numbers(run, "plane.minimum"):
        return None
    ends = run["plane.minimum"]
    return ends[:1] if (ends[0] == ends[1]).all() else ends


def minimum_style(ends: np.ndarray) -> style.LineStyle:
    """Return the line style of a minimum: a cross for a point, dashes for a line."""
    return MINIMUM if len(ends) == 1 else VALLEY


def minimum_legend(runs: list[Run]) -> dict[str, style.LineStyle]:
    """Return the legend of the minimum if any of these runs has one in the frame."""
    found = [ends for ends in map(minimum, runs) if ends is not None]
    return {"minimum in this plane": minimum_style(found[0])} if found else {}
