"""Figures in motion: a figure whose curves are drawn up to a moment, and the film of its moments.

What stands still is drawn once; each frame draws over it what moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

OVER = 100
"""What moves is drawn over what stands still, in its own order."""


class Part(Protocol):
    """What moves in a figure: the artists that change, and how to show them at a moment."""

    def artists(self) -> Sequence[Artist]:
        """Return everything that changes with the moment."""

    def show(self, moment: float) -> None:
        """Show what is reached by a moment."""


@dataclass(frozen=True, eq=False)
class Moving:
    """A figure and its moving parts, from the moment `first` to `last`, evenly in `log` if so."""

    figure: Figure
    parts: Sequence[Part]
    first: float
    last: float
    log: bool = False

    def moments(self, count: int) -> np.ndarray:
        """Return so many moments, both ends included."""
        spaced = np.geomspace if self.log else np.linspace
        moments = spaced(self.first, self.last, count)
        moments[-1] = self.last
        return np.asarray(moments)

    def artists(self) -> list[Artist]:
        """Return all that moves, the lowest first."""
        found = [artist for part in self.parts for artist in part.artists()]
        return sorted(found, key=lambda artist: artist.get_zorder())

    def show(self, moment: float) -> None:
        """Bring every part to a moment."""
        for part in self.parts:
            part.show(moment)


class Projector:
    """Draws the frames of a moving figure: what stands still once, the rest over it each time."""

    def __init__(self, moving: Moving, dpi: float) -> None:
        moving.figure.set_dpi(dpi)
        self.moving = moving
        self.canvas = cast("Any", FigureCanvasAgg(moving.figure))  # its methods have no types
        self.artists = moving.artists()
        for artist in self.artists:
            artist.set_zorder(OVER + artist.get_zorder())
            artist.set_animated(True)
        self.canvas.draw()
        self.still = self.canvas.copy_from_bbox(moving.figure.bbox)

    def frame(self, moment: float) -> Image.Image:
        """Return the picture at a moment."""
        self.canvas.restore_region(self.still)
        self.moving.show(moment)
        for artist in self.artists:
            artist.draw(self.canvas.get_renderer())
        return self.picture()

    def whole(self, moment: float) -> Image.Image:
        """Return the picture at a moment drawn anew as a whole: what `frame` has to equal."""
        self.moving.show(moment)
        for artist in self.artists:
            artist.set_animated(False)
        self.canvas.draw()
        for artist in self.artists:
            artist.set_animated(True)
        return self.picture()

    def picture(self) -> Image.Image:
        """Return what is on the canvas."""
        pixels = np.asarray(self.canvas.buffer_rgba())
        return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
