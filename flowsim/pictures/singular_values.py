"""Singular values of the end-to-end matrix over time: which modes are learned, and when."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import indexed, listed, number
from flowsim.results.run import Run

TOP_MODES = 10
LABEL_HEIGHT = 0.105
Rise = tuple[int, float, float, float]
"""A mode, and when it reached a tenth, a half and nine tenths of its final value."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_no_flow(run, "singular_values")


def draw(run: Run) -> Figure:
    """Draw σ_r(t): the first flow as lines, others as marks, the closed form dashed."""
    parts = reading.fitted(run, why_unavailable)
    shown = max(modes_of(part) for part in parts.values())
    keys = key_pens(parts)
    if run.variants:
        keys |= {indexed("σ", r + 1): {"color": c} for r, c in enumerate(style.colours(shown))}
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys=keys,
        right=page.RIGHT if run.variants else page.LABELLED,
    )
    spectra = [(p, s) for p in parts.values() for s in reading.spaces(p, "singular_values")]
    times = [reading.flow_times(part) for part in parts.values()]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    curves.plain_axis(sheet.panels, [p[f"{s}.singular_values"] for p, s in spectra])
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        draw_modes(panel, part, style.colours(shown))
    if not run.variants:
        name_modes(sheet.panels[0], run, style.colours(shown))
    sheet.label("time t", "singular values of W")
    return sheet.figure


def modes_of(run: Run) -> int:
    """Return how many modes are drawn in colour."""
    first = reading.spaces(run, "singular_values")[0]
    return min(int(run[f"{first}.singular_values"].shape[1]), TOP_MODES)


def key_pens(parts: dict[str, Run]) -> dict[str, style.Pen]:
    """Return the legend of flows and closed form."""
    first, others = reading.first_and_others(
        [reading.spaces(part, "singular_values") for part in parts.values()]
    )
    keys: dict[str, style.Pen] = {first: {"color": "#666666"}}
    keys |= {name: style.open_marks(k) for k, name in enumerate(others)}
    if any(reading.drawable(part, "exact.singular_values") for part in parts.values()):
        keys["closed form"] = style.EXACT
    return keys


def draw_modes(panel: Axes, run: Run, colours: list[str]) -> None:
    """Draw every mode of every flow: the largest in colour, the rest thin and grey."""
    for rank, space in enumerate(reading.spaces(run, "singular_values")):
        time, values = run[f"{space}.time"], run[f"{space}.singular_values"]
        for r in range(values.shape[1]):
            if r < len(colours):
                marks = style.open_marks(rank - 1, colours[r])
                if rank:
                    marks |= {"markevery": style.sparse(len(time), 12)}
                pen = marks if rank else {"color": colours[r], "linewidth": 1.9}
                curves.plot(panel, time, values[:, r], pen)
            elif not rank:
                curves.plot(panel, time, values[:, r], style.FAINT)
    if reading.drawable(run, "exact.singular_values"):
        values = run["exact.singular_values"]
        for r in range(min(values.shape[1], len(colours))):
            curves.plot(panel, run["exact.time"], values[:, r], style.EXACT)


def name_modes(panel: Axes, run: Run, colours: list[str]) -> None:
    """Write σ₁, σ₂, … at the right of the axes where each mode ends; close ones together."""
    first = reading.spaces(run, "singular_values")[0]
    values = run[f"{first}.singular_values"][:, : len(colours)]
    low, high = panel.get_ylim()
    tall = LABEL_HEIGHT / page.HEIGHTS[1] * (high - low)
    groups: list[list[int]] = []
    heights = [reading.ends(values[:, r])[1] for r in range(values.shape[1])]
    for r, height in enumerate(heights):
        if not np.isfinite(height):
            continue
        if groups and np.mean([heights[k] for k in groups[-1]]) - height < tall:
            groups[-1].append(r)
        else:
            groups.append([r])
    for group in groups:
        name = indexed("σ", group[0] + 1)
        if len(group) > 1:
            name += ("," if len(group) == 2 else "–") + indexed("σ", group[-1] + 1)
        panel.annotate(
            name,
            (1, float(np.mean([heights[k] for k in group]))),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=colours[group[0]] if len(group) == 1 and len(colours) <= 6 else style.INK,
            annotation_clip=False,
        )


def rises(time: np.ndarray, values: np.ndarray) -> list[Rise]:
    """Return the modes that grow from nearly nothing, and when each does.

    A mode counts if it ends above a hundredth of the largest and starts under a tenth of its end.
    """
    found: list[Rise] = []
    largest = np.nan
    for r in range(values.shape[1]):
        start, end = reading.ends(values[:, r])
        largest = end if r == 0 else largest
        if end > 0.01 * largest and start < 0.1 * end:
            t = [reading.crossing(time, values[:, r], share * end) for share in (0.1, 0.5, 0.9)]
            found.append((r, t[0], t[1], t[2]))
    return found


def headline(run: Run) -> str:
    """Say in what order the modes are learned, as far as the numbers show an order."""
    first = reading.spaces(run, "singular_values")[0]
    time, values = run[f"{first}.time"], run[f"{first}.singular_values"]
    found = rises(time, values)
    if not found:
        return f"The largest singular value {reading.course(values[:, 0])}"
    if len(found) == 1:
        mode, _, half, _ = found[0]
        return f"One mode is learned: {indexed('σ', mode + 1)} is halfway at t = {number(half)}"
    halves = listed(
        (
            f"{indexed('σ', r + 1)} {'is halfway at t =' if k == 0 else 'at'} {number(half)}"
            for k, (r, _, half, _) in enumerate(found)
        ),
        most=4,
    )
    return f"{order(found)}: {halves}"


def order(found: list[Rise]) -> str:
    """Say how rises follow each other."""
    pairs = list(pairwise(found))
    if all(after[1] >= before[3] for before, after in pairs):
        return "Modes are learned one by one"
    spread = max(half for *_, half, _ in found) / min(half for *_, half, _ in found)
    if spread <= 1.02:
        return f"{len(found)} modes are learned together"
    if all(after[2] >= 0.999 * before[2] for before, after in pairs):
        return "Larger modes are learned earlier, in overlapping rises"
    return f"{len(found)} modes are learned"


def over_variants(parts: dict[str, Run]) -> str:
    """Say how many modes each variant ends with."""
    counts = {}
    for name, part in parts.items():
        first = reading.spaces(part, "singular_values")[0]
        last = [reading.ends(column)[1] for column in part[f"{first}.singular_values"].T]
        counts[name] = int(np.sum(np.array(last) > 0.01 * last[0]))
    what = "singular values above 1 % of the largest"
    if len(set(counts.values())) == 1:
        return f"Every variant shown ends with {next(iter(counts.values()))} {what}"
    ends = listed((f"{count} in {name}" for name, count in counts.items()), most=5)
    return f"At the end, {what}: {ends}"
