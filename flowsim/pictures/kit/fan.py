"""Curves of a family of step sizes on one panel: each stays in the frame, or leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from flowsim.pictures.kit import curves, reading, style
from flowsim.results.run import Run

FINEST = 5e-4
"""Iterates that are closer than this share of the frame are drawn as one."""
APART = 2.5 / 72
"""Iterates are dots where this many inches lie between them."""
MOST = 400
"""Of more step sizes so many are drawn, evenly picked."""
FAR, HUGE = 1e3, 1e150
ARROW = Path([(0, 1), (0.62, -0.8), (0, -0.45), (-0.62, -0.8), (0, 1)], closed=True)
ARROW_SIZE = 6.0
LEAVING: style.Pen = {
    "marker": ARROW, "color": "#8a8a8a", "markersize": ARROW_SIZE, "linestyle": "none",
    "markeredgewidth": 0,
}  # fmt: skip
"""What stands in legends for the arrowheads at which curves leave the frame."""


@dataclass(frozen=True, eq=False)
class Track:
    """One descent on a panel, in fractions of the panel's width and height.

    `time` is when each of `points` is reached, `alone` whether it is an iterate that stands apart.
    `way` is the direction in which the last one leaves the frame: zero where no direction is known,
    none where the curve stays.
    """

    colour: str
    time: np.ndarray
    points: np.ndarray
    alone: np.ndarray
    way: np.ndarray | None

    def reached(self, moment: float) -> int:
        """Return how many points are reached by a moment."""
        return int(np.searchsorted(self.time, moment * (1 + 1e-12), side="right"))


def tracks(
    run: Run,
    panel: Axes,
    colours: dict[float, str],
    points: np.ndarray,
    last: float = np.inf,
) -> list[Track]:
    """Return curves `points(step_size, sample, axis)` on a panel, that of the largest η last.

    Iterates count as reached at the moment `last` that lie up to half a step beyond it.
    """
    times = np.minimum(moments(run), last)
    sizes = reading.step_sizes(run)
    picked = np.linspace(0, len(sizes) - 1, min(len(sizes), MOST)).round().astype(int)
    return [
        track(panel, colours[float(sizes[k])], times[k], points[k])
        for k in np.argsort(sizes)[picked]
    ]


def moments(run: Run) -> np.ndarray:
    """Return when iterates are reached, kη `(step_size, sample)`."""
    return np.asarray(run["descent.iteration"] * reading.step_sizes(run)[:, None])


def fractions(panel: Axes, points: np.ndarray) -> np.ndarray:
    """Return where points lie, in fractions of the panel's width and height."""
    with np.errstate(all="ignore"):
        bounded = np.clip(points, -HUGE, HUGE)
        return np.asarray((panel.transScale + panel.transLimits).transform(bounded))


def track(panel: Axes, colour: str, time: np.ndarray, points: np.ndarray) -> Track:
    """Return one curve, cut off where it leaves the frame for good."""
    at = fractions(panel, points)
    with np.errstate(invalid="ignore"):
        inside = (at >= 0).all(axis=1) & (at <= 1).all(axis=1)
    count = int(np.flatnonzero(inside)[-1]) + 1 if inside.any() else 0
    kept = distinct(at[:count])
    seen, then = np.clip(at[:count][kept], -FAR, FAR), time[:count][kept]
    if not 0 < count < len(at):
        return Track(colour, then, seen, stands_alone(panel, seen), None)
    place, way = leaving(at[count - 1], at[count])
    points = np.vstack([seen, place])
    alone = np.append(stands_alone(panel, points)[:-1], False)
    return Track(colour, np.append(then, time[count]), points, alone, way)


def distinct(at: np.ndarray) -> np.ndarray:
    """Say of each point whether it can be told from the one before."""
    cells = np.round(at / FINEST)
    return np.append(True, (cells[1:] != cells[:-1]).any(axis=1))[: len(at)]


def leaving(here: np.ndarray, then: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the way from a point within the frame to one without leaves it, and the way."""
    way = np.nan_to_num(then - here, nan=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(way > 0, (1 - here) / way, np.where(way < 0, -here / way, np.inf))
    return here + (min(float(room.min()), 1.0) * way if way.any() else 0.0), way


def stands_alone(panel: Axes, points: np.ndarray) -> np.ndarray:
    """Say of each point whether it is apart from the last or the next."""
    steps = np.linalg.norm(np.diff(points, axis=0) * curves.panel_size(panel), axis=1) >= APART
    return np.asarray((np.append(False, steps) | np.append(steps, False))[: len(points)])


class Fan:
    """The artists of many curves: lines, dots and exits, drawn up to a moment."""

    def __init__(self, panel: Axes, every: Sequence[Track]) -> None:
        self.tracks = every
        few = len(every) <= style.FEW
        thin = float(np.clip(3 / max(len(every), 1) ** 0.5, 0.35, 0.8))
        wide = float(np.clip(9 / max(len(every), 1) ** 0.5, 1.3, 2.9))
        colours = [track.colour for track in every]
        self.colours = np.array(colours, dtype=object)
        place = panel.transAxes
        self.lines = LineCollection(
            [], colors=colours, linewidths=thin, alpha=0.8, zorder=2, transform=place
        )
        panel.add_collection(self.lines, autolim=False)
        self.dots = panel.scatter(
            [], [], s=wide**2, linewidths=0, zorder=4 if few else 2.1, transform=place
        )
        self.leaving = [track for track in every if track.way is not None]
        self.exits = [draw_exit(panel, track) for track in self.leaving]
        self.show(np.inf)

    def artists(self) -> list[LineCollection | PathCollection]:
        """Return everything that changes with the moment."""
        return [self.lines, self.dots, *self.exits]

    def show(self, moment: float) -> None:
        """Show what is reached by a moment."""
        counts = [track.reached(moment) for track in self.tracks]
        pairs = list(zip(self.tracks, counts, strict=True))
        self.lines.set_segments([track.points[:n] for track, n in pairs])
        dots = [track.points[:n][track.alone[:n]] for track, n in pairs]
        self.dots.set_offsets(np.concatenate([np.zeros((0, 2)), *dots]))
        self.dots.set_facecolor(list(np.repeat(self.colours, [len(each) for each in dots])))
        for mark, track in zip(self.exits, self.leaving, strict=True):
            mark.set_visible(bool(track.time[-1] <= moment * (1 + 1e-12)))


def draw_exit(panel: Axes, track: Track) -> PathCollection:
    """Draw an arrowhead that points out of the frame, or a cross where no direction is known."""
    assert track.way is not None
    wide, tall = track.way * curves.panel_size(panel)
    turned = MarkerStyle(ARROW, transform=Affine2D().rotate(np.arctan2(tall, wide) - np.pi / 2))
    return panel.scatter(
        track.points[-1:, 0],
        track.points[-1:, 1],
        s=ARROW_SIZE**2,
        marker=turned if track.way.any() else MarkerStyle("x"),
        color=track.colour,
        linewidths=0 if track.way.any() else 0.9,
        clip_on=False,
        zorder=6,
        transform=panel.transAxes,
    )
