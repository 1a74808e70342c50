"""Curves on a panel, of flows, closed forms and descent, and axes that hold them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from flowsim.pictures.kit import layout, reading, style
from flowsim.pictures.kit.style import LineStyle
from flowsim.pictures.kit.words import distinct_numbers, number
from flowsim.results.run import Run

MOST_DECADES = 20
"""Decades that a logarithmic axis shows at most: double precision resolves 16."""
LEAST_RATIO = 8
"""Values within this factor are drawn on a linear axis: within a decade few ticks are labelled."""
SAME_SPAN = 4
"""Ratio of the longest to the shortest run up to which panels share one time axis."""
NICE = [1, 2, 5, 10]
EDGE_MARKER: LineStyle = {"linestyle": "none", "clip_on": False, "zorder": 5, "markersize": 5.0}
MINIMUM_NORM_LABEL = "minimum nuclear norm"


def fit_time_axis(panels: Iterable[Axes], times: Sequence[np.ndarray], log: bool) -> None:
    """Fit the time axis to `times`, logarithmic if `log` and if two times are positive."""
    known = finite_values(times)
    positive = known[known > 0]
    log = log and positive.size > 1 and positive.max() > positive.min()
    low, high = (positive.min(), positive.max()) if log else (known.min(), known.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    for panel in panels:
        if log:
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(numticks=6))
            # minor ticks of more than three decades merge into a bar
            if high / low > 1e3:
                panel.xaxis.set_minor_locator(NullLocator())
        else:
            round_ticks(panel.xaxis, 6 if layout.panel_size(panel)[0] > 1.6 else 4)
        panel.set_xlim(float(low), float(high))


def time_axes(
    panels: Sequence[Axes],
    runs: Collection[Run],
    times_of: Callable[[Run], Sequence[np.ndarray]] = reading.flow_times,
) -> None:
    """Fit the time axes of panels with one run each to the times that it has to show."""
    fit_time_axes(panels, [times_of(run) for run in runs], reading.has_log_times(runs))


def fit_time_axes(panels: Sequence[Axes], times: Sequence[Sequence[np.ndarray]], log: bool) -> None:
    """Fit the time axes of panels to their times: shared unless they differ much in length.

    A run shorter than a quarter of the longest would be squeezed; then each panel has its own axis.
    """
    spans = [float(finite_values(of_panel).max()) for of_panel in times]
    if max(spans) <= SAME_SPAN * min(spans):
        fit_time_axis(panels, [time for of_panel in times for time in of_panel], log)
        return
    for panel, of_panel in zip(panels, times, strict=True):
        fit_time_axis([panel], of_panel, log)


def finite_values(values: Iterable[np.ndarray]) -> np.ndarray:
    """Return all finite values of the arrays in one."""
    known = np.concatenate([np.zeros(0), *(np.ravel(v) for v in values)])
    return np.asarray(known[np.isfinite(known)])


def log_limits(known: np.ndarray) -> tuple[float, float] | None:
    """Return limits of a logarithmic axis for these values, or None if a linear axis is better.

    A linear axis is better if a value is negative, if none is positive, or if all lie within a
    factor of `LEAST_RATIO`. Values over `MOST_DECADES` decades below the largest are not shown.
    """
    positive = known[known > 0]
    if not positive.size or (known < 0).any():
        return None
    high = float(positive.max())
    low = max(float(positive.min()), high * 10.0**-MOST_DECADES)
    if high < LEAST_RATIO * low:
        return None
    # a fixed part of the axis: the power of the span, in logarithms, is a fraction of its length
    pad = max((high / low) ** 0.06, 1.3)
    return low / pad, high * pad


def linear_limits(known: np.ndarray) -> tuple[float, float]:
    """Return limits of a linear axis for these values; 0 is included if it is near."""
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    low = 0.0 if 0 < low < 0.3 * high else low
    size = max(abs(low), abs(high))
    # values constant to 2 % get an axis of a fifth of their size, which does not magnify noise
    pad = 0.05 * (high - low) if high - low > 0.02 * size else 0.1 * size or 0.5
    return low - pad, high + pad


def log_axis(axes: Iterable[Axes], values: Iterable[np.ndarray]) -> float:
    """Fit the value axis to these values, logarithmic if that suits them, and return its top."""
    known = finite_values(values)
    limits = log_limits(known)
    if limits is None:
        return plain_axis(axes, [known])
    for panel in axes:
        # masked: clipping zeros would draw lines down to the frame
        panel.set_yscale("log", nonpositive="mask")
        panel.yaxis.set_major_locator(LogLocator(numticks=7))
        if limits[1] / limits[0] > 1e3:
            panel.yaxis.set_minor_locator(NullLocator())
        panel.set_ylim(*limits)
    return limits[1]


def plain_axis(axes: Iterable[Axes], values: Iterable[np.ndarray]) -> float:
    """Fit a linear value axis to all finite values and return its top."""
    low, high = linear_limits(finite_values(values))
    for panel in axes:
        round_ticks(panel.yaxis, 6)
        panel.set_ylim(low, high)
    return high


def round_ticks(axis: Axis, most: int) -> None:
    """Put at most `most` ticks at round numbers, without an offset or a common power of ten."""
    axis.set_major_locator(MaxNLocator(most, steps=NICE))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))


def plot(
    panel: Axes, time: np.ndarray, values: np.ndarray, line_style: LineStyle, shift: int = 0
) -> None:
    """Draw one curve; a logarithmic time axis leaves out t = 0."""
    if panel.get_xscale() == "log":
        time, values = time[time > 0], values[time > 0]
    panel.plot(time, values, **style.with_markers(line_style, len(time), shift))


def draw_parts(
    panel: Axes,
    times: Iterable[np.ndarray],
    values: Iterable[np.ndarray],
    line_styles: Mapping[str, LineStyle],
) -> None:
    """Draw one curve of each part, in the line style of its name."""
    for k, curve in enumerate(zip(times, values, line_styles.values(), strict=True)):
        plot(panel, *curve, shift=k)


def minimum_norm_levels(runs: Iterable[Run], measure: str) -> np.ndarray:
    """Return a quantity of each run's solution of minimum nuclear norm, equal ones once."""
    found = np.array([reading.minimum_norm_value(run, measure) for run in runs])
    known = np.sort(finite_values([found]))
    # levels within 0.1 % would be drawn on top of each other
    apart = np.diff(known, prepend=-np.inf) > 1e-3 * np.abs(known)
    return np.asarray(known[apart])


