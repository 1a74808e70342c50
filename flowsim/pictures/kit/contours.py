"""Contours of the loss over a plane, the levels named, and where the loss is lowest."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from flowsim.pictures.kit import reading, style
from flowsim.pictures.kit.scales import round_numbers
from flowsim.pictures.kit.words import distinct, number
from flowsim.results.run import Run

MOST, FEWEST = 12, 5
NEGLIGIBLE = 1e-3
"""A lowest loss is 0 where it is this small beside the lowest level."""
MINIMUM: style.Pen = {
    "marker": "+", "color": style.INK, "markersize": 11.0, "markeredgewidth": 1.0,
    "linestyle": "none", "zorder": 5.5,
}  # fmt: skip
VALLEY: style.Pen = {
    "color": style.INK, "linewidth": 0.9, "linestyle": (0, (5, 2, 1, 2)), "zorder": 2.5,
}  # fmt: skip


def draw(panel: Axes, run: Run) -> QuadContourSet | None:
    """Fill contours of the loss over its lowest, at round levels; none if it is constant."""
    loss = np.ma.masked_invalid(run["plane.loss"])
    floor = lowest(run)
    above = loss - floor
    known = above.compressed()[above.compressed() > 0]
    if not known.size or loss.max() - loss.min() <= 1e-9 * abs(loss).max():
        return None
    high = float(known.max())
    levels = [level for level in heights(known) if level < high]
    edges = np.array([-1e-9 * high, *levels, 1.01 * high])
    greys = ListedColormap([str(round(g, 3)) for g in np.linspace(1.0, 0.78, len(edges) - 1)])
    u, v, norm = run["plane.u"], run["plane.v"], BoundaryNorm(edges, len(edges) - 1)
    filled = panel.contourf(u, v, above, edges, cmap=greys, norm=norm, zorder=0.5)
    panel.contour(u, v, above, levels, colors="#8f8f8f", linewidths=0.4, zorder=0.6)
    return filled


def lowest(run: Run) -> float:
    """Return the lowest loss known in the frame."""
    least = float(np.ma.masked_invalid(run["plane.loss"]).min())
    known = reading.drawable(run, "plane.lowest_loss")
    return min(float(run["plane.lowest_loss"]), least) if known else least


def heights(above: np.ndarray) -> list[float]:
    """Return round levels over the lowest loss, from where it is hardly above to its top."""
    high = float(above.max())
    low = max(float(np.quantile(above, 0.015)), 1e-10 * high)
    return round_numbers(low if low < 0.3 * high else 0.1 * high, high, MOST)


def write_scale(axes: Axes, figure: Figure, filled: QuadContourSet, run: Run) -> None:
    """Draw the colour scale of the loss, its levels named, beside the panel."""
    bar = figure.colorbar(filled, cax=axes, spacing="uniform")
    levels = [float(level) for level in np.asarray(filled.levels)[1:-1]]
    named = levels[:: -(-len(levels) // 7)]
    bar.set_ticks(named, labels=distinct(named))
    axes.minorticks_off()
    axes.tick_params(labelsize=6, length=2)
    axes.grid(visible=False)
    floor = lowest(run)
    said = r"loss $\ell(W)$"
    if abs(floor) > NEGLIGIBLE * levels[0]:
        said += f" above its lowest here, {number(floor)}"
    bar.set_label(said, size=7)


def draw_minimum(panel: Axes, run: Run) -> None:
    """Mark where the loss is lowest within the plane: a cross, or a line."""
    ends = minimum(run)
    if ends is not None:
        panel.plot(ends[:, 0], ends[:, 1], **pen(ends))


def minimum(run: Run) -> np.ndarray | None:
    """Return where the loss is lowest: a point or two ends, or none if not in the frame."""
    if not reading.drawable(run, "plane.minimum"):
        return None
    ends = run["plane.minimum"]
    return ends[:1] if (ends[0] == ends[1]).all() else ends


def pen(ends: np.ndarray) -> style.Pen:
    """Return the pen of a minimum, which is a point or a line."""
    return MINIMUM if len(ends) == 1 else VALLEY


def key(runs: list[Run]) -> dict[str, style.Pen]:
    """Return the legend of the minimum where any of these runs has one in the frame."""
    found = [ends for ends in map(minimum, runs) if ends is not None]
    return {"minimum in this plane": pen(found[0])} if found else {}
