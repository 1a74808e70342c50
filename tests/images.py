"""Comparing pictures as image regression does: by the insides of their axes alone.

Text moves with the version of FreeType; what is drawn inside axes at fixed places does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

TOLERANCE = 1.0
Rectangle = tuple[float, float, float, float]
"""Left, bottom, width and height in fractions of the figure."""


def interiors(figure: Figure) -> list[Rectangle]:
    """Return the rectangles of a figure's axes, colour scales included.

    Hatched ones are left out: Agg lays its hatches from the page's upper edge, which moves.
    """
    plain = [axes for axes in figure.axes if not any(p.get_hatch() for p in axes.patches)]
    found = [axes.get_position() for axes in plain]
    return [(box.x0, box.y0, box.width, box.height) for box in found]


def difference(stored: Path, drawn: Path, rectangles: Iterable[Rectangle]) -> float:
    """Return the root mean square difference of grey levels (0–255), the largest of the axes.

    `rectangles` are those of the figure just drawn. Pictures are compared from the lower edge up,
    because a headline of more lines makes a page taller at its top. Each rectangle is shrunk by a
    pixel, so that the axes' own lines do not count.
    """
    one, other = pixels(stored)[::-1], pixels(drawn)[::-1]
    places = [inside(rectangle, other.shape) for rectangle in rectangles]
    assert places, "A comparison needs at least one rectangle."
    needed = max(rows.stop for rows, _ in places)
    assert one.shape[1] == other.shape[1] and len(one) >= needed, (
        f"{stored.name} is {one.shape[1]} × {one.shape[0]} pixels, "
        f"but {drawn.name} is {other.shape[1]} × {other.shape[0]}; draw it again."
    )
    return max(float(np.sqrt(np.mean((one[p] - other[p]) ** 2))) for p in places)


def same_interiors(stored: Path, drawn: Path, rectangles: Iterable[Rectangle]) -> bool:
    """Say whether two pictures agree inside their axes; a curve off by 1 % does not."""
    return difference(stored, drawn, rectangles) <= TOLERANCE


def pixels(path: Path) -> np.ndarray:
    """Return an image as `(row, column, colour)` levels from 0 to 255."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def inside(rectangle: Rectangle, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows, counted from the lowest, and the columns inside a rectangle."""
    (left, bottom, width, height), (rows, columns) = rectangle, shape[:2]
    return within(bottom, bottom + height, rows), within(left, left + width, columns)


def within(start: float, stop: float, count: int) -> slice:
    """Return the pixels between two fractions of `count`, one less at both ends."""
    return slice(int(np.ceil(start * count - 0.01)) + 1, int(stop * count + 0.01) - 1)
