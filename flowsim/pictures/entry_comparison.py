"""The largest final entry of the end-to-end matrix, in every flow and in gradient descent."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures import end_to_end_entries, loss
from flowsim.pictures.end_to_end_entries import saved_matrices
from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import join_words, number, with_subscripts
from flowsim.results.run import Run

THIN: style.LineStyle = {"linestyle": "solid", "linewidth": 0.6}
END_MARKER: style.LineStyle = {**curves.EDGE_MARKER, "marker": "o", "markeredgecolor": "white"}
MOST_VALUES = 5
"""Final values that a headline lists; of more it gives the range."""

Curve = tuple[np.ndarray, np.ndarray]
"""Times and values; of descent both `(step_size, sample)`."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    reason = end_to_end_entries.why_unavailable(run)
    if reason or len(reading.flows_with(run, "end_to_end")) > 1 or has_descent(run):
        return reason
    return "W was saved along one flow only, so that there is nothing to compare"


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw that entry in every flow, in the closed form and in descent."""
    parts = subject.parts
    descents = [part for part in parts.values() if has_descent(part)]
    line_styles = flow_styles(parts)
    grid = layout.panel_grid(
        subject,
        legend={reading.FLOWS[space]: each for space, each in line_styles.items()}
        | curves.closed_form_legend(parts.values(), "end_to_end")
        | curves.step_size_legend(descents),
        steps=scales.scale_if_many(descents),
    )
    shown = [values for part in parts.values() for _, values in all_curves(part)]
    curves.time_axes(grid.panels, parts.values(), lambda part: [t for t, _ in all_curves(part)])
    curves.plain_axis(grid.panels, shown)
    sizes = reading.all_step_sizes(descents)
    for panel, part in zip(grid.panels, parts.values(), strict=True):
        draw_flows(panel, part, line_styles)
        if part in descents:
            draw_descent(panel, part, sizes)
    grid.label("time t", " / ".join(dict.fromkeys(map(entry_name, parts.values()))))
    return grid


def flow_styles(parts: dict[str, Run]) -> dict[str, style.LineStyle]:
    """Return the line style of each flow: the first broad, others thin with open markers."""
    found = {space for part in parts.values() for space in reading.flows_with(part, "end_to_end")}
    ordered = [space for space in reading.FLOWS if space in found]
    return {s: style.open_markers(k - 1) | THIN if k else style.FLOW for k, s in enumerate(ordered)}


def draw_flows(panel: Axes, run: Run, line_styles: dict[str, style.LineStyle]) -> None:
    """Draw every flow, with a large filled marker at its end, and the closed form."""
    for k, (space, (time, values)) in enumerate(flow_curves(run).items()):
        line_style = line_styles[space]
        curves.plot(panel, time, values, line_style, shift=k + 1)
        own = {"color": line_style["color"], "marker": line_style.get("marker", "o")}
        mark_end(panel, time, values, {**own, "markersize": 6.2})
    if reading.has_numbers(run, "exact.end_to_end"):
        curves.plot(panel, *curve(run, "exact"), style.EXACT)


def draw_descent(panel: Axes, run: Run, sizes: np.ndarray) -> None:
    """Draw descent with a dot at its end, or a cross where it diverges."""
    line_styles = dict(zip(sizes, style.step_size_styles(sizes), strict=True))
    time, values = descent_curves(run)
    # no upper limit: the axis is fitted to all curves
    curves.draw_descent(panel, run, values, sizes, np.inf, time)
    for k in np.flatnonzero(~reading.diverged(run)):
        colour = line_styles[reading.step_sizes(run)[k]]["color"]
        mark_end(panel, time[k], values[k], {"color": colour, "markersize": 4.2})


def mark_end(panel: Axes, time: np.ndarray, values: np.ndarray, marker: style.LineStyle) -> None:
    """Mark the last finite point of a curve."""
    end = np.flatnonzero(np.isfinite(values))[-1:]
    curves.plot(panel, time[end], values[end], END_MARKER | marker)


def has_descent(run: Run) -> bool:
    """Whether descent saved W."""
    return reading.has_descent(run, "end_to_end")


def entry(run: Run) -> tuple[int, int]:
    """Return the row and the column of the entry that is largest at the end, over all flows."""
    spaces = reading.flows_with(run, "end_to_end")
    flows = [saved_matrices(run, space)[1] for space in spaces]
    ends = [np.apply_along_axis(lambda w: abs(reading.final(w)), 0, W) for W in flows]
    largest = np.fmax.reduce(ends)
    i, j = np.unravel_index(int(np.nanargmax(largest)), largest.shape)
    return int(i), int(j)


def entry_name(run: Run) -> str:
    """Return the name of that entry, such as w₁₁."""
    return with_subscripts("w", *(k + 1 for k in entry(run)))


def curve(run: Run, group: str) -> Curve:
    """Return that entry over time, of a flow or of the closed form."""
    time, W = saved_matrices(run, group)
    return time, W[:, *entry(run)]


def flow_curves(run: Run) -> dict[str, Curve]:
    """Return that entry over time, of each flow that saved W."""
    return {space: curve(run, space) for space in reading.flows_with(run, "end_to_end")}


def descent_curves(run: Run) -> Curve:
    """Return that entry of descent at every step size; nan beyond what is worth showing."""
    W, time = run.variable("descent.end_to_end"), run["descent.time"]
    if "saved_sample" in W.dims:
        time = time[:, run["descent.saved_sample"].astype(int)]
    values = W.values[:, :, *entry(run)]
    within = loss.highest_shown([np.abs(w) for _, w in flow_curves(run).values()])
    near = np.isfinite(curves.values_in_view(run, np.abs(values), within))
    return time, np.where(near, values, np.nan)


def all_curves(run: Run) -> list[Curve]:
    """Return that entry over time of every flow, and last of descent if it saved W."""
    return [*flow_curves(run).values(), *([descent_curves(run)] if has_descent(run) else [])]


def final_values(run: Run) -> dict[str, float]:
    """Return the final value of that entry, by dynamics; diverged step sizes are left out."""
    ends = {
        f"in the {reading.FLOWS[space]}": reading.final(values)
        for space, (_, values) in flow_curves(run).items()
    }
    if has_descent(run):
        sizes, _, values = reading.step_sizes(run), *descent_curves(run)
        for k in np.flatnonzero(~reading.diverged(run)):
            ends[f"in gradient descent at η = {number(sizes[k])}"] = reading.final(values[k])
    return {where: end for where, end in ends.items() if np.isfinite(end)}


def headline(run: Run) -> str:
    """Return the final values of that entry: of each of a few dynamics, or their range."""
    ends = final_values(run)
    first = f"{entry_name(run)} ends at "
    if len(ends) > MOST_VALUES:
        return first + f"{value_range(ends)}, largest {max(ends, key=lambda at: abs(ends[at]))}"
    return first + join_words(f"{number(end)} {where}" for where, end in ends.items())


def value_range(ends: dict[str, float]) -> str:
    """Return the range of values, "1 to 2", or one number if they are equal."""
    return " to ".join(dict.fromkeys(number(end(ends.values())) for end in (min, max)))


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final values of that entry in each variant, or their ranges if there are many."""
    if len(parts) <= 2:
        return "; ".join(f"{key}: {headline(part)}" for key, part in parts.items())
    ranges = (f"{value_range(final_values(part))} ({key})" for key, part in parts.items())
    return f"The largest final entry is {join_words(ranges, most=5)}"
