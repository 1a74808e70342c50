"""The path of the end-to-end matrix in a plane, over contours of the loss."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from flowsim.figures import curves, page, reading, style
from flowsim.figures.words import listed, number
from flowsim.results import Run

LEVELS = 12
SCALE_ROOM = 0.66
PATH: style.Pen = {"color": "black", "linewidth": 1.0, "zorder": 4.5}
START: style.Pen = {
    "marker": "o", "color": "black", "markerfacecolor": "white", "markersize": 5,
    "linestyle": "none", "zorder": 6,
}  # fmt: skip
END: style.Pen = {
    "marker": "*", "color": "black", "markerfacecolor": "#F0E442", "markersize": 8,
    "linestyle": "none", "zorder": 6,
}  # fmt: skip
DOTS: style.Pen = {"linestyle": "none", "markersize": 2.6, "markeredgewidth": 0.3, "zorder": 4}
SAME_PATH = 1e-3


def unfit(run: Run) -> str:
    """Say why this cannot be drawn, or nothing."""
    missing = reading.lacking(run, "plane.u", "plane.v", "plane.loss")
    if missing or any(reading.drawable(run, f"plane.{space}") for space in reading.FLOWS):
        return missing
    return "no flow of the run lies in the plane"


def draw(run: Run) -> Figure:
    """Draw loss contours, the flow's path, descent's iterates as dots; one panel a variant."""
    parts = reading.fitted(run, unfit)
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys=keys(parts),
        steps=curves.step_scale(parts.values()),
        right=page.RIGHT if run.variants else SCALE_ROOM,
        gap=page.OWN_AXIS,
    )
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        filled = draw_loss(panel, part)
        draw_descent(panel, part, reading.all_step_sizes(parts.values()))
        draw_paths(panel, part)
        frame(panel, part)
        if filled is not None and not run.variants:
            write_scale(sheet.beside(), sheet.figure, filled)
    return sheet.figure


def keys(parts: dict[str, Run]) -> dict[str, style.Pen]:
    """Return the legend of paths, their ends and the step sizes."""
    first, others = reading.first_and_others([list(paths(part)) for part in parts.values()])
    lines = {first: PATH} | {name: style.open_marks(k) for k, name in enumerate(others)}
    descending = [p for p in parts.values() if reading.drawable(p, "plane.descent")]
    steps = {
        label: pen | DOTS | {"markersize": 3.6}
        for label, pen in curves.step_keys(descending).items()
    }
    return lines | {"start": START, "end of flow": END} | steps


def paths(run: Run) -> dict[str, np.ndarray]:
    """Return the flows' paths `(time, axis)`: the first, and others that can be told from it."""
    found: dict[str, np.ndarray] = {}
    for space in reading.FLOWS:
        if reading.drawable(run, f"plane.{space}"):
            path = run[f"plane.{space}"]
            first = next(iter(found.values()), None)
            if first is None or stray(first, path) > SAME_PATH * length(first):
                found[space] = path
    return found


def length(path: np.ndarray) -> float:
    """Return the length of a path, nan steps left out."""
    return float(np.nansum(np.linalg.norm(np.diff(path, axis=0), axis=1)))


def stray(path: np.ndarray, points: np.ndarray) -> float:
    """Return the largest distance of points from a path of straight pieces, nan if unknown."""
    path, points = path[np.isfinite(path).all(axis=1)], points[np.isfinite(points).all(axis=1)]
    if not len(path) or not len(points):
        return float("nan")
    start, step = path, np.diff(path, axis=0, append=path[-1:])
    squared = np.maximum((step**2).sum(axis=1), 1e-300)
    away = points[:, None, :] - start[None, :, :]
    share = np.clip((away * step).sum(axis=2) / squared, 0, 1)
    gaps = np.linalg.norm(away - share[:, :, None] * step, axis=2)
    return float(gaps.min(axis=1).max())


def draw_loss(panel: Axes, run: Run) -> QuadContourSet | None:
    """Fill contours of the loss, spaced geometrically over its minimum; none if it is constant."""
    variable = run.variable("plane.loss")
    loss = np.ma.masked_invalid(variable.values)
    known = loss.compressed()
    minimum = min(float(variable.attributes.get("minimum", known.min())), float(known.min()))
    above = known[known > minimum] - minimum
    if not above.size or above.max() <= 1e-9 * abs(minimum):
        return None
    high = float(above.max())
    low = max(float(np.quantile(above, 0.02)), 1e-4 * high)
    low = low if low < 0.9 * high else 0.1 * high
    levels = minimum + np.geomspace(low, high, LEVELS)
    levels = np.array([minimum - 1e-9 * high, *levels])
    greys = ListedColormap([str(round(g, 3)) for g in np.linspace(1.0, 0.74, LEVELS)])
    filled = panel.contourf(
        run["plane.u"], run["plane.v"], loss, levels,
        cmap=greys, norm=BoundaryNorm(levels, LEVELS), zorder=0.5,
    )  # fmt: skip
    panel.contour(
        run["plane.u"], run["plane.v"], loss, levels[1:-1],
        colors="#9c9c9c", linewidths=0.35, zorder=0.6,
    )  # fmt: skip
    return filled


