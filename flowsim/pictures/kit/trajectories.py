"""Paths of flows, and trajectories of gradient descent, in a plane or over time.

Trajectories at many step sizes are drawn on one panel, and cut where they leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from flowsim.pictures.kit import layout, reading, style
from flowsim.results.run import Run

FINEST = 5e-4
"""Iterates closer than this fraction of the frame are drawn as one."""
APART = 2.5 / 72
"""Iterates at least this many inches apart are drawn as dots."""
MOST = 400
"""Step sizes drawn at most, evenly spaced in their order."""
FAR, HUGE = 1e3, 1e150
"""Bounds on points in fractions of the frame, and before that in data: Agg overflows beyond."""
ARROW = Path([(0, 1), (0.62, -0.8), (0, -0.45), (-0.62, -0.8), (0, 1)], closed=True)
ARROW_SIZE = 6.0
EXIT_MARKER: style.LineStyle = {
    "marker": ARROW, "color": "#8a8a8a", "markersize": ARROW_SIZE, "linestyle": "none",
    "markeredgewidth": 0,
}  # fmt: skip
"""Legend's marker of the arrowheads at which trajectories leave the frame."""

SAME_PATH = 1e-3
"""Paths that deviate by less than this fraction of their length look like one line."""


def flow_paths(run: Run) -> dict[str, np.ndarray]:
    """Return the paths `(time, axis)` of the reference flow and of flows that deviate from it."""
    found: dict[str, np.ndarray] = {}
    for space in reading.FLOWS:
        if reading.has_numbers(run, f"plane.{space}"):
            path = run[f"plane.{space}"]
            first = next(iter(found.values()), None)
            if first is None or largest_distance(first, path) > SAME_PATH * path_length(first):
                found[space] = path
    return found


def path_length(path: np.ndarray) -> float:
    """Return the length of a path; steps with nan are left out."""
    return float(np.nansum(np.linalg.norm(np.diff(path, axis=0), axis=1)))


def largest_distance(path: np.ndarray, points: np.ndarray) -> float:
    """Return the largest distance of points from a polygonal path; nan if either is empty.

    The distance is to the segments, not to the saved points, which may lie far apart.
    """
    path, points = path[np.isfinite(path).all(axis=1)], points[np.isfinite(points).all(axis=1)]
    if not len(path) or not len(points):
        return float("nan")
    start, step = path, np.diff(path, axis=0, append=path[-1:])
    # of a segment of length 0 every fraction is its one point: only 0/0 must be avoided
    squared = np.maximum((step**2).sum(axis=1), 1e-300)
    away = points[:, None, :] - start[None, :, :]
    fraction = np.clip((away * step).sum(axis=2) / squared, 0, 1)
    gaps = np.linalg.norm(away - fraction[:, :, None] * step, axis=2)
    return float(gaps.min(axis=1).max())


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Gradient descent at one step size on a panel, in fractions of its width and height.

    `time` is when each of `points` is reached, `isolated` whether it is drawn as a dot. `direction`
    is the direction in which the last point leaves the frame: zero if unknown, None if the
    trajectory stays inside.
    """

    colour: str
    time: np.ndarray
    points: np.ndarray
    isolated: np.ndarray
    direction: np.ndarray | None

    def count_reached(self, moment: float) -> int:
        """Return the number of points reached by a time."""
        return int(np.searchsorted(self.time, moment * (1 + 1e-12), side="right"))


def trajectories(
    run: Run,
    panel: Axes,
    colours: dict[float, str],
    points: np.ndarray,
    last: float = np.inf,
) -> list[Trajectory]:
    """Return the trajectories of `points(step_size, sample, axis)`, with the largest η last.

    Iterates up to half a step beyond the time `last` count as reached at `last`.
    """
    times = np.minimum(iterate_times(run), last)
    sizes = reading.step_sizes(run)
    picked = np.linspace(0, len(sizes) - 1, min(len(sizes), MOST)).round().astype(int)
    return [
        trajectory(panel, colours[float(sizes[k])], times[k], points[k])
        for k in np.argsort(sizes)[picked]
    ]


def iterate_times(run: Run) -> np.ndarray:
    """Return the times kη of iterates, `(step_size, sample)`."""
    return np.asarray(run["descent.iteration"] * reading.step_sizes(run)[:, None])


def axes_fractions(panel: Axes, points: np.ndarray) -> np.ndarray:
    """Return points in fractions of the panel's width and height."""
    with np.errstate(all="ignore"):
        # differences of larger numbers would overflow in the transformation
        bounded = np.clip(points, -HUGE, HUGE)
        return np.asarray((panel.transScale + panel.transLimits).transform(bounded))


