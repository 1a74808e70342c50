"""The layout of a figure: a headline, a grid of panels and a legend at fixed places in inches.

Axes never move with the text around them, so that two versions of Matplotlib, or two fonts, draw
the same interiors. Legends are in a strip under the panels, never inside. A headline of one more
line makes the figure taller at its top; what is below stays, to the pixel, where it was, since all
lengths are multiples of a pixel, 0.005 in.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import legends, scales, style
from flowsim.pictures.kit.legends import CHARACTER, EDGE
from flowsim.pictures.kit.reading import Subject, describe_incomplete
from flowsim.pictures.kit.style import LineStyle
from flowsim.pictures.kit.words import truncate

NARROW, MIDDLE, WIDE = 3.4, 5.0, 7.0
"""Widths of a figure in inches: a journal's column, one and a half, and two."""
DPI = 200
LEFT, RIGHT, LABELLED = 0.68, 0.16, 0.52
"""Inches at the left of all panels, at their right, and there if labels stand beside curves."""
SHARED_AXIS, OWN_AXIS = 0.2, 0.68
"""Inches between panels that share the value axis, and between panels with one each."""
HEIGHTS = {1: 1.95, 2: 1.95, 3: 1.55, 4: 1.25}
"""Inches of a panel's height, by number of columns."""
TOP, CONTEXT_LINE, HEADLINE_LINE, NAME_LINE = 0.09, 0.135, 0.15, 0.17
AXIS_LINE, TICK_LINE, LEGEND_LINE = 0.40, 0.24, 0.135
MOST_LINES = 3
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class PanelGrid:
    """A figure and its panels, row by row from the upper left.

    `strip` is the legend's height, and `gap` the space between panels, in inches.
    """

    figure: Figure
    panels: tuple[Axes, ...]
    columns: int
    strip: float
    gap: float

    def label(self, x: str, *y: str) -> None:
        """Label the axes that panels share: x under the lowest panels, y at the left of each row.

        Panels with their own axes are all labelled. Of several y, each belongs to one row or panel.
        """
        if self.gap >= OWN_AXIS:
            for panel, own in zip(self.panels, cycle(y), strict=False):
                panel.set(xlabel=x, ylabel=own)
            return
        for panel in self.panels[-self.columns :]:
            panel.set_xlabel(x)
        for k, panel in enumerate(self.panels):
            if k % self.columns:
                panel.tick_params(axis="y", which="both", labelleft=False)
            else:
                panel.set_ylabel(y[k // self.columns % len(y)])

    def add_row(self, count: int, tall: float, wide: float, gap: float) -> tuple[Axes, ...]:
        """Add small axes side by side below all panels, in inches; `under` must leave the space."""
        width, height = self.figure.get_size_inches()
        y = (self.strip + AXIS_LINE) / height
        lefts = [(LEFT + k * (wide + gap)) / width for k in range(count)]
        return tuple(self.figure.add_axes((x, y, wide / width, tall / height)) for x in lefts)

    def add_scale_axes(self, panel: Axes | None = None) -> Axes:
        """Add narrow axes for a colour scale at the right of a panel, by default the last."""
        box, width = (panel or self.panels[-1]).get_position(), self.figure.get_figwidth()
        return self.figure.add_axes((box.x1 + 0.07 / width, box.y0, 0.09 / width, box.height))


def columns_for(panels: int) -> int:
    """Return the number of columns for this many panels."""
    return {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}.get(panels, 4)


def figure_width(panels: int) -> float:
    """Return the width of a figure: a journal's column for one panel, two columns for more."""
    return NARROW if panels == 1 else WIDE


def column_width(
    panels: int, width: float | None = None, right: float = RIGHT, gap: float = SHARED_AXIS
) -> float:
    """Return the width of each of this many panels in inches."""
    columns = columns_for(panels)
    return ((width or figure_width(panels)) - LEFT - right - (columns - 1) * gap) / columns


def panel_grid(
    subject: Subject,
    *,
    panels: int | None = None,
    names: Sequence[str] = (),
    alone: Sequence[str] = (),
    legend: Mapping[str, LineStyle] | None = None,
    steps: scales.StepScale | None = None,
    right: float = RIGHT,
    gap: float | None = None,
    under: float = 0.0,
    width: float | None = None,
    tall: float | None = None,
) -> PanelGrid:
    """Return a new figure with empty panels, its headline and its legend.

    Parameters
    ----------
    subject
        Gives the headline, and the line above it: the scenario's title, and what is missing.
    panels, names
        The number of panels and the names above them; by default one panel per part, named after
        its variant.
    alone
        The names of the panels of a run without variants, if it has several.
    legend
        Line styles by label.
    steps
        Colour scale of the step sizes, drawn under the legend.
    right, gap, under
        Inches kept free at the right of panels, between them, and below all (`add_row`). Between
        panels these are `OWN_AXIS` for those of a run `alone`, else `SHARED_AXIS`.
    width, tall
        Inches of the figure's width and of the panels' height, if not the usual ones.

    """
    if alone and not subject.run.variants:
        panels, names, gap = len(alone), alone, gap or OWN_AXIS
    if panels is None:
        panels, names = len(subject.parts), list(subject.parts) if subject.run.variants else ()
    gap, legend, width = gap or SHARED_AXIS, legend or {}, width or figure_width(panels)
    if subject.axes is not None:
        return _within(subject.axes, panels, under, legend, steps)
    lines = wrap_headline(subject.headline, width)
    # all heights are added up before the figure is made: axes are placed in fractions of it
    legend_rows, legend_columns = legends.shape(list(legend), width)
    strip = legend_rows * LEGEND_LINE + 0.06 + (steps.height if steps is not None else 0.0)
    name_line = NAME_LINE if names else 0.0
    above = TOP + CONTEXT_LINE + HEADLINE_LINE * len(lines) + 0.05 + name_line
    between, below = TICK_LINE + name_line + 0.03, AXIS_LINE + under + strip
    columns, wide = columns_for(panels), column_width(panels, width, right, gap)
    rows, tall = -(-panels // columns), tall or HEIGHTS[columns]
    exact = above + rows * tall + (rows - 1) * between + below
    # in whole pixels; Matplotlib truncates to them: without the 1e-3, rounding could cost one
    height = (round(exact * DPI) + 1e-3) / DPI

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = []
    for k in range(panels):
        row, column = divmod(k, columns)
        x, y = LEFT + column * (wide + gap), height - above - tall - row * (tall + between)
        axes.append(figure.add_axes((x / width, y / height, wide / width, tall / height)))
    name_panels(axes, names, int(wide / CHARACTER))
    write_headline(figure, context_line(subject, width), lines)
    if legend:
        legends.draw(figure, legend, legend_columns, strip)
    if steps is not None:
        scales.draw(figure, steps, LEFT)
    return PanelGrid(figure, tuple(axes), columns, strip, gap)


def _within(
    axes: Axes,
    panels: int,
    under: float,
    legend: Mapping[str, LineStyle],
    steps: scales.StepScale | None,
) -> PanelGrid:
    """Return the grid of axes that the user gives, with a legend inside.

    Raises
    ------
    ValueError
        If the figure has more than one panel.

    """
    if panels != 1 or under:
        count = f"{panels} panels" if panels > 1 else "small panels below the large one"
        raise ValueError(f"ax takes figures of one panel, but this one has {count}; leave out ax.")
    legends.draw_within(axes, {**legend, **({} if steps is None else steps.entries())})
    return PanelGrid(figure_of(axes), (axes,), 1, 0.0, SHARED_AXIS)


def figure_of(panel: Axes) -> Figure:
    """Return the figure of a panel."""
    figure = panel.get_figure(root=True)
    assert figure is not None  # panels are made in a figure
    return figure


def panel_size(panel: Axes) -> np.ndarray:
    """Return the width and the height of a panel in inches."""
    return np.asarray(panel.get_position().size * figure_of(panel).get_size_inches())


def label_right(panel: Axes, text: str, height: float, shift: float, **font: Any) -> None:
    """Write a label `shift` points right of the axes, at a height in data."""
    panel.annotate(
        text, (1, height), xycoords=("axes fraction", "data"), xytext=(shift, 0),
        textcoords="offset points", va="center", annotation_clip=False, **font,
    )  # fmt: skip


def set_aspect(panel: Axes, ratio: float) -> None:
    """Give a panel the aspect ratio height/width `ratio`, within its box and at its lower left."""
    box, (width, height) = panel.get_position(), figure_of(panel).get_size_inches()
    wide = min(box.width * width, box.height * height / ratio)
    panel.set_position((box.x0, box.y0, wide / width, wide * ratio / height))


def set_horizontal(panel: Axes, left: float, wide: float) -> None:
    """Set the left edge and the width of a panel in inches."""
    box, width = panel.get_position(), figure_of(panel).get_figwidth()
    panel.set_position((left / width, box.y0, wide / width, box.height))


def name_panels(panels: Sequence[Axes], names: Sequence[str], characters: int) -> None:
    """Write names above panels, truncated to the number of characters that fit above one."""
    for panel, name in zip(panels, names, strict=False):
        panel.set_title(truncate(name, characters), loc="left", parse_math=False)


def wrap_headline(headline: str, width: float) -> list[str]:
    """Break a headline into at most three lines; a relation stays with its two sides."""
    characters = int((width - 2 * EDGE) / 0.0545)
    # textwrap breaks at spaces, but not at this one
    joined = re.sub(r" (?=[=≤≥%])|(?<=[=≤≥]) ", NO_BREAK, headline)
    lines = textwrap.wrap(joined, characters, max_lines=MOST_LINES, placeholder=" …")
    return [line.replace(NO_BREAK, " ") for line in lines] or [""]


def context_line(subject: Subject, width: float) -> str:
    """Return the line above the headline: the scenario's title and what is missing."""
    characters = int((width - 2 * EDGE) / 0.0495)
    missing, title = "; ".join(describe_incomplete(subject)), subject.run.scenario.title
    if not missing:
        return truncate(title, characters)
    title = truncate(title, max(characters - len(missing) - 3, 12))
    return truncate(f"{title} · {missing}", characters)


def write_headline(figure: Figure, above: str, lines: Sequence[str]) -> None:
    """Write the context line and the headline from the upper left corner down."""
    width, height = figure.get_size_inches()
    x, y = EDGE / width, 1 - TOP / height
    figure.text(x, y, above, size=6.2, color="#666666", va="top", parse_math=False)
    y -= CONTEXT_LINE / height
    for k, line in enumerate(lines):
        down = k * HEADLINE_LINE / height
        figure.text(x, y - down, line, size=7.6, color=style.INK, va="top", parse_math=False)


def extend_below(figure: Figure, inches: float) -> None:
    """Add space below everything in a figure; what is drawn keeps its size and its order."""
    width, height = figure.get_size_inches()
    tall = height + inches
    for axes in figure.axes:
        box = axes.get_position()
        low = (box.y0 * height + inches) / tall
        axes.set_position((box.x0, low, box.width, box.height * height / tall))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * height + inches) / tall)
    for legend in figure.legends:
        corner = legend.get_bbox_to_anchor().transformed(figure.transFigure.inverted())
        moved = (corner.x0, (corner.y0 * height + inches) / tall)
        legend.set_bbox_to_anchor(moved, transform=figure.transFigure)
    figure.set_size_inches(width, tall)
