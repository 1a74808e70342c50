"""Singular values of the end-to-end matrix over time: which modes are learned, and when.

From small initialization each mode stays near zero, rises steeply and saturates; larger modes rise
earlier (Saxe, McClelland & Ganguli 2014), and the deeper the network, the more abruptly.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number, with_subscripts
from flowsim.results.run import Run

TOP_MODES = 10
"""Modes drawn in colour; further ones are thin and grey."""
LABEL_HEIGHT = 0.105
"""Inches of a label at the right of the axes; closer modes share one."""
Rise = tuple[int, float, float, float]
"""A mode, and the times at which it reaches 10, 50 and 90 % of its final value."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_no_flow(run, "singular_values")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw σ_r(t): the reference flow as lines, others as markers, the closed form dashed."""
    run, parts = subject.run, subject.parts
    shown = max(coloured_modes(part) for part in parts.values())
    legend = flow_legend(parts)
    if run.variants:
        legend |= {
            with_subscripts("σ", r + 1): {"color": c} for r, c in enumerate(style.colours(shown))
        }
    grid = layout.panel_grid(
        subject, legend=legend, right=layout.RIGHT if run.variants else layout.LABELLED
    )
    spectra = [(p, s) for p in parts.values() for s in reading.flows_with(p, "singular_values")]
    curves.time_axes(grid.panels, parts.values())
    curves.plain_axis(grid.panels, [p[f"{s}.singular_values"] for p, s in spectra])
    for panel, part in zip(grid.panels, parts.values(), strict=True):
        draw_modes(panel, part, style.colours(shown))
    if not run.variants:
        name_modes(grid.panels[0], run, style.colours(shown))
    grid.label("time t", "singular values of W")
    return grid


def coloured_modes(run: Run) -> int:
    """Return the number of modes drawn in colour."""
    return min(int(reading.first_flow(run, "singular_values").shape[1]), TOP_MODES)


def flow_legend(parts: dict[str, Run]) -> dict[str, style.LineStyle]:
    """Return the legend of flows and closed form."""
    first, others = reading.legend_names(
        [reading.flows_with(part, "singular_values") for part in parts.values()]
    )
    legend: dict[str, style.LineStyle] = {first: {"color": "#666666"}}
    legend |= {name: style.open_markers(k) for k, name in enumerate(others)}
    return legend | curves.closed_form_legend(parts.values(), "singular_values")


def draw_modes(panel: Axes, run: Run, colours: list[str]) -> None:
    """Draw every mode of every flow: the largest in colour, the rest thin and grey."""
    for rank, space in enumerate(reading.flows_with(run, "singular_values")):
        time, values = run[f"{space}.time"], run[f"{space}.singular_values"]
        for r in range(values.shape[1]):
            if r < len(colours):
                markers = style.open_markers(rank - 1, colours[r])
                # other flows often coincide with the first: sparse markers leave it visible
                if rank:
                    markers |= {"markevery": style.marker_spacing(len(time), 12)}
                line_style = markers if rank else {"color": colours[r], "linewidth": 1.9}
                curves.plot(panel, time, values[:, r], line_style)
            elif not rank:
                curves.plot(panel, time, values[:, r], style.FAINT)
    if reading.has_numbers(run, "exact.singular_values"):
        values = run["exact.singular_values"]
        for r in range(min(values.shape[1], len(colours))):
            curves.plot(panel, run["exact.time"], values[:, r], style.EXACT)


def name_modes(panel: Axes, run: Run, colours: list[str]) -> None:
    """Write σ₁, σ₂, … at the right of the axes, at final values; close modes share a label."""
    values = reading.first_flow(run, "singular_values")[:, : len(colours)]
    low, high = panel.get_ylim()
    tall = LABEL_HEIGHT / layout.HEIGHTS[1] * (high - low)
    groups: list[list[int]] = []
    heights = [reading.final(values[:, r]) for r in range(values.shape[1])]
    for r, height in enumerate(heights):
        if not np.isfinite(height):
            continue
        # singular values descend: a label joins the group above it if it would touch its label
        if groups and np.mean([heights[k] for k in groups[-1]]) - height < tall:
            groups[-1].append(r)
        else:
            groups.append([r])
    for group in groups:
        name = with_subscripts("σ", group[0] + 1)
        if len(group) > 1:
            name += ("," if len(group) == 2 else "–") + with_subscripts("σ", group[-1] + 1)
        colour = colours[group[0]] if len(group) == 1 and len(colours) <= 6 else style.INK
        middle = float(np.mean([heights[k] for k in group]))
        layout.label_right(panel, name, middle, 4, color=colour)


def rises(time: np.ndarray, values: np.ndarray) -> list[Rise]:
    """Return the modes that are learned, and when each rises.

    A mode counts if it ends above 1 % of the largest and starts under 10 % of its final value.
    """
    found: list[Rise] = []
    largest = np.nan
    for r in range(values.shape[1]):
        start, end = reading.first_and_last(values[:, r])
        largest = end if r == 0 else largest
        if end > 0.01 * largest and start < 0.1 * end:
            t = [reading.crossing_time(time, values[:, r], part * end) for part in (0.1, 0.5, 0.9)]
            found.append((r, t[0], t[1], t[2]))
    return found


def headline(run: Run) -> str:
    """Return in what order the modes are learned, and when each is half learned."""
    first = reading.flows_with(run, "singular_values")[0]
    time, values = run[f"{first}.time"], run[f"{first}.singular_values"]
    found = rises(time, values)
    if not found:
        return f"The largest singular value {reading.describe_change(values[:, 0])}"
    if len(found) == 1:
        mode, _, half, _ = found[0]
        name = with_subscripts("σ", mode + 1)
        return f"One mode is learned: {name} is half learned at t = {number(half)}"
    # only the first phrase is a full sentence
    halves = [f"{with_subscripts('σ', r + 1)} at {number(half)}" for r, _, half, _ in found]
    first = halves[0].replace(" at ", " is half learned at t = ")
    return f"{describe_order(found)}: {join_words([first, *halves[1:]], most=4)}"


def describe_order(found: list[Rise]) -> str:
    """Return how the rises follow each other."""
    pairs = list(pairwise(found))
    # each mode reaches 10 % after the one before it reached 90 %
    if all(after[1] >= before[3] for before, after in pairs):
        return "Modes are learned one by one"
    spread = max(half for *_, half, _ in found) / min(half for *_, half, _ in found)
    if spread <= 1.02:
        return f"{len(found)} modes are learned together"
    if all(after[2] >= 0.999 * before[2] for before, after in pairs):
        return "Larger modes are learned earlier, in overlapping rises"
    return f"{len(found)} modes are learned"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the number of modes that each variant has at the end."""
    counts = {}
    for name, part in parts.items():
        last = [reading.final(column) for column in reading.first_flow(part, "singular_values").T]
        counts[name] = int(np.sum(np.array(last) > 0.01 * last[0]))
    what = "singular values above 1 % of the largest"
    if len(set(counts.values())) == 1:
        return f"Every variant shown ends with {next(iter(counts.values()))} {what}"
    ends = join_words((f"{count} in {name}" for name, count in counts.items()), most=5)
    return f"At the end, {what}: {ends}"
