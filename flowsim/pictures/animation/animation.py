"""An animation: a figure with parts that change with time, and the renderer of its frames."""

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
"""Added to the order of animated artists: they are drawn over all static ones."""


class AnimatedPart(Protocol):
    """A part of a figure that changes: its artists, and how to show them at a time."""

    def artists(self) -> Sequence[Artist]:
        """Return everything that changes with time."""

    def show(self, moment: float) -> None:
        """Show what is reached by a time."""


@dataclass(frozen=True, eq=False)
class Animation:
    """A figure and its animated parts, from time `first` to `last`, spaced evenly or as log t."""

    figure: Figure
    parts: Sequence[AnimatedPart]
    first: float
    last: float
    log: bool = False

    def moments(self, count: int) -> np.ndarray:
        """Return the times of `count` frames, both ends included."""
        spaced = np.geomspace if self.log else np.linspace
        moments = spaced(self.first, self.last, count)
        # rounding of geomspace must not leave the last iterate out
        moments[-1] = self.last
        return np.asarray(moments)

    def artists(self) -> list[Artist]:
        """Return all animated artists, the lowest first."""
        found = [artist for part in self.parts for artist in part.artists()]
        return sorted(found, key=lambda artist: artist.get_zorder())

    def show(self, moment: float) -> None:
        """Show every part at a time."""
        for part in self.parts:
            part.show(moment)


class FrameRenderer:
    """Renderer of frames: draws the static artists once, and the animated ones over them."""

    def __init__(self, animation: Animation, dpi: float) -> None:
        animation.figure.set_dpi(dpi)
        self.animation = animation
        self.canvas = cast("Any", FigureCanvasAgg(animation.figure))  # its methods have no types
        self.artists = animation.artists()
        for artist in self.artists:
            # static artists are not drawn again: the animated ones must be above all of them
            artist.set_zorder(OVER + artist.get_zorder())
            artist.set_animated(True)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(animation.figure.bbox)

    def frame(self, moment: float) -> Image.Image:
        """Return the frame at a time."""
        self.canvas.restore_region(self.background)
        self.animation.show(moment)
        for artist in self.artists:
            artist.draw(self.canvas.get_renderer())
        return self.picture()

    def whole(self, moment: float) -> Image.Image:
        """Return the frame at a time, with everything drawn again; `frame` must equal it."""
        self.animation.show(moment)
        for artist in self.artists:
            artist.set_animated(False)
        self.canvas.draw()
        for artist in self.artists:
            artist.set_animated(True)
        return self.picture()

    def picture(self) -> Image.Image:
        """Return the pixels of the canvas as an image."""
        pixels = np.asarray(self.canvas.buffer_rgba())
        return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
