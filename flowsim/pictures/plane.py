"""The path of the end-to-end matrix in a plane, over contours of the loss."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures import loss
from flowsim.pictures.kit import contours, curves, fan, layout, page, reading, scales, style
from flowsim.pictures.kit.paths import length, paths, stray
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

SCALE_ROOM = 0.66
WIDE = page.MIDDLE - page.LEFT - SCALE_ROOM
TALLEST, LOWEST = 2.5, 1.5
"""Inches between which a single panel is high."""
PATH: style.Pen = {"color": "black", "linewidth": 1.8, "zorder": 3}
DASHES = ((0, (3, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
ONE: style.Pen = {
    "marker": "o", "color": style.OKABE_ITO[0], "markersize": 2.9, "markeredgewidth": 0,
    "linewidth": 0.8,
}  # fmt: skip
START: style.Pen = {
    "marker": "o", "color": "black", "markerfacecolor": "white", "markersize": 5,
    "linestyle": "none", "zorder": 6,
}  # fmt: skip
END: style.Pen = {
    "marker": "*", "color": "black", "markerfacecolor": "#F0E442", "markersize": 8,
    "linestyle": "none", "zorder": 6,
}  # fmt: skip


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    missing = reading.why_missing(run, "plane.u", "plane.v", "plane.loss")
    if missing or any(reading.drawable(run, f"plane.{space}") for space in reading.FLOWS):
        return missing
    return "no flow of the run lies in the plane"


def draw(run: Run) -> Figure:
    """Draw loss contours, the flow's path and descents coloured by η; one panel a variant."""
    parts = reading.fitted(run, why_unavailable)
    descending = [part for part in parts.values() if reading.drawable(part, "plane.descent")]
    scale = scales.family(descending)
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys=keys(parts),
        steps=scale,
        right=page.RIGHT if run.variants else SCALE_ROOM,
        gap=page.OWN_AXIS,
        **({} if run.variants else {"width": page.MIDDLE, "tall": height(run, WIDE)}),
    )
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        filled = contours.draw(panel, part)
        frame(panel, part)
        if part in descending:
            shades = colours(scale, descending)
            fan.Fan(panel, fan.tracks(part, panel, shades, part["plane.descent"]))
        contours.draw_minimum(panel, part)
        draw_paths(panel, part)
        if filled is not None and not run.variants:
            contours.write_scale(sheet.beside(), sheet.figure, filled, part)
    return sheet.figure


def keys(parts: dict[str, Run]) -> dict[str, style.Pen]:
    """Return the legend of paths, their ends, the minimum, and descent where it is but one."""
    first, others = reading.first_and_others([list(paths(part)) for part in parts.values()])
    lines = {first: PATH} | {name: path_pen(k) for k, name in enumerate(others, start=1)}
    marks = {"start": START, "end of flow": END} | contours.key(list(parts.values()))
    descending = [p for p in parts.values() if reading.drawable(p, "plane.descent")]
    steps = curves.step_keys(descending)
    alone = dict.fromkeys(steps, ONE) if len(steps) == 1 else {}
    away = {"leaves the frame": fan.LEAVING} if any(map(leaves, descending)) else {}
    return lines | marks | alone | away


def leaves(run: Run) -> bool:
    """Say whether a descent ends outside the frame, or nowhere."""
    last, u, v = run["plane.descent"][:, -1], run["plane.u"], run["plane.v"]
    with np.errstate(invalid="ignore"):
        inside = (last >= [u.min(), v.min()]) & (last <= [u.max(), v.max()])
    return not inside.all()


def path_pen(rank: int) -> style.Pen:
    """Return the pen of a flow's path: a bold line, or dashes for those that stray from it."""
    dashes = {"linewidth": 1.0, "linestyle": DASHES[(rank - 1) % len(DASHES)]}
    return {**PATH, **dashes} if rank else PATH


def draw_paths(panel: Axes, run: Run) -> None:
    """Draw the flows' paths and mark where the first starts and ends."""
    found = paths(run)
    for k, path in enumerate(found.values()):
        panel.plot(path[:, 0], path[:, 1], **path_pen(k))
    draw_start(panel, run)
    panel.plot(*ends(run)[1], **END)


def draw_start(panel: Axes, run: Run) -> None:
    """Mark where the first flow starts."""
    panel.plot(*ends(run)[0], **START)


def ends(run: Run) -> np.ndarray:
    """Return where the first flow starts and ends, shape (end, axis)."""
    first = next(iter(paths(run).values()))
    return np.asarray(first[np.isfinite(first).all(axis=1)][[0, -1]])


def height(run: Run, wide: float) -> float:
    """Return the inches of a panel's height at which so wide a one is used, if it may be."""
    return float(np.clip(round(wide * ratio(run) / 0.005) * 0.005, LOWEST, TALLEST))


def ratio(run: Run) -> float:
    """Return how high the frame is for its width."""
    return float(np.ptp(run["plane.v"]) / np.ptp(run["plane.u"]))


def frame(panel: Axes, run: Run) -> None:
    """Set the edges of the plane and name its axes; entries of W have one scale."""
    u, v = run["plane.u"], run["plane.v"]
    panel.set(xlim=(u.min(), u.max()), ylim=(v.min(), v.max()))
    if run.scenario.output.plane:
        layout.shrink(panel, ratio(run))
    for axis, name in ((panel.xaxis, "u"), (panel.yaxis, "v")):
        variable = run.variable(f"plane.{name}")
        axis.set_label_text(str(variable.attributes.get("long_name", name)))
        curves.nice_ticks(axis, 6 if curves.panel_width(panel) > 1.6 else 4)
    panel.grid(visible=False)


def colours(scale: scales.StepScale | None, runs: list[Run]) -> dict[float, str]:
    """Return the colour of each step size."""
    if scale is None:
        return dict.fromkeys(reading.all_step_sizes(runs).tolist(), style.OKABE_ITO[0])
    return dict(zip(scale.sizes.tolist(), scale.colours(), strict=True))


def headline(run: Run) -> str:
    """Say how far completed descent strays from the flow's path, within the plane."""
    path = next(iter(paths(run).values()))
    total = length(path)
    if not reading.drawable(run, "plane.descent") or not total:
        return path_course(run)
    lost, sizes = reading.diverged(run), reading.step_sizes(run)
    known = np.isfinite(run["plane.descent"]).any(axis=(1, 2))
    done = [int(k) for k in np.argsort(sizes) if known[k] and not lost[k]]
    if not done:
        return "Every step size of descent diverges from the flow's path"
    low, high = (percent(stray(path, run["plane.descent"][k]) / total) for k in (done[0], done[-1]))
    said = "Seen in this plane, descent strays from the flow's path by up to "
    said += f"{low} of its length at η = {number(float(sizes[done[0]]))}"
    if len(done) > 1:
        said += f", {high} at η = {number(float(sizes[done[-1]]))}"
    fate = loss.descent_fate(run)
    return said + (f"; {fate}" if lost.any() else "")


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
