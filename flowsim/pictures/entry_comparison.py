"""The entry of the end-to-end matrix that ends largest, in every flow and in descent."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures import end_to_end_entries
from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.words import listed, number
from flowsim.pictures.largest_entry import (
    along,
    along_all,
    along_descent,
    along_flows,
    descends,
    finals,
    name,
)
from flowsim.results.run import Run

THIN: style.Pen = {"linestyle": "solid", "linewidth": 0.6}
DOT: style.Pen = {**curves.EDGE_MARK, "marker": "o", "markeredgecolor": "white"}
MOST_TOLD = 5


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    reason = end_to_end_entries.why_unavailable(run)
    if reason or len(reading.spaces(run, "end_to_end")) > 1 or descends(run):
        return reason
    return "W was saved along one flow alone, and there is nothing to compare it with"


def draw(run: Run) -> Figure:
    """Draw that entry in every flow, in the closed form and in descent; one panel a variant."""
    parts = reading.fitted(run, why_unavailable)
    descents = [part for part in parts.values() if descends(part)]
    pens = flow_pens(parts)
    keys = {reading.FLOWS[space]: pen for space, pen in pens.items()}
    if any(reading.drawable(part, "exact.end_to_end") for part in parts.values()):
        keys["closed form"] = style.EXACT
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else told(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys=keys | curves.step_keys(descents),
        steps=scales.many(descents),
    )
    shown = [along_all(part) for part in parts.values()]
    times = [[time for time, _ in of_part] for of_part in shown]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    curves.plain_axis(sheet.panels, [values for of_part in shown for _, values in of_part])
    sizes = reading.all_step_sizes(descents)
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        draw_flows(panel, part, pens)
        if part in descents:
            draw_descent(panel, part, sizes)
    sheet.label("time t", " / ".join(dict.fromkeys(map(name, parts.values()))))
    return sheet.figure


def flow_pens(parts: dict[str, Run]) -> dict[str, style.Pen]:
    """Return the pen of each flow: the first broad, others thin with open marks."""
    found = {space for part in parts.values() for space in reading.spaces(part, "end_to_end")}
    ordered = [space for space in reading.FLOWS if space in found]
    return {s: style.open_marks(k - 1) | THIN if k else style.FLOW for k, s in enumerate(ordered)}


def draw_flows(panel: Axes, run: Run, pens: dict[str, style.Pen]) -> None:
    """Draw every flow, its mark large and filled at the end, and the closed form."""
    for k, (space, (time, values)) in enumerate(along_flows(run).items()):
        pen = pens[space]
        curves.plot(panel, time, values, pen, shift=k + 1)
        own = {"color": pen["color"], "marker": pen.get("marker", "o")}
        dot(panel, time, values, {**own, "markersize": 6.2})
    if reading.drawable(run, "exact.end_to_end"):
        curves.plot(panel, *along(run, "exact"), style.EXACT)


def draw_descent(panel: Axes, run: Run, sizes: np.ndarray) -> None:
    """Draw descent with the pens of `sizes`: a dot at the end, a cross where it diverges."""
    pens = dict(zip(sizes, style.step_pens(sizes), strict=True))
    time, values = along_descent(run)
    curves.draw_descent(panel, run, values, sizes, np.inf, time)
    for k in np.flatnonzero(~reading.diverged(run)):
        colour = pens[reading.step_sizes(run)[k]]["color"]
        dot(panel, time[k], values[k], {"color": colour, "markersize": 4.2})


def dot(panel: Axes, time: np.ndarray, values: np.ndarray, pen: style.Pen) -> None:
    """Mark where a curve ends."""
    end = np.flatnonzero(np.isfinite(values))[-1:]
    curves.plot(panel, time[end], values[end], DOT | pen)


def told(run: Run) -> str:
    """Say where that entry ends: in each of a few dynamics, or where it is largest."""
    ends = finals(run)
    first = f"{name(run)} ends at "
    if len(ends) > MOST_TOLD:
        return first + f"{span(ends)}, largest {max(ends, key=lambda at: abs(ends[at]))}"
    return first + listed(f"{number(end)} {where}" for where, end in ends.items())


def span(ends: dict[str, float]) -> str:
    """Say from where to where the ends lie."""
    return " to ".join(dict.fromkeys(number(end(ends.values())) for end in (min, max)))


def over_variants(parts: dict[str, Run]) -> str:
    """Say where that entry ends in each variant, from where to where if there are many."""
    if len(parts) <= 2:
        return "; ".join(f"{key}: {told(part)}" for key, part in parts.items())
    ends = (f"{key} at {span(finals(part))}" for key, part in parts.items())
    return f"The entry that ends largest ends in {listed(ends, most=5)}"