def draw_levels(panel: Axes, levels: np.ndarray) -> None:
    """Draw a dotted horizontal line at each level."""
    for level in levels:
        panel.axhline(level, **style.LEVEL)


def flow_styles(run: Run, variable: str) -> dict[str, LineStyle]:
    """Return the line style of each flow with this variable: a broad line, then open markers."""
    found = reading.flows_with(run, variable)
    return {s: style.open_markers(k - 1) if k else style.FLOW for k, s in enumerate(found)}


def flow_legend(run: Run, variable: str) -> dict[str, LineStyle]:
    """Return the legend of the flows with this variable, and of its closed form if known."""
    legend = {reading.FLOWS[space]: each for space, each in flow_styles(run, variable).items()}
    return legend | closed_form_legend([run], variable)


def closed_form_legend(runs: Iterable[Run], variable: str) -> dict[str, LineStyle]:
    """Return the legend of the closed form of a variable if any of the runs has it."""
    known = any(reading.has_numbers(run, f"exact.{variable}") for run in runs)
    return {"closed form": style.EXACT} if known else {}


def variant_legend(run: Run, parts: Collection[str], alone: LineStyle) -> dict[str, LineStyle]:
    """Return the line style of each variant by name, or `alone` for a run without variants."""
    if not run.variants:
        return {run.name: alone}
    return dict(zip(parts, style.curve_styles(len(parts)), strict=True))


def draw_flows(panel: Axes, run: Run, variable: str) -> None:
    """Draw a scalar of every flow over time, and its closed form if known."""
    for space, line_style in flow_styles(run, variable).items():
        plot(panel, run[f"{space}.time"], run[f"{space}.{variable}"], line_style)
    if reading.has_numbers(run, f"exact.{variable}"):
        plot(panel, run["exact.time"], run[f"exact.{variable}"], style.EXACT)


