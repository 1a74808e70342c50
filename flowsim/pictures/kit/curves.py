"""Drawing curves on a panel: flows, exact solutions and descent; axes that guard against zeros."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from flowsim.pictures.kit import reading, style
from flowsim.pictures.kit.style import Pen
from flowsim.pictures.kit.words import distinct, number
from flowsim.results.run import Run

MOST_DECADES = 20
LEAST_RATIO = 8
SAME_SPAN = 4
NICE = [1, 2, 5, 10]
EDGE_MARK: Pen = {"linestyle": "none", "clip_on": False, "zorder": 5, "markersize": 5.0}


def time_axis(axes: Iterable[Axes], times: Sequence[np.ndarray], log: bool) -> None:
    """Fit the time axis to `times`; logarithmic if asked and more than one time is positive."""
    known = finite(times)
    positive = known[known > 0]
    log = log and positive.size > 1 and positive.max() > positive.min()
    low, high = (positive.min(), positive.max()) if log else (known.min(), known.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    for panel in axes:
        if log:
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(numticks=6))
            if high / low > 1e3:
                panel.xaxis.set_minor_locator(NullLocator())
        else:
            nice_ticks(panel.xaxis, 6 if panel_width(panel) > 1.6 else 4)
        panel.set_xlim(float(low), float(high))


def time_axes(panels: Sequence[Axes], times: Sequence[Sequence[np.ndarray]], log: bool) -> None:
    """Fit the time axes of panels, given each one's times: the same where that shows them all.

    Where the longest run is over four times as long as the shortest, each has its own.
    """
    spans = [float(finite(of_panel).max()) for of_panel in times]
    if max(spans) <= SAME_SPAN * min(spans):
        time_axis(panels, [time for of_panel in times for time in of_panel], log)
        return
    for panel, of_panel in zip(panels, times, strict=True):
        time_axis([panel], of_panel, log)


def panel_size(panel: Axes) -> np.ndarray:
    """Return the width and the height of a panel in inches."""
    figure = panel.get_figure(root=True)
    assert figure is not None  # a panel is made on a page
    return np.asarray(panel.get_position().size * figure.get_size_inches())


def panel_width(panel: Axes) -> float:
    """Return the width of a panel in inches."""
    return float(panel_size(panel)[0])


def finite(values: Iterable[np.ndarray]) -> np.ndarray:
    """Return all finite values of the arrays in one."""
    known = np.concatenate([np.zeros(0), *(np.ravel(v) for v in values)])
    return np.asarray(known[np.isfinite(known)])


def log_limits(known: np.ndarray) -> tuple[float, float] | None:
    """Return logarithmic limits that hold the positive values, or none where linear is better.

    That is where a value is negative, none is positive, or all lie within a factor of eight.
    Nothing more than twenty decades under the largest value is shown.
    """
    positive = known[known > 0]
    if not positive.size or (known < 0).any():
        return None
    high = float(positive.max())
    low = max(float(positive.min()), high * 10.0**-MOST_DECADES)
    if high < LEAST_RATIO * low:
        return None
    pad = max((high / low) ** 0.06, 1.3)
    return low / pad, high * pad


def linear_limits(known: np.ndarray) -> tuple[float, float]:
    """Return limits that hold the values, down to zero where they come near it."""
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    low = 0.0 if 0 < low < 0.3 * high else low
    size = max(abs(low), abs(high))
    pad = 0.05 * (high - low) if high - low > 0.02 * size else 0.1 * size or 0.5
    return low - pad, high + pad


def log_axis(axes: Iterable[Axes], values: Iterable[np.ndarray]) -> float:
    """Fit the value axis to these values, logarithmic where that shows them; return its top."""
    known = finite(values)
    limits = log_limits(known)
    if limits is None:
        return plain_axis(axes, [known])
    for panel in axes:
        panel.set_yscale("log", nonpositive="mask")
        panel.yaxis.set_major_locator(LogLocator(numticks=7))
        if limits[1] / limits[0] > 1e3:
            panel.yaxis.set_minor_locator(NullLocator())
        panel.set_ylim(*limits)
    return limits[1]


def plain_axis(axes: Iterable[Axes], values: Iterable[np.ndarray]) -> float:
    """Fit a linear value axis to all finite values; return its top."""
    low, high = linear_limits(finite(values))
    for panel in axes:
        nice_ticks(panel.yaxis, 6)
        panel.set_ylim(low, high)
    return high


def nice_ticks(axis: Axis, most: int) -> None:
    """Put ticks at round numbers, each written out in full."""
    axis.set_major_locator(MaxNLocator(most, steps=NICE))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))


def plot(panel: Axes, time: np.ndarray, values: np.ndarray, pen: Pen, shift: int = 0) -> None:
    """Draw one curve; on a logarithmic time axis without t = 0."""
    if panel.get_xscale() == "log":
        time, values = time[time > 0], values[time > 0]
    panel.plot(time, values, **style.dotted(pen, len(time), shift))


LEAST_KEY = "of least nuclear norm"


def least_levels(runs: Iterable[Run], measure: str) -> np.ndarray:
    """Return a measure of each run's solution of least nuclear norm, equal ones once."""
    known = np.sort(finite([np.array([reading.least(run, measure)]) for run in runs]))
    apart = np.diff(known, prepend=-np.inf) > 1e-3 * np.abs(known)
    return np.asarray(known[apart])


