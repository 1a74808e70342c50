"""Legends: in a strip under the panels, whose height is known before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from flowsim.pictures.kit.style import LineStyle
from flowsim.pictures.kit.words import truncate

CHARACTER, HANDLE, EDGE = 0.0505, 0.42, 0.1
"""Inches of a character of a legend or title on average, of a legend's handle, of the margin.

Text is fitted by counting characters: measuring it would make the layout depend on the font.
"""


def shape(labels: Sequence[str], width: float) -> tuple[int, int]:
    """Return the rows and columns that hold these labels, by counting characters."""
    if not labels:
        return 0, 1
    longest = HANDLE + CHARACTER * max(len(label) for label in labels)
    columns = int(np.clip((width - 2 * EDGE) // longest, 1, len(labels)))
    rows = -(-len(labels) // columns)
    # the fewest columns for these rows: the last row is then as full as possible
    return rows, -(-len(labels) // rows)


def handle(line_style: LineStyle) -> Line2D | Patch:
    """Return the handle of a line style in a legend: a patch if it fills, else a line."""
    return Patch(**line_style) if "facecolor" in line_style else Line2D([], [], **line_style)


def draw(figure: Figure, legend: Mapping[str, LineStyle], columns: int, strip: float) -> None:
    """Draw the legend at the top of the strip under the panels."""
    width, height = figure.get_size_inches()
    drawn = figure.legend(
        [handle(line_style) for line_style in legend.values()],
        [truncate(label, 60) for label in legend],
        loc="upper left",
        bbox_to_anchor=(EDGE / width, strip / height),
        ncols=columns,
    )
    _as_written(drawn)


def draw_within(axes: Axes, legend: Mapping[str, LineStyle]) -> None:
    """Draw a legend inside axes, where Matplotlib finds it fits best."""
    if legend:
        handles = [handle(line_style) for line_style in legend.values()]
        _as_written(axes.legend(handles, list(legend)))


def _as_written(legend: Legend) -> None:
    # labels contain names that users choose, in which a $ is not mathematics
    for label in legend.get_texts():
        label.set_parse_math(False)