def draw_paths(panel: Axes, run: Run) -> None:
    """Draw the flows' paths and mark where the first starts and ends."""
    found = paths(run)
    for k, path in enumerate(found.values()):
        pen = style.open_marks(k - 1) | {"markevery": style.sparse(len(path), 12)} if k else PATH
        panel.plot(path[:, 0], path[:, 1], **pen)
    first = next(iter(found.values()))
    known = first[np.isfinite(first).all(axis=1)]
    panel.plot(*known[0], **START)
    panel.plot(*known[-1], **END)


def draw_descent(panel: Axes, run: Run, sizes: np.ndarray) -> None:
    """Draw descent's iterates as dots on a hairline, cut off at the edge of the plane."""
    if not reading.drawable(run, "plane.descent"):
        return
    pens = style.step_pens(sizes)
    for size, iterates in zip(reading.step_sizes(run), run["plane.descent"], strict=True):
        pen = {"marker": "o", **pens[int(np.flatnonzero(sizes == size)[0])], **DOTS}
        hairline = {"color": pen["color"], "linewidth": 0.5, "alpha": 0.7, "zorder": 1.4}
        panel.plot(iterates[:, 0], iterates[:, 1], markeredgecolor="white", **pen)
        panel.plot(iterates[:, 0], iterates[:, 1], label="_between", **hairline)


def frame(panel: Axes, run: Run) -> None:
    """Set the edges of the plane and name its axes."""
    for axis, name in ((panel.xaxis, "u"), (panel.yaxis, "v")):
        variable = run.variable(f"plane.{name}")
        axis.set_label_text(str(variable.attributes.get("long_name", name)))
        curves.nice_ticks(axis, 6 if curves.panel_width(panel) > 1.6 else 4)
    u, v = run["plane.u"], run["plane.v"]
    panel.set(xlim=(u.min(), u.max()), ylim=(v.min(), v.max()))
    panel.grid(visible=False)


def write_scale(axes: Axes, figure: Figure, filled: QuadContourSet) -> None:
    """Draw the colour scale of the loss beside the panel."""
    bar = figure.colorbar(filled, cax=axes, spacing="uniform")
    ticks = [float(level) for level in np.asarray(filled.levels)[1::3]]
    bar.set_ticks(ticks, labels=[number(tick, 2) for tick in ticks])
    axes.minorticks_off()
    axes.tick_params(labelsize=6, length=2)
    axes.grid(visible=False)
    bar.set_label(r"loss $\ell(W)$", size=7)


def headline(run: Run) -> str:
    """Say how far completed descent strays from the flow's path, within the plane."""
    path = next(iter(paths(run).values()))
    total = length(path)
    if not reading.drawable(run, "plane.descent") or not total:
        return path_course(run)
    lost = reading.diverged(run)
    sizes = reading.step_sizes(run)
    strays = [stray(path, iterates) for iterates in run["plane.descent"]]
    done = [k for k in np.argsort(sizes) if not lost[k] and np.isfinite(strays[k])]
    if not done:
        return "Every step size of descent diverges from the flow's path"
    said = "Seen in this plane, descent strays from the flow's path by up to "
    low, high = done[0], done[-1]
    said += f"{percent(strays[low] / total)} of its length at η = {number(float(sizes[low]))}"
    if high != low:
        said += f", {percent(strays[high] / total)} at η = {number(float(sizes[high]))}"
    gone = listed((number(float(eta)) for eta in np.sort(sizes[lost])), most=2)
    return said + (f"; it diverges at η = {gone}" if gone else "")


def percent(share: float) -> str:
    """Write a share in percent, not further than ten times the whole."""
    if share > 10:
        return "over 1000 %"
    return f"{number(100 * share, 2)} %"


def path_course(run: Run) -> str:
    """Say how the loss falls along the path where there is no descent."""
    flows = reading.spaces(run, "loss")
    if not flows:
        return "The path of the end-to-end matrix over the loss"
    return f"Along the path of the flow the loss {reading.course(run[f'{flows[0]}.loss'])}"


def over_variants(parts: dict[str, Run]) -> str:
    """Say how long each variant's path in the plane is."""
    lengths = ((name, length(next(iter(paths(part).values())))) for name, part in parts.items())
    said = listed((f"{name} {number(total)}" for name, total in lengths), most=5)
    return f"Length of the flow's path in the plane: {said}"
