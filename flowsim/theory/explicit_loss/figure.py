"""Whether the end-to-end flow is the gradient flow of an explicit loss.

It is if the Jacobian of its field is symmetric, and so if every circulation is 0. Of one run each
asymmetry and circulation is drawn over a bar: its rounding bound. Variants are cells of a table: a
row per loss, a column per depth, a panel per number of outputs. If two variants would share a cell,
each has its own row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from flowsim.pictures.kit import layout, reading, style
from flowsim.pictures.kit.words import join_words, number, truncate
from flowsim.results.run import Run
from flowsim.scenario.spec.scenario import Scenario

FLOOR = 1e-17
"""Smaller values, and 0, are drawn at this height."""

ROUNDING: style.LineStyle = {"facecolor": "#bbbbbb", "alpha": 0.6, "linewidth": 0}
LINE_STYLES: dict[str, style.LineStyle] = {
    "on the trajectory": {"color": "#D55E00", "marker": "o", "linestyle": "none"},
    "random matrix": {"color": "#0072B2", "marker": "s", "linestyle": "none"},
    "loop of Arora, Cohen & Hazan": {"color": "#009E73", "marker": "D", "linestyle": "none"},
}
ON_TRAJECTORY, RANDOM, LOOP = LINE_STYLES.values()

CELLS: dict[str, style.LineStyle] = {
    "gradient": {"facecolor": "#A6D5F2", "edgecolor": "white", "linewidth": 1.2},
    "no gradient": {"facecolor": "#F3C98B", "edgecolor": "white", "linewidth": 1.2},
    "undecided": {"facecolor": "#E6E6E6", "edgecolor": "white", "linewidth": 1.2},
}
MARKS = {"gradient": "✓", "no gradient": "✗", "undecided": "?"}
LEGEND: dict[str, style.LineStyle] = {
    "largest asymmetry ‖J − Jᵀ‖/‖J‖ of the Jacobian J": {
        "linestyle": "none", "marker": "$J$", "color": style.INK,
    },
    "largest circulation around closed loops": {
        "linestyle": "none", "marker": r"$\oint$", "color": style.INK, "markersize": 5.5,
    },
}  # fmt: skip
ROW = 12
"""Characters per line of a row's name."""

LINE = 0.105
"""Inches per line of text in a cell."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "explicit_loss.circulation")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw asymmetries and circulations of a run, or the table of its variants."""
    run = subject.run
    if run.variants:
        return draw_variants(subject)
    legend = {**LINE_STYLES, "0 within rounding": ROUNDING}
    on_it, loops = np.isfinite(run["explicit_loss.time"]), run["explicit_loss.circulation"]
    names = (
        f"asymmetry of the Jacobian at {len(on_it)} points",
        f"circulation around {len(loops)} closed loops",
    )
    grid = layout.panel_grid(subject, panels=2, names=names, legend=legend)
    asymmetry, circulation = grid.panels
    draw_with_bounds(
        asymmetry,
        run["explicit_loss.asymmetry"],
        run["explicit_loss.asymmetry_bound"],
        [ON_TRAJECTORY if known else RANDOM for known in on_it],
    )
    draw_with_bounds(
        circulation,
        np.abs(loops),
        run["explicit_loss.circulation_error"],
        [LOOP, *(ON_TRAJECTORY if known else RANDOM for known in on_it)],
    )
    grid.label("", "relative size")
    asymmetry.set_xlabel("matrix W")
    circulation.set_xlabel("loop: that of the proof, then circles around each W")
    return grid


def draw_with_bounds(
    panel: Axes, values: np.ndarray, bounds: np.ndarray, line_styles: list[style.LineStyle]
) -> None:
    """Draw each value over a bar up to its bound; nan is left out."""
    for k, (value, bound, line_style) in enumerate(zip(values, bounds, line_styles, strict=True)):
        if not np.isfinite(value):
            continue
        panel.bar(k, max(bound, FLOOR) - FLOOR / 3, 0.8, FLOOR / 3, **ROUNDING)
        low = value < FLOOR
        panel.plot(
            k, max(value, FLOOR), **{**line_style, "marker": "v" if low else line_style["marker"]}
        )
    panel.set_yscale("log")
    panel.set_ylim(FLOOR / 3, 5)
    panel.yaxis.set_major_locator(LogLocator(numticks=7))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    panel.set_xlim(-0.7, len(values) - 0.3)
    panel.grid(visible=False, axis="x")


def headline(run: Run) -> str:
    """Return whether an explicit loss exists, and the largest asymmetry and circulation."""
    answer = float(run["explicit_loss.conservative"])
    found = largest_values(run)
    sentence = " and ".join(f"{what} {size}" for what, size in found.items())
    if np.isnan(answer):
        return f"Undecided whether there is an explicit loss: {sentence}"
    if not answer:
        return f"The end-to-end field is the gradient of no loss: {sentence} at most"
    apart = run["explicit_loss.closed_form_deviation"]
    if np.isfinite(apart).any():
        known = number(float(np.nanmax(apart)), 1)
        sentence += f"; the integrated F agrees with its closed form within {known}"
    return f"The end-to-end field is the gradient of an explicit loss F: {sentence}"


