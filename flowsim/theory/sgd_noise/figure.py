"""Noisy gradient descent beside its SDEs: mean and deviation of the loss, and distances over η.

The order-1 and order-2 SDE (Li, Tai & E 2019) approximate expectations of descent to first and
second order in η: the slopes of the weak distances. Strong distances couple single realizations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
DASHES, DOTS = (0, (4, 2)), (0, (1, 1.5))
SOURCES: dict[str, tuple[str, style.LineStyle]] = {
    "descent": ("descent", {"color": BLUE, "linewidth": 1.8}),
    "first": ("order-1 SDE", {"color": ORANGE, "linewidth": 1.1, "linestyle": DASHES}),
    "second": ("order-2 SDE", {"color": GREEN, "linewidth": 1.3, "linestyle": DOTS}),
}
DISTANCES: dict[str, tuple[str, style.LineStyle]] = {
    "weak_first": ("weak, order-1", {"color": ORANGE, "marker": "o"}),
    "weak_second": ("weak, order-2", {"color": GREEN, "marker": "^"}),
    "strong_first": ("strong, order-1", {"color": ORANGE, "marker": "s", "linestyle": DASHES}),
    "strong_second": ("strong, order-2", {"color": GREEN, "marker": "D", "linestyle": DASHES}),
}
TRACE: style.LineStyle = {"color": BLUE, "linewidth": 1.6}
WITHIN: style.LineStyle = {"facecolor": BLUE, "alpha": 0.18, "linewidth": 0}
EDGES: style.LineStyle = {"color": ORANGE, "linewidth": 0.7, "linestyle": DASHES}
BANDS = {"descent ± std. deviation": WITHIN, "order-1 ± std. deviation": EDGES}
DISTANCE_LABEL = "largest distance over time"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "sgd_noise.descent_loss")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw mean and standard deviation of the loss over time, and the SDEs' distances over η."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one run at its largest step size; beside it the distances, or the trace of Σ."""
    run = subject.run
    k, several = shown_step_size(run), len(reading.step_sizes(run)) > 1
    eta = number(float(reading.step_sizes(run)[k]))
    more = distance_legend(run) if several else {}
    grid = layout.panel_grid(
        subject,
        panels=2,
        names=(
            f"loss over {realizations(run)} runs, η = {eta}",
            "distance from descent to the SDEs"
            if several
            else "trace of the gradient's covariance",
        ),
        legend=dict(SOURCES.values()) | BANDS | more,
        gap=layout.OWN_AXIS,
    )
    left, right = grid.panels
    draw_loss(left, run, k)
    left.set(xlabel="time t", ylabel="loss ℓ(W)")
    if several:
        draw_distances([right], {run.name: run})
        right.set_ylabel(DISTANCE_LABEL)
    else:
        draw_trace(right, run)
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one panel per variant: the distances over η if all have several, else the loss."""
    parts = subject.parts
    several = all(len(reading.step_sizes(part)) > 1 for part in parts.values())
    legend = dict(DISTANCES.values()) if several else dict(SOURCES.values()) | BANDS
    grid = layout.panel_grid(subject, legend=legend, gap=layout.OWN_AXIS)
    if several:
        draw_distances(grid.panels, parts)
        grid.label("step size η", DISTANCE_LABEL)
    else:
        for panel, part in zip(grid.panels, parts.values(), strict=True):
            draw_loss(panel, part, shown_step_size(part))
            panel.set(xlabel="time t", ylabel="loss ℓ(W)")
    return grid


def draw_loss(panel: Axes, run: Run, k: int) -> None:
    """Draw the mean loss of descent and of the SDEs at one step size, with standard deviations."""
    time = run["sgd_noise.time"][k]
    mean, deviation = (
        {name: run[f"sgd_noise.{name}_{what}"][k] for name in SOURCES}
        for what in ("loss", "loss_deviation")
    )
    curves.fit_time_axis([panel], [time], reading.has_log_times([run]))
    low, high = (mean["descent"] + sign * deviation["descent"] for sign in (-1, 1))
    # the lower edge, mean - deviation, may be negative, which no logarithmic axis shows
    curves.log_axis([panel], [*mean.values(), high])
    bottom = panel.get_ylim()[0]
    panel.fill_between(time, np.maximum(low, bottom), high, **WITHIN)
    for name, (_, line_style) in SOURCES.items():
        curves.plot(panel, time, mean[name], line_style)
    for sign in (-1, 1):
        edge = mean["first"] + sign * deviation["first"]
        curves.plot(panel, time, np.where(edge > bottom, edge, np.nan), EDGES)


def draw_distances(panels: tuple[Axes, ...] | list[Axes], parts: Mapping[str, Run]) -> None:
    """Draw the largest distances over time against η, with their errors."""
    found = {
        name: {path: largest_with_error(part, path) for path in DISTANCES}
        for name, part in parts.items()
    }
    curves.log_axis(panels, [value for of_part in found.values() for value, _ in of_part.values()])
    for panel, (name, part) in zip(panels, parts.items(), strict=True):
        sizes = reading.step_sizes(part)
        rank = np.argsort(sizes)
        curves.step_axis(panel, sizes)
        for path, (_, line_style) in DISTANCES.items():
            value, error = (of_size[rank] for of_size in found[name][path])
            panel.plot(sizes[rank], value, **line_style)
            # an error bar of a logarithmic axis must not reach 0
            low = np.maximum(value - error, 1e-3 * value)
            panel.vlines(sizes[rank], low, value + error, colors=line_style["color"], linewidth=0.8)


def draw_trace(panel: Axes, run: Run) -> None:
    """Draw the mean of tr Σ over the realizations, with its standard error."""
    time, mean = run["sgd_noise.time"][0], run["sgd_noise.trace"][0]
    error = run["sgd_noise.trace_error"][0]
    curves.fit_time_axis([panel], [time], reading.has_log_times([run]))
    curves.plain_axis([panel], [mean - error, mean + error])
    panel.fill_between(time, mean - error, mean + error, **WITHIN)
    curves.plot(panel, time, mean, TRACE)
    panel.set(xlabel="time t", ylabel="tr Σ")


def largest_with_error(run: Run, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest distance per step size and its error; nan if none is known."""
    values, errors = run[f"sgd_noise.{path}"], run[f"sgd_noise.{path}_error"]
    known = np.where(np.isfinite(values), values, -np.inf)
    # the error at the time of the largest distance
    at = (np.arange(len(known)), known.argmax(axis=1))
    good = np.isfinite(known[at]) & (known[at] > 0)
    return np.where(good, known[at], np.nan), np.where(good, errors[at], np.nan)


