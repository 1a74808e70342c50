"""The sheet a figure is drawn on: a headline, panels and a legend strip at fixed places in inches.

Axes never move with the text around them, so that two versions of matplotlib, or two fonts, draw
the same interiors; legends lie in a strip under the panels, never inside. A headline that takes
another line makes the page taller and leaves what is below it, to the pixel, as far from the
lower edge as before: all lengths are multiples of a pixel, 0.005 in.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from flowsim.pictures.kit import scales, style
from flowsim.pictures.kit.reading import shortfalls
from flowsim.pictures.kit.style import Pen
from flowsim.pictures.kit.words import clipped
from flowsim.results.run import Run

NARROW, MIDDLE, WIDE = 3.4, 5.0, 7.0
DPI = 200
LEFT, RIGHT, LABELLED, SHARED_AXIS, OWN_AXIS = 0.68, 0.16, 0.52, 0.2, 0.68
HEIGHTS = {1: 1.95, 2: 1.95, 3: 1.55, 4: 1.25}
TOP, CONTEXT_LINE, HEADLINE_LINE, NAME_LINE = 0.09, 0.135, 0.15, 0.17
AXIS_LINE, TICK_LINE, LEGEND_LINE = 0.40, 0.24, 0.135
CHARACTER, HANDLE, EDGE = 0.0505, 0.42, 0.1
MOST_LINES = 3
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Page:
    """A figure and its panels, row by row from the upper left; `strip` is the legend's height."""

    figure: Figure
    panels: tuple[Axes, ...]
    columns: int
    strip: float

    def lowest(self) -> list[Axes]:
        """Return the panels with none below them."""
        return list(self.panels[-self.columns :])

    def label(self, x: str, y: str) -> None:
        """Name axes that panels share: x under the lowest, y at the left of each row."""
        for panel in self.lowest():
            panel.set_xlabel(x)
        for k, panel in enumerate(self.panels):
            if k % self.columns:
                panel.tick_params(axis="y", which="both", labelleft=False)
            else:
                panel.set_ylabel(y)

    def row(self, count: int, tall: float, wide: float, gap: float) -> tuple[Axes, ...]:
        """Return small axes side by side below all panels, of these inches, above their labels."""
        width, height = self.figure.get_size_inches()
        y = (self.strip + AXIS_LINE) / height
        lefts = [(LEFT + k * (wide + gap)) / width for k in range(count)]
        return tuple(self.figure.add_axes((x, y, wide / width, tall / height)) for x in lefts)

    def beside(self, panel: Axes | None = None) -> Axes:
        """Return narrow axes at the right of a panel, the last if none, for a colour scale."""
        box, width = (panel or self.panels[-1]).get_position(), self.figure.get_figwidth()
        return self.figure.add_axes((box.x1 + 0.07 / width, box.y0, 0.09 / width, box.height))


def columns_for(panels: int) -> int:
    """Return how many panels stand side by side."""
    return {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}.get(panels, 4)