@dataclass(frozen=True)
class Place:
    """The place of a variant: the names of its panel, row and column."""

    panel: str
    row: str
    column: str


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one cell per variant: its answer, and the numbers behind it."""
    parts = subject.parts
    places = table_places(parts)
    panels, rows, columns = (
        list(dict.fromkeys(getattr(place, side) for place in places.values()))
        for side in ("panel", "row", "column")
    )
    columns.sort()
    answers = {name: answer(part) for name, part in parts.items()}
    cells = {f"{MARKS[a]} {a}": CELLS[a] for a in CELLS if a in answers.values()}
    grid = layout.panel_grid(
        subject,
        panels=len(panels),
        names=panels,
        legend=cells | LEGEND,
    )
    for panel in grid.panels:
        fit_axes(panel, rows, columns)
    for name, place in places.items():
        panel = grid.panels[panels.index(place.panel)]
        corner = columns.index(place.column), rows.index(place.row)
        panel.add_patch(Rectangle(corner, 1, 1, **CELLS[answers[name]]))
        asymmetry, circulation = largest_values(parts[name]).values()
        lines = [MARKS[answers[name]], f"J  {asymmetry}", f"∮  {circulation}"]
        write_cell(panel, corner, lines, len(rows))
    grid.label(*("depth N", "loss") if any(columns) else ("variants, by name", "name"))
    of_rows = grid.panels[0].yaxis
    of_rows.set_label_coords(-0.02, 1.02)
    of_rows.label.set(rotation=0, ha="right", va="bottom")
    return grid


def table_places(parts: dict[str, Run]) -> dict[str, Place]:
    """Return each variant's place by its loss, outputs and depth, or by its name."""
    places = {name: grid_place(part.scenario) for name, part in parts.items()}
    # a shared cell: loss, outputs and depth do not distinguish these variants
    if max(Counter(places.values()).values()) > 1:
        return {name: Place("", name, "") for name in parts}
    return places


def grid_place(scenario: Scenario) -> Place:
    """Return the place of a scenario by its loss, outputs and depth."""
    outputs, depth = scenario.network.widths[-1], len(scenario.network.widths) - 1
    loss = scenario.loss
    kind = loss.kind if loss.quadratic else loss.label
    if scenario.data is not None and scenario.data.whiten:
        kind += ", whitened"
    return Place(f"{outputs} output{'s' if outputs > 1 else ''}", kind, f"{depth:>2}")


def answer(run: Run) -> str:
    """Return the answer, a key of `CELLS`."""
    value = float(run["explicit_loss.conservative"])
    return "undecided" if np.isnan(value) else ("gradient" if value else "no gradient")


def largest_values(run: Run) -> dict[str, str]:
    """Return the largest asymmetry and circulation, or 0 with the largest bound."""
    found = {"asymmetry": "asymmetry_bound", "circulation": "circulation_error"}
    return {name: largest_or_zero(run, name, error) for name, error in found.items()}


def largest_or_zero(run: Run, name: str, error: str) -> str:
    """Return the largest of a row of numbers, or 0 ± its bound if all are within their bounds."""
    values, bounds = np.abs(run[f"explicit_loss.{name}"]), run[f"explicit_loss.{error}"]
    known = np.isfinite(values) & np.isfinite(bounds)
    if not known.any():
        return "unknown"
    # within its bound a value is rounding, so the bound is what was measured
    if (values[known] <= bounds[known]).all():
        bound = float(bounds[known].max())
        return f"0 ± {number(bound, 1)}" if bound else "0"
    return number(float(values[known].max()), 2)


def fit_axes(panel: Axes, rows: list[str], columns: list[str]) -> None:
    """Fit the axes to rows and columns, and label them."""
    panel.set_xlim(0, len(columns))
    panel.set_ylim(len(rows), 0)
    panel.set_xticks(np.arange(len(columns)) + 0.5, labels=[column.strip() for column in columns])
    names = ["\n".join(wrap(truncate(row, 99), ROW, max_lines=3, placeholder="…")) for row in rows]
    panel.set_yticks(np.arange(len(rows)) + 0.5, labels=names)
    panel.tick_params(length=0)
    panel.tick_params(axis="y", labelsize=min(6.5, 65 * layout.HEIGHTS[1] / len(rows)))
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)
    for label in panel.get_yticklabels():
        label.set_parse_math(False)


def write_cell(panel: Axes, corner: tuple[int, int], lines: list[str], rows: int) -> None:
    """Write lines into a cell: below each other, side by side, or not at all if it is too low."""
    room = layout.HEIGHTS[1] / rows / LINE
    # not even one line fits: the colour of the cell is the answer
    if room < 1:
        return
    text = ("\n" if room >= len(lines) else "   ").join(lines)
    x, y = corner[0] + 0.5, corner[1] + 0.5
    panel.text(x, y, text, ha="center", va="center", fontsize=5.8, linespacing=1.25)


def over_variants(parts: dict[str, Run]) -> str:
    """Return how many fields at each depth are the gradient of an explicit loss."""
    depths = {name: len(part.scenario.network.widths) - 1 for name, part in parts.items()}
    held = [name for name, part in parts.items() if answer(part) == "gradient"]
    every, kept = Counter(depths.values()), Counter(depths[name] for name in held)
    counts = {d: f"{kept[d]} of {every[d]}" if kept[d] else "none" for d in sorted(every)}
    sentence = join_words(f"{count} at depth {depth}" for depth, count in counts.items())
    return f"Fields that are the gradient of an explicit loss: {sentence}"