def fitted_order(run: Run, path: str) -> float:
    """Return the order in η of the largest distances; nan if fewer than two are known."""
    values, sizes = largest_with_error(run, path)[0], reading.step_sizes(run)
    known = np.isfinite(values)
    if known.sum() < 2:
        return float("nan")
    return straight_fit(sizes[known], values[known])[0]


def distance_legend(run: Run) -> dict[str, style.LineStyle]:
    """Return the legend of the distances, with their slopes."""
    slopes = {path: fitted_order(run, path) for path in DISTANCES}
    return {
        f"{name}: slope {slopes[path]:.2f}" if np.isfinite(slopes[path]) else name: line_style
        for path, (name, line_style) in DISTANCES.items()
    }


def shown_step_size(run: Run) -> int:
    """Return the index of the largest step size at which no realization diverges, or of all."""
    sizes, losses = reading.step_sizes(run), run["sgd_noise.descent_loss"]
    done = np.isfinite(losses[:, -1])
    return int(np.argmax(np.where(done, sizes, 0.0) if done.any() else sizes))


def realizations(run: Run) -> int:
    """Return the number of realizations of the noise."""
    return int(run["sgd_noise.runs"])


def headline(run: Run) -> str:
    """Return the orders in η of the weak and strong distances of both SDEs."""
    slopes = {path: fitted_order(run, path) for path in DISTANCES}
    if not all(np.isfinite(slope) for slope in slopes.values()):
        return over_time(run)
    weak, strong = (
        [f"{slopes[f'{kind}_{name}']:.2f}" for name in ("first", "second")]
        for kind in ("weak", "strong")
    )
    return (
        f"The two SDEs match the mean of W to order {weak[0]} and {weak[1]} in η, "
        f"and single runs to order {strong[0]} and {strong[1]}"
    )


def over_time(run: Run) -> str:
    """Return how the mean loss and the trace of Σ change at the largest step size."""
    k = shown_step_size(run)
    loss, trace = (
        reading.describe_change(run[f"sgd_noise.{name}"][k]) for name in ("descent_loss", "trace")
    )
    return f"Over {realizations(run)} runs the mean loss {loss}, and the trace of Σ {trace}"


def over_variants(parts: Mapping[str, Run]) -> str:
    """Return the distance from the order-1 SDE in each variant, at its largest step size."""
    far = {
        name: largest_with_error(part, "weak_first")[0][shown_step_size(part)]
        for name, part in parts.items()
    }
    known = [f"{number(float(value))} in {name}" for name, value in far.items() if value > 0]
    if not known:
        return "Noisy gradient descent diverges at every step size"
    deviations = join_words(known, most=5)
    return f"At the largest step size the mean of W deviates from the order-1 SDE by {deviations}"
