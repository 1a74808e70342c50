"""An animation: a figure with parts that change with time, and the renderer of its frames.

Parts are growing paths and lines, markers at iterates, and the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from flowsim.pictures.kit import layout, legends, style, trajectories
from flowsim.pictures.kit.style import LineStyle
from flowsim.pictures.kit.words import number

OVER = 100
"""Added to the order of animated artists: they are drawn over all static ones."""
CLOCK_LINE = 0.24
CURSOR: LineStyle = {"color": style.INK, "linewidth": 0.6, "alpha": 0.6, "zorder": 5}


class AnimatedPart(Protocol):
    """A part of a figure: its artists, which change with time, and how to show them at a time."""

    artists: Sequence[Artist]

    def show(self, moment: float) -> None:
        """Show what is reached by a time."""


class GrowingPath:
    """A flow's path, drawn up to a time, interpolated between saved times."""

    def __init__(
        self,
        panel: Axes,
        time: np.ndarray,
        points: np.ndarray,
        line_style: LineStyle,
        head: LineStyle,
    ) -> None:
        at = trajectories.axes_fractions(panel, points)
        known = np.isfinite(at).all(axis=1)
        self.time, self.points = time[known], at[known]
        (self.line,) = panel.plot([], [], **line_style, transform=panel.transAxes)
        (self.head,) = panel.plot([], [], **head, transform=panel.transAxes)
        self.artists: Sequence[Artist] = [self.line, self.head]

    def show(self, moment: float) -> None:
        """Draw the path up to a time."""
        count = int(np.searchsorted(self.time, moment, side="right"))
        here = [np.interp(moment, self.time, axis) for axis in self.points.T]
        # the last piece ends between two saved times, so that the head moves evenly
        drawn = np.vstack([self.points[:count], here])
        self.line.set_data(*drawn.T)
        self.head.set_data(*drawn[-1:].T)


class IterateMarkers:
    """A marker per step size at the current iterate."""

    def __init__(self, panel: Axes, shown: Sequence[trajectories.Trajectory]) -> None:
        self.trajectories = shown
        size = float(np.clip(16 / max(len(shown), 1) ** 0.5, 2.8, 4.6))
        self.colours = np.array([track.colour for track in shown], dtype=object)
        self.points = panel.scatter(
            [], [], s=size**2, linewidths=0.1 * size, edgecolors="white", zorder=7,
            transform=panel.transAxes,
        )  # fmt: skip
        self.artists: Sequence[Artist] = [self.points]

    def show(self, moment: float) -> None:
        """Place the markers at the iterates of a time; those outside the frame are not drawn."""
        counts = np.array([track.count_reached(moment) for track in self.trajectories])
        ends = np.array(
            [len(t.time) if t.direction is not None else np.inf for t in self.trajectories]
        )
        here = np.flatnonzero((counts > 0) & (counts < ends)).tolist()
        at = [self.trajectories[k].points[counts[k] - 1] for k in here]
        self.points.set_offsets(np.reshape(at, (-1, 2)))
        self.points.set_facecolor(list(self.colours[here]))


class GrowingLine:
    """A line over time, drawn up to a time, and entirely at the last."""

    def __init__(self, line: Line2D, last: float) -> None:
        self.line, self.last = line, last
        self.artists: Sequence[Artist] = [line]
        self.x, self.y = np.array(line.get_xdata()), np.array(line.get_ydata())

    def show(self, moment: float) -> None:
        """Draw the line up to a time."""
        # the last time shows everything: iterates may be recorded up to half a step beyond it
        seen = (self.x <= moment * (1 + 1e-12)) | (moment >= self.last)
        self.line.set_data(self.x[seen], self.y[seen])


class TimeCursor:
    """A vertical line at the current time, on panels over time."""

    def __init__(self, panels: Sequence[Axes]) -> None:
        self.lines = [panel.axvline(panel.get_xlim()[0], **CURSOR) for panel in panels]
        self.artists: Sequence[Artist] = self.lines

    def show(self, moment: float) -> None:
        """Move the lines to a time."""
        for line in self.lines:
            line.set_xdata([moment, moment])


class TimeLabel:
    """The time t = kη and the iteration k, in a line at the bottom of the figure.

    The number of decimals follows from the last time if frames are spaced evenly; `name` is the
    symbol of the time.
    """

    def __init__(
        self, figure: Figure, sizes: np.ndarray, last: float, evenly: bool, name: str = "t"
    ) -> None:
        layout.extend_below(figure, CLOCK_LINE)
        self.sizes, self.last = np.sort(sizes), last
        self.name = f"{name} = kη" if len(sizes) and name != "kη" else name
        # three significant digits of the last time
        self.decimals = 2 - int(np.floor(np.log10(last))) if evenly else -1
        width, height = figure.get_size_inches()
        x, y = legends.EDGE / width, 0.09 / height
        self.text = figure.text(x, y, "", size=8.5, weight="bold", parse_math=False)
        self.artists: Sequence[Artist] = [self.text]

    def show(self, moment: float) -> None:
        """Write the time and the iterations of the smallest and the largest step size."""
        self.text.set_text(self.label(moment))

    def label(self, moment: float) -> str:
        """Return the text at a time."""
        time = f"{self.name} = {self.format_time(moment)}"
        steps = moment * (1 + 1e-12) / self.sizes
        # before the end: the iterate reached; at the end: the one recorded nearest to it
        counts = [int(k) for k in (np.round(steps) if moment >= self.last else np.floor(steps))]
        if not counts:
            return time
        if len(counts) == 1:
            return f"{time}   iteration k = {counts[0]}"
        small, large = (number(float(self.sizes[end])) for end in (0, -1))
        return f"{time}   iteration k = {counts[0]} at η = {small} … {counts[-1]} at η = {large}"

    def format_time(self, moment: float) -> str:
        """Return a time with fixed decimals, so that the text does not jump between frames."""
        if not 0 <= self.decimals <= 5:
            return number(moment)
        return f"{moment:.{self.decimals}f}"


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
        found = [artist for part in self.parts for artist in part.artists]
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