def draw_levels(panel: Axes, levels: np.ndarray) -> None:
    """Draw a dotted line across the panel at each level."""
    for level in levels:
        panel.axhline(level, **style.LEVEL)


def flow_pens(run: Run, variable: str) -> dict[str, Pen]:
    """Return the pen of each flow that has this variable: the reference broad, others as marks."""
    found = reading.spaces(run, variable)
    return {s: style.open_marks(k - 1) if k else style.FLOW for k, s in enumerate(found)}


def flow_keys(run: Run, variable: str) -> dict[str, Pen]:
    """Return the legend of flows and, where there is one, the closed form of this variable."""
    keys = {reading.FLOWS[space]: pen for space, pen in flow_pens(run, variable).items()}
    return keys | (
        {"closed form": style.EXACT} if reading.drawable(run, f"exact.{variable}") else {}
    )


def draw_flows(panel: Axes, run: Run, variable: str) -> None:
    """Draw a scalar of every flow, and its closed form where there is one."""
    for space, pen in flow_pens(run, variable).items():
        plot(panel, run[f"{space}.time"], run[f"{space}.{variable}"], pen)
    if reading.drawable(run, f"exact.{variable}"):
        plot(panel, run["exact.time"], run[f"exact.{variable}"], style.EXACT)


def step_axis(panel: Axes, sizes: np.ndarray) -> None:
    """Fit a logarithmic axis of step sizes, with some of them as ticks."""
    span = float(sizes.max() / sizes.min()) ** 0.08 * 1.05
    panel.set_xscale("log")
    panel.set_xlim(float(sizes.min()) / span, float(sizes.max()) * span)
    ticks = spread(np.sort(sizes))
    panel.set_xticks(ticks, labels=distinct(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("step size η")


def spread(sizes: np.ndarray) -> list[float]:
    """Choose step sizes to write on the axis so that their numbers do not touch."""
    apart = np.log(sizes[-1] / sizes[0]) / 5
    chosen = [float(sizes[0])]
    for size in sizes[1:]:
        if np.log(size / chosen[-1]) >= apart:
            chosen.append(float(size))
    return chosen


def step_keys(runs: Iterable[Run]) -> dict[str, Pen]:
    """Return the legend of the step sizes of these runs; empty where a colour scale serves."""
    runs = list(runs)
    sizes = reading.all_step_sizes(runs)
    if not 0 < len(sizes) <= style.FEW:
        return {}
    always = [all_diverged(runs, size) for size in sizes]
    labels = reading.step_labels(sizes, np.array(always))
    return dict(zip(labels, style.step_pens(sizes), strict=True))


def all_diverged(runs: Sequence[Run], size: float) -> bool:
    """Say whether descent at this step size diverged in every run that took it."""
    return all(bool(reading.diverged(run)[reading.step_sizes(run) == size].all()) for run in runs)


def draw_descent(
    panel: Axes,
    run: Run,
    values: np.ndarray,
    sizes: np.ndarray,
    top: float,
    time: np.ndarray | None = None,
) -> None:
    """Draw `values(step_size, sample)` with the pens of `sizes`; mark where one leaves or ends.

    `time(step_size, sample)` are descent's own times where it is left out.
    """
    pens, lost = style.step_pens(sizes), reading.diverged(run)
    time = run["descent.time"] if time is None else time
    logs = panel.get_yscale() == "log"
    for k, size in enumerate(reading.step_sizes(run)):
        rank = int(np.flatnonzero(sizes == size)[0])
        plot(panel, time[k], values[k], pens[rank], shift=rank)
        where = leaves(time[k], values[k], top, logs)
        if where is not None and (where[1] == top or lost[k]):
            marker = "^" if where[1] == top else "x"
            panel.plot(*where, marker=marker, color=pens[rank]["color"], **EDGE_MARK)


def leaves(
    time: np.ndarray, values: np.ndarray, top: float, log: bool
) -> tuple[float, float] | None:
    """Return where a diverging curve leaves through `top`, or else its last finite point."""
    with np.errstate(invalid="ignore"):
        inside = np.isfinite(values) & (values <= top)
    if not inside.any():
        return None
    k = len(values) if inside.all() else int(np.argmin(inside))
    if k == 0 or k == len(values) or not np.isfinite(values[k]):
        last = int(np.flatnonzero(inside)[-1]) if k == 0 else k - 1
        return float(time[last]), float(values[last])
    low, high, edge = float(values[k - 1]), float(values[k]), top
    if log and low > 0:
        low, high, edge = np.log(low), np.log(high), np.log(edge)
    share = (edge - low) / (high - low)
    return float(time[k - 1] + share * (time[k] - time[k - 1])), top


def settled(run: Run, values: np.ndarray, within: float, slack: float = 1e3) -> list[np.ndarray]:
    """Return what of `values(step_size, sample)` should set the axis.

    Of a diverged descent what is no larger than `within`; of a completed one, which may swing far
    out, what is no larger than `slack` times that.
    """
    with np.errstate(invalid="ignore"):
        return [
            np.where(row <= within * (1 if lost else slack), row, np.nan)
            for row, lost in zip(values, reading.diverged(run), strict=True)
        ]