@dataclass(frozen=True)
class Measures:
    """The places of panels on a page, in inches from the lower left corner."""

    panels: int
    above: float
    below: float
    between: float
    right: float
    gap: float
    own_width: float | None = None
    own_height: float | None = None

    @property
    def columns(self) -> int:
        """Return how many panels stand side by side."""
        return columns_for(self.panels)

    @property
    def width(self) -> float:
        """Return the width of the page."""
        return self.own_width or page_width(self.panels)

    @property
    def tall(self) -> float:
        """Return the height of a panel."""
        return self.own_height or HEIGHTS[self.columns]

    @property
    def wide(self) -> float:
        """Return the width of a panel."""
        room = self.width - LEFT - self.right - (self.columns - 1) * self.gap
        return room / self.columns

    @property
    def height(self) -> float:
        """Return the height of the page, in whole pixels."""
        rows = -(-self.panels // self.columns)
        exact = self.above + rows * self.tall + (rows - 1) * self.between + self.below
        return (round(exact * DPI) + 1e-3) / DPI

    def rectangle(self, k: int) -> tuple[float, float, float, float]:
        """Return the place of panel `k` in fractions of the page: left, bottom, width, height."""
        row, column = divmod(k, self.columns)
        x = LEFT + column * (self.wide + self.gap)
        y = self.height - self.above - self.tall - row * (self.tall + self.between)
        w, h = self.width, self.height
        return x / w, y / h, self.wide / w, self.tall / h


def page_width(panels: int) -> float:
    """Return the width of a page: a journal's column for one panel, two columns for more."""
    return NARROW if panels == 1 else WIDE


def open_page(
    run: Run,
    headline: str,
    *,
    panels: int = 1,
    names: Sequence[str] = (),
    keys: Mapping[str, Pen] | None = None,
    steps: scales.StepScale | None = None,
    drawn: Collection[str] = (),
    right: float = RIGHT,
    gap: float = SHARED_AXIS,
    under: float = 0.0,
    width: float | None = None,
    tall: float | None = None,
) -> Page:
    """Lay out a page.

    `run` gives the line above the headline: the scenario's title, and flows that fell short.
    `headline` says what is seen, `names` stand above the panels, `keys` is the legend (a pen by
    label), `steps` the colour scale of step sizes; `drawn` are the variants that are shown;
    `right` and `gap` are the inches kept free at the right of panels and between them, `under`
    those below all panels, for `Page.row`; `width` is that of the page and `tall` the height of
    panels, where the usual do not suit.
    """
    keys, across = keys or {}, width or page_width(panels)
    lines = wrapped(headline, across)
    rows, columns = legend_shape(list(keys), across)
    strip = rows * LEGEND_LINE + 0.06 + (steps.height if steps is not None else 0.0)
    name_line = NAME_LINE if names else 0.0
    above = TOP + CONTEXT_LINE + HEADLINE_LINE * len(lines) + 0.05 + name_line
    between = TICK_LINE + name_line + 0.03
    places = Measures(panels, above, AXIS_LINE + under + strip, between, right, gap, width, tall)

    figure = Figure(figsize=(across, places.height), dpi=DPI, facecolor="white")
    axes = tuple(figure.add_axes(places.rectangle(k)) for k in range(panels))
    name_panels(axes, names, int(places.wide / CHARACTER))
    write_headline(figure, context(run, drawn, across), lines)
    if keys:
        write_legend(figure, keys, columns, strip)
    if steps is not None:
        scales.write(figure, steps, LEFT)
    return Page(figure, axes, places.columns, strip)


def name_panels(panels: Sequence[Axes], names: Sequence[str], characters: int) -> None:
    """Write names above panels, cut to as many characters as stand above one."""
    for panel, name in zip(panels, names, strict=False):
        panel.set_title(clipped(name, characters), loc="left", parse_math=False)


def wrapped(headline: str, width: float) -> list[str]:
    """Break a headline into at most three lines, by counting characters."""
    characters = int((width - 2 * EDGE) / 0.0545)
    joined = re.sub(r" (?=[=≤≥%])|(?<=[=≤≥]) ", NO_BREAK, headline)
    lines = textwrap.wrap(joined, characters, max_lines=MOST_LINES, placeholder=" …")
    return [line.replace(NO_BREAK, " ") for line in lines] or [""]


def context(run: Run, drawn: Collection[str], width: float) -> str:
    """Return the line above the headline: the scenario's title and what fell short."""
    characters = int((width - 2 * EDGE) / 0.0495)
    short = "; ".join(shortfalls(run, drawn))
    if not short:
        return clipped(run.scenario.title, characters)
    title = clipped(run.scenario.title, max(characters - len(short) - 3, 12))
    return clipped(f"{title} · {short}", characters)


def write_headline(figure: Figure, above: str, lines: Sequence[str]) -> None:
    """Write the context line and the headline from the upper left corner down."""
    width, height = figure.get_size_inches()
    x, y = EDGE / width, 1 - TOP / height
    figure.text(x, y, above, size=6.2, color="#666666", va="top", parse_math=False)
    y -= CONTEXT_LINE / height
    for k, line in enumerate(lines):
        down = k * HEADLINE_LINE / height
        figure.text(x, y - down, line, size=7.6, color=style.INK, va="top", parse_math=False)


def legend_shape(labels: Sequence[str], width: float) -> tuple[int, int]:
    """Return the rows and columns that hold these labels, by counting characters."""
    if not labels:
        return 0, 1
    longest = HANDLE + CHARACTER * max(len(label) for label in labels)
    columns = int(np.clip((width - 2 * EDGE) // longest, 1, len(labels)))
    rows = -(-len(labels) // columns)
    return rows, -(-len(labels) // rows)


def handle(pen: Pen) -> Line2D | Patch:
    """Return what stands for a pen in a legend."""
    return Patch(**pen) if "facecolor" in pen else Line2D([], [], **pen)


def write_legend(figure: Figure, keys: Mapping[str, Pen], columns: int, strip: float) -> None:
    """Write the legend at the top of the strip under the panels."""
    width, height = figure.get_size_inches()
    legend = figure.legend(
        [handle(pen) for pen in keys.values()],
        [clipped(label, 60) for label in keys],
        loc="upper left",
        bbox_to_anchor=(EDGE / width, strip / height),
        ncols=columns,
    )
    for label in legend.get_texts():
        label.set_parse_math(False)
