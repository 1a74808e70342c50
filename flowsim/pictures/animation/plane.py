"""Descents that run along the flow in the plane, and their losses beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures import loss, plane
from flowsim.pictures.animation.moving import Moving, Part
from flowsim.pictures.animation.parts import Clock, Cursor, Heads, Path
from flowsim.pictures.kit import contours, curves, fan, layout, page, reading, scales, style
from flowsim.pictures.kit.paths import paths
from flowsim.results.run import Run

WIDE, LOSS_WIDE = 3.4, 1.75
LOSS_FLOW: style.Pen = {**plane.PATH, "zorder": 1.9}
NO_HEAD: style.Pen = {}
NOW: style.Pen = {**plane.END, "zorder": 8}


@dataclass(frozen=True)
class Span:
    """From when to when time goes, whether it is logarithmic, and whether flows share it."""

    first: float
    last: float
    log: bool
    timed: bool

    @property
    def name(self) -> str:
        """Return what the time is called."""
        return "t" if self.timed else "kη"


def moving(run: Run) -> Moving:
    """Return the motion in the plane: with the loss beside it, or one panel a variant."""
    parts = reading.fitted(run, plane.why_unavailable)
    descending = [part for part in parts.values() if descends(part)]
    scale = scales.family(descending)
    shades, span = plane.colours(scale, descending), span_of(list(parts.values()))
    sheet = open_page(run, parts, scale)
    moved: list[Part] = []
    for panel, part in zip(sheet.panels, parts.values(), strict=False):
        moved += in_plane(panel, part, shades, span)
    if not run.variants:
        moved += over_time(sheet.panels[1], run, shades, span)
    sizes = reading.all_step_sizes(descending)
    clock = Clock(sheet.figure, sizes, span.last, not span.log, span.name)
    return Moving(sheet.figure, [*moved, clock], span.first, span.last, span.log)


def open_page(run: Run, parts: dict[str, Run], scale: scales.StepScale | None) -> page.Page:
    """Lay out the panels: the plane and the loss, or the plane of each variant."""
    keys = {
        "flow now" if label == "end of flow" else label: pen
        for label, pen in plane.keys(parts).items()
    }
    if run.variants:
        said, gap = plane.over_variants(parts), page.OWN_AXIS
        return page.open_page(
            run, said, panels=len(parts), names=list(parts), drawn=parts, keys=keys, steps=scale,
            gap=gap,
        )  # fmt: skip
    sheet = page.open_page(
        run, plane.headline(run), panels=2, keys=keys, steps=scale, tall=plane.height(run, WIDE)
    )
    layout.place(sheet.panels[0], page.LEFT, WIDE)
    layout.place(sheet.panels[1], page.WIDE - page.RIGHT - LOSS_WIDE, LOSS_WIDE)
    return sheet


def descends(run: Run) -> bool:
    """Say whether a run has descents in the plane."""
    return reading.drawable(run, "plane.descent")


def span_of(runs: Sequence[Run]) -> Span:
    """Return the time of flows and descents; kη alone where that is no time of a flow."""
    timed = all(reading.drawable(run, "descent.time") for run in runs if descends(run))
    flows = [run[f"plane.{space}_time"] for run in runs for space in paths(run)]
    known = curves.finite(flows if timed else [fan.moments(run) for run in runs if descends(run)])
    log = timed and reading.logarithmic(runs) and bool((known > 0).any())
    return Span(float(known[known > 0].min()) if log else 0.0, float(known.max()), log, timed)


def in_plane(panel: Axes, run: Run, shades: dict[float, str], span: Span) -> list[Part]:
    """Draw what stands still in the plane, and return what moves over it."""
    contours.draw(panel, run)
    plane.frame(panel, run)
    contours.draw_minimum(panel, run)
    moved: list[Part] = []
    if not span.timed:
        plane.draw_paths(panel, run)
    else:
        plane.draw_start(panel, run)
        for k, (space, path) in enumerate(paths(run).items()):
            head = NO_HEAD if k else NOW
            moved.append(Path(panel, run[f"plane.{space}_time"], path, plane.path_pen(k), head))
    if descends(run):
        every = fan.tracks(run, panel, shades, run["plane.descent"], span.last)
        moved += [fan.Fan(panel, every), Heads(panel, every)]
    return moved


def over_time(panel: Axes, run: Run, shades: dict[float, str], span: Span) -> list[Part]:
    """Return the losses of the first flow and of descents, which move over time."""
    space = reading.spaces(run, "loss")[0]
    time, values = run[f"{space}.time"], run[f"{space}.loss"]
    descending = descends(run) and reading.drawable(run, "descent.loss")
    below = curves.settled(run, run["descent.loss"], loss.ceiling([values])) if descending else []
    times = [np.array([span.first, span.last]), *([fan.moments(run)] if descending else [])]
    curves.time_axis([panel], times, span.log)
    if span.log:
        panel.set_xlim(left=span.first)
    curves.log_axis([panel], [values, *below])
    panel.set(xlabel="time t" if span.timed else "kη", ylabel=loss.LABEL)
    moved: list[Part] = [Cursor([panel])]
    if span.timed:
        moved.append(Path(panel, time, np.stack([time, values], axis=1), LOSS_FLOW, NO_HEAD))
    if descending:
        points = np.stack([fan.moments(run), run["descent.loss"]], axis=-1)
        every = fan.tracks(run, panel, shades, points, span.last)
        moved += [fan.Fan(panel, every), Heads(panel, every)]
    return moved