def step_axis(panel: Axes, sizes: np.ndarray) -> None:
    """Fit a logarithmic axis to these step sizes, some of which are its ticks."""
    span = float(sizes.max() / sizes.min()) ** 0.08 * 1.05
    panel.set_xscale("log")
    panel.set_xlim(float(sizes.min()) / span, float(sizes.max()) * span)
    # numbers a fifth of the axis apart do not touch: six labels at most
    ticks = [float(sizes.min())]
    for size in np.sort(sizes):
        if np.log(size / ticks[-1]) >= np.log(sizes.max() / sizes.min()) / 5:
            ticks.append(float(size))
    panel.set_xticks(ticks, labels=distinct_numbers(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("step size η")


def step_size_legend(runs: Iterable[Run]) -> dict[str, LineStyle]:
    """Return the legend of the step sizes of these runs; empty if they have a colour scale."""
    runs = list(runs)
    sizes = reading.all_step_sizes(runs)
    if not 0 < len(sizes) <= style.FEW:
        return {}
    # diverged in every run that has this step size
    kept = [reading.step_sizes(run)[~reading.diverged(run)] for run in runs]
    always = ~np.isin(sizes, np.concatenate(kept))
    labels = reading.step_labels(sizes, always)
    return dict(zip(labels, style.step_size_styles(sizes), strict=True))


def draw_descent(
    panel: Axes,
    run: Run,
    values: np.ndarray,
    sizes: np.ndarray,
    top: float,
    time: np.ndarray | None = None,
) -> None:
    """Draw `values(step_size, sample)` over `time(step_size, sample)`, by default t = kη.

    A step size has the line style of its place in `sizes`, which all panels share. A triangle marks
    where a curve leaves through `top`, a cross where a diverging one ends inside.
    """
    line_styles, lost = style.step_size_styles(sizes), reading.diverged(run)
    time = run["descent.time"] if time is None else time
    for k, size in enumerate(reading.step_sizes(run)):
        rank = int(np.flatnonzero(sizes == size)[0])
        plot(panel, time[k], values[k], line_styles[rank], shift=rank)
        mark_exit(panel, time[k], values[k], top, lost[k], line_styles[rank]["color"])


def mark_exit(
    panel: Axes, time: np.ndarray, values: np.ndarray, top: float, lost: bool, colour: str,
    size: float = 5.0,
) -> None:  # fmt: skip
    """Mark where a curve leaves through `top` by a triangle, or else where it ends if `lost`."""
    where = exit_point(time, values, top, panel.get_yscale() == "log")
    if where is not None and (where[1] == top or lost):
        marker = "^" if where[1] == top else "x"
        panel.plot(*where, marker=marker, color=colour, **{**EDGE_MARKER, "markersize": size})


def exit_point(
    time: np.ndarray, values: np.ndarray, top: float, log: bool
) -> tuple[float, float] | None:
    """Return where a curve leaves through `top`, or else its last finite point; None if neither.

    The crossing is interpolated on the scale of the value axis, so that the mark lies on the curve.
    """
    with np.errstate(invalid="ignore"):
        inside = np.isfinite(values) & (values <= top)
    if not inside.any():
        return None
    k = len(values) if inside.all() else int(np.argmin(inside))
    # no crossing between two finite points: the last point inside is marked
    if k == 0 or k == len(values) or not np.isfinite(values[k]):
        last = int(np.flatnonzero(inside)[-1]) if k == 0 else k - 1
        return float(time[last]), float(values[last])
    low, high, edge = float(values[k - 1]), float(values[k]), top
    if log and low > 0:
        low, high, edge = np.log(low), np.log(high), np.log(edge)
    fraction = (edge - low) / (high - low)
    return float(time[k - 1] + fraction * (time[k] - time[k - 1])), top


def values_in_view(
    run: Run, values: np.ndarray, within: float, slack: float = 1e3
) -> list[np.ndarray]:
    """Return the values, by step size, that the value axis has to show; others are nan.

    A diverged descent counts up to `within`, so that it does not flatten the other curves; a
    completed one, which may oscillate far out, up to `slack` times that.
    """
    with np.errstate(invalid="ignore"):
        return [
            np.where(row <= within * (1 if lost else slack), row, np.nan)
            for row, lost in zip(values, reading.diverged(run), strict=True)
        ]