def trajectory(panel: Axes, colour: str, time: np.ndarray, points: np.ndarray) -> Trajectory:
    """Return one trajectory, cut where it leaves the frame for the last time."""
    at = axes_fractions(panel, points)
    with np.errstate(invalid="ignore"):
        inside = (at >= 0).all(axis=1) & (at <= 1).all(axis=1)
    # to the last visit of the frame: a trajectory may leave it and return
    count = int(np.flatnonzero(inside)[-1]) + 1 if inside.any() else 0
    kept = distinguishable(at[:count])
    seen, following = np.clip(at[:count][kept], -FAR, FAR), time[:count][kept]
    if not 0 < count < len(at):
        return Trajectory(colour, following, seen, isolated_points(panel, seen), None)
    place, direction = exit_from_frame(at[count - 1], at[count])
    points = np.vstack([seen, place])
    isolated = np.append(isolated_points(panel, points)[:-1], False)
    return Trajectory(colour, np.append(following, time[count]), points, isolated, direction)


def distinguishable(at: np.ndarray) -> np.ndarray:
    """Return a boolean per point: whether it is drawn apart from the previous one."""
    # iterates in the cell of their predecessor are not visible, and would enlarge the file
    cells = np.round(at / FINEST)
    return np.append(True, (cells[1:] != cells[:-1]).any(axis=1))[: len(at)]


def exit_from_frame(here: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a step from a point inside the frame to one outside leaves it, and the step."""
    direction = np.nan_to_num(following - here, nan=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # steps to each edge, in units of `direction`; the smallest is to the edge that is crossed
        room = np.where(
            direction > 0,
            (1 - here) / direction,
            np.where(direction < 0, -here / direction, np.inf),
        )
    return here + (min(float(room.min()), 1.0) * direction if direction.any() else 0.0), direction


def isolated_points(panel: Axes, points: np.ndarray) -> np.ndarray:
    """Return a boolean per point: whether it is far from the previous or the next one."""
    steps = np.linalg.norm(np.diff(points, axis=0) * layout.panel_size(panel), axis=1) >= APART
    return np.asarray((np.append(False, steps) | np.append(steps, False))[: len(points)])


class TrajectoryArtists:
    """The artists of many trajectories: lines, dots and exits, drawn up to a time."""

    def __init__(self, panel: Axes, shown: Sequence[Trajectory]) -> None:
        self.tracks = shown
        few = len(shown) <= style.FEW
        thin = float(np.clip(3 / max(len(shown), 1) ** 0.5, 0.35, 0.8))
        wide = float(np.clip(9 / max(len(shown), 1) ** 0.5, 1.3, 2.9))
        colours = [trajectory.colour for trajectory in shown]
        self.colours = np.array(colours, dtype=object)
        place = panel.transAxes
        self.lines = LineCollection(
            [], colors=colours, linewidths=thin, alpha=0.8, zorder=2, transform=place
        )
        panel.add_collection(self.lines, autolim=False)
        self.dots = panel.scatter(
            [], [], s=wide**2, linewidths=0, zorder=4 if few else 2.1, transform=place
        )
        self.leaving = [trajectory for trajectory in shown if trajectory.direction is not None]
        self.exits = [draw_exit(panel, trajectory) for trajectory in self.leaving]
        self.artists: Sequence[Artist] = [self.lines, self.dots, *self.exits]
        self.show(np.inf)

    def show(self, moment: float) -> None:
        """Show what is reached by a time."""
        counts = [trajectory.count_reached(moment) for trajectory in self.tracks]
        pairs = list(zip(self.tracks, counts, strict=True))
        self.lines.set_segments([trajectory.points[:n] for trajectory, n in pairs])
        dots = [trajectory.points[:n][trajectory.isolated[:n]] for trajectory, n in pairs]
        self.dots.set_offsets(np.concatenate([np.zeros((0, 2)), *dots]))
        self.dots.set_facecolor(list(np.repeat(self.colours, [len(each) for each in dots])))
        for mark, trajectory in zip(self.exits, self.leaving, strict=True):
            # the factor absorbs the rounding of kη
            mark.set_visible(bool(trajectory.time[-1] <= moment * (1 + 1e-12)))


def draw_exit(panel: Axes, trajectory: Trajectory) -> PathCollection:
    """Draw an arrowhead that points out of the frame, or a cross if the direction is unknown."""
    assert trajectory.direction is not None
    wide, tall = trajectory.direction * layout.panel_size(panel)
    # the angle on paper: fractions of the panel times its size in inches; the arrow points up
    turned = MarkerStyle(ARROW, transform=Affine2D().rotate(np.arctan2(tall, wide) - np.pi / 2))
    return panel.scatter(
        trajectory.points[-1:, 0],
        trajectory.points[-1:, 1],
        s=ARROW_SIZE**2,
        marker=turned if trajectory.direction.any() else MarkerStyle("x"),
        color=trajectory.colour,
        linewidths=0 if trajectory.direction.any() else 0.9,
        clip_on=False,
        zorder=6,
        transform=panel.transAxes,
    )
