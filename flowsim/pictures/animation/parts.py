"""What moves: paths that grow, points that run at their ends, lines over time, and the clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flowsim.pictures.kit import fan, layout, page, style
from flowsim.pictures.kit.style import Pen
from flowsim.pictures.kit.words import number

CLOCK_LINE = 0.24
CURSOR: Pen = {"color": style.INK, "linewidth": 0.6, "alpha": 0.6, "zorder": 5}


class Path:
    """A flow's curve, in fractions of the panel, which grows between saved times too."""

    def __init__(
        self, panel: Axes, time: np.ndarray, points: np.ndarray, pen: Pen, head: Pen | None = None
    ) -> None:
        at = fan.fractions(panel, points)
        known = np.isfinite(at).all(axis=1)
        self.time, self.points = time[known], at[known]
        (self.line,) = panel.plot([], [], **pen, transform=panel.transAxes)
        (self.head,) = panel.plot([], [], **(head or {}), transform=panel.transAxes)

    def artists(self) -> Sequence[Artist]:
        """Return the line and the point at its end."""
        return [self.line, self.head]

    def show(self, moment: float) -> None:
        """Draw the curve up to a moment."""
        count = int(np.searchsorted(self.time, moment, side="right"))
        here = [np.interp(moment, self.time, axis) for axis in self.points.T]
        drawn = np.vstack([self.points[:count], here])
        self.line.set_data(*drawn.T)
        self.head.set_data(*drawn[-1:].T)


class Heads:
    """The iterates at which descents stand."""

    def __init__(self, panel: Axes, tracks: Sequence[fan.Track]) -> None:
        self.tracks = tracks
        size = float(np.clip(16 / max(len(tracks), 1) ** 0.5, 2.8, 4.6))
        self.colours = np.array([track.colour for track in tracks], dtype=object)
        self.points = panel.scatter(
            [], [], s=size**2, linewidths=0.1 * size, edgecolors="white", zorder=7,
            transform=panel.transAxes,
        )  # fmt: skip

    def artists(self) -> Sequence[Artist]:
        """Return the points."""
        return [self.points]

    def show(self, moment: float) -> None:
        """Put each point where its descent stands; none where that has left the frame."""
        counts = np.array([track.reached(moment) for track in self.tracks])
        ends = np.array([len(t.time) if t.way is not None else np.inf for t in self.tracks])
        here = np.flatnonzero((counts > 0) & (counts < ends)).tolist()
        at = [self.tracks[k].points[counts[k] - 1] for k in here]
        self.points.set_offsets(np.reshape(at, (-1, 2)))
        self.points.set_facecolor(list(self.colours[here]))


class Growing:
    """A line over time that is drawn up to a moment, and whole at the last."""

    def __init__(self, line: Line2D, last: float) -> None:
        self.line, self.last = line, last
        self.x, self.y = np.array(line.get_xdata()), np.array(line.get_ydata())

    def artists(self) -> Sequence[Artist]:
        """Return the line."""
        return [self.line]

    def show(self, moment: float) -> None:
        """Draw the line up to a moment."""
        seen = (self.x <= moment * (1 + 1e-12)) | (moment >= self.last)
        self.line.set_data(self.x[seen], self.y[seen])


class Cursor:
    """The moment as an upright line on panels over time."""

    def __init__(self, panels: Sequence[Axes]) -> None:
        self.lines = [panel.axvline(panel.get_xlim()[0], **CURSOR) for panel in panels]

    def artists(self) -> Sequence[Artist]:
        """Return the lines."""
        return self.lines

    def show(self, moment: float) -> None:
        """Move the lines to a moment."""
        for line in self.lines:
            line.set_xdata([moment, moment])


class Clock:
    """The time t = kη and the iteration k, on a line of their own at the foot of the page.

    It goes to the moment `last`, which tells how many decimals the time has where it runs evenly;
    `name` is what the time is called.
    """

    def __init__(
        self, figure: Figure, sizes: np.ndarray, last: float, evenly: bool, name: str = "t"
    ) -> None:
        layout.heighten(figure, CLOCK_LINE)
        self.sizes, self.last = np.sort(sizes), last
        self.name = f"{name} = kη" if len(sizes) and name != "kη" else name
        self.decimals = 2 - int(np.floor(np.log10(last))) if evenly else -1
        width, height = figure.get_size_inches()
        x, y = page.EDGE / width, 0.09 / height
        self.text = figure.text(x, y, "", size=8.5, weight="bold", parse_math=False)

    def artists(self) -> Sequence[Artist]:
        """Return the text."""
        return [self.text]

    def show(self, moment: float) -> None:
        """Write the time, and the iterations of the smallest and the largest step size."""
        self.text.set_text(self.said(moment))

    def said(self, moment: float) -> str:
        """Return what the clock says at a moment."""
        time = f"{self.name} = {self.written(moment)}"
        steps = moment * (1 + 1e-12) / self.sizes
        counts = [int(k) for k in (np.round(steps) if moment >= self.last else np.floor(steps))]
        if not counts:
            return time
        if len(counts) == 1:
            return f"{time}   iteration k = {counts[0]}"
        small, large = (number(float(self.sizes[end])) for end in (0, -1))
        return f"{time}   iteration k = {counts[0]} at η = {small} … {counts[-1]} at η = {large}"

    def written(self, moment: float) -> str:
        """Write a moment with as many decimals as the whole time asks for."""
        if not 0 <= self.decimals <= 5:
            return number(moment)
        return f"{moment:.{self.decimals}f}"
