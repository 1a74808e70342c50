"""Noisy descent beside the equations that describe it: mean and spread, and distances over η."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
DASHES, DOTS = (0, (4, 2)), (0, (1, 1.5))
SOURCES: dict[str, tuple[str, style.Pen]] = {
    "descent": ("descent", {"color": BLUE, "linewidth": 1.8}),
    "first": ("first equation", {"color": ORANGE, "linewidth": 1.1, "linestyle": DASHES}),
    "second": ("second equation", {"color": GREEN, "linewidth": 1.3, "linestyle": DOTS}),
}
DISTANCES: dict[str, tuple[str, style.Pen]] = {
    "weak_first": ("weak, first", {"color": ORANGE, "marker": "o"}),
    "weak_second": ("weak, second", {"color": GREEN, "marker": "^"}),
    "strong_first": ("strong, first", {"color": ORANGE, "marker": "s", "linestyle": DASHES}),
    "strong_second": ("strong, second", {"color": GREEN, "marker": "D", "linestyle": DASHES}),
}
TRACE: style.Pen = {"color": BLUE, "linewidth": 1.6}
WITHIN: style.Pen = {"facecolor": BLUE, "alpha": 0.18, "linewidth": 0}
EDGES: style.Pen = {"color": ORANGE, "linewidth": 0.7, "linestyle": DASHES}
BANDS = {"descent ± a deviation": WITHIN, "first equation ± a deviation": EDGES}
OF_W = "largest distance over time"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "sgd_noise.descent_loss")


def draw(run: Run) -> Figure:
    """Draw mean and spread of the loss over time, and how far the equations are off, over η."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run at its largest step size, and beside it the distances, or the trace of Σ."""
    k, several = largest(run), len(reading.step_sizes(run)) > 1
    eta = number(float(reading.step_sizes(run)[k]))
    more = distance_keys(run) if several else {}
    sheet = page.open_page(
        run,
        headline(run) if several else over_time(run),
        panels=2,
        names=(f"loss over {runs(run)} runs, η = {eta}", "from descent to the equations")
        if several
        else (f"loss over {runs(run)} runs, η = {eta}", "trace of the gradient's covariance"),
        keys=dict(SOURCES.values()) | BANDS | more,
        gap=page.OWN_AXIS,
    )
    left, right = sheet.panels
    draw_loss(left, run, k)
    left.set(xlabel="time t", ylabel="loss ℓ(W)")
    if several:
        draw_distances([right], {run.name: run})
        right.set_ylabel(OF_W)
    else:
        draw_trace(right, run)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw a panel each variant: the distances over η where all have several, else the loss."""
    parts = reading.fitted(run, why_unavailable)
    several = all(len(reading.step_sizes(part)) > 1 for part in parts.values())
    keys = dict(DISTANCES.values()) if several else dict(SOURCES.values()) | BANDS
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts),
        names=list(parts),
        drawn=parts,
        keys=keys,
        gap=page.OWN_AXIS,
    )
    if several:
        draw_distances(sheet.panels, parts)
        sheet.label("step size η", OF_W)
    else:
        for panel, part in zip(sheet.panels, parts.values(), strict=True):
            draw_loss(panel, part, largest(part))
            panel.set(xlabel="time t", ylabel="loss ℓ(W)")
    return sheet.figure


def draw_loss(panel: Axes, run: Run, k: int) -> None:
    """Draw the mean loss of descent and the equations at one step size, and their deviations."""
    time = run["sgd_noise.time"][k]
    mean, spread = (
        {name: run[f"sgd_noise.{name}_{what}"][k] for name in SOURCES}
        for what in ("loss", "loss_deviation")
    )
    curves.time_axis([panel], [time], reading.logarithmic([run]))
    low, high = (mean["descent"] + sign * spread["descent"] for sign in (-1, 1))
    curves.log_axis([panel], [*mean.values(), high])
    bottom = panel.get_ylim()[0]
    panel.fill_between(time, np.maximum(low, bottom), high, **WITHIN)
    for name, (_, pen) in SOURCES.items():
        curves.plot(panel, time, mean[name], pen)
    for sign in (-1, 1):
        edge = mean["first"] + sign * spread["first"]
        curves.plot(panel, time, np.where(edge > bottom, edge, np.nan), EDGES)


def draw_distances(panels: tuple[Axes, ...] | list[Axes], parts: Mapping[str, Run]) -> None:
    """Draw the largest distances over time against η, with their errors there."""
    found = {name: {path: worst(part, path) for path in DISTANCES} for name, part in parts.items()}
    curves.log_axis(panels, [value for of in found.values() for value, _ in of.values()])
    for panel, (name, part) in zip(panels, parts.items(), strict=True):
        sizes = reading.step_sizes(part)
        rank = np.argsort(sizes)
        curves.step_axis(panel, sizes)
        for path, (_, pen) in DISTANCES.items():
            value, error = (of_size[rank] for of_size in found[name][path])
            panel.plot(sizes[rank], value, **pen)
            low = np.maximum(value - error, 1e-3 * value)
            panel.vlines(sizes[rank], low, value + error, colors=pen["color"], linewidth=0.8)


def draw_trace(panel: Axes, run: Run) -> None:
    """Draw the mean of tr Σ over the runs, with its standard error."""
    time, mean = run["sgd_noise.time"][0], run["sgd_noise.trace"][0]
    error = run["sgd_noise.trace_error"][0]
    curves.time_axis([panel], [time], reading.logarithmic([run]))
    curves.plain_axis([panel], [mean - error, mean + error])
    panel.fill_between(time, mean - error, mean + error, **WITHIN)
    curves.plot(panel, time, mean, TRACE)
    panel.set(xlabel="time t", ylabel="tr Σ")


def worst(run: Run, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest distance by step size, and its error; nan where there is none."""
    values, errors = run[f"sgd_noise.{path}"], run[f"sgd_noise.{path}_error"]
    known = np.where(np.isfinite(values), values, -np.inf)
    at = (np.arange(len(known)), known.argmax(axis=1))
    good = np.isfinite(known[at]) & (known[at] > 0)
    return np.where(good, known[at], np.nan), np.where(good, errors[at], np.nan)


def order(run: Run, path: str) -> float:
    """Return the slope of the largest distances over η, in logarithms; nan of fewer than two."""
    values, sizes = worst(run, path)[0], reading.step_sizes(run)
    known = np.isfinite(values)
    if known.sum() < 2:
        return float("nan")
    return straight_fit(sizes[known], values[known])[0]


def distance_keys(run: Run) -> dict[str, style.Pen]:
    """Return the legend of the distances, with their slopes."""
    slopes = {path: order(run, path) for path in DISTANCES}
    return {
        f"{name}: slope {slopes[path]:.2f}" if np.isfinite(slopes[path]) else name: pen
        for path, (name, pen) in DISTANCES.items()
    }


def largest(run: Run) -> int:
    """Return the largest step size at which no run diverges, else the largest."""
    sizes, losses = reading.step_sizes(run), run["sgd_noise.descent_loss"]
    done = np.isfinite(losses[:, -1])
    return int(np.argmax(np.where(done, sizes, 0.0) if done.any() else sizes))


def runs(run: Run) -> int:
    """Return over how many draws of the noise the means are."""
    return int(run["sgd_noise.runs"])


def headline(run: Run) -> str:
    """Say to which order in η the equations have the mean of W, and its paths."""
    slopes = {path: order(run, path) for path in DISTANCES}
    if not all(np.isfinite(slope) for slope in slopes.values()):
        return over_time(run)
    weak, strong = (
        [f"{slopes[f'{kind}_{name}']:.2f}" for name in ("first", "second")]
        for kind in ("weak", "strong")
    )
    return (
        f"The mean of W is that of the equations to order {weak[0]} and {weak[1]} in η, "
        f"and single runs are theirs to order {strong[0]} and {strong[1]}"
    )


def over_time(run: Run) -> str:
    """Say how the mean loss and the trace of Σ go at the largest step size."""
    k = largest(run)
    loss, trace = (
        reading.course(run[f"sgd_noise.{name}"][k]) for name in ("descent_loss", "trace")
    )
    return f"Over {runs(run)} runs the mean loss {loss}, and the trace of Σ {trace}"


def over_variants(parts: Mapping[str, Run]) -> str:
    """Say how far descent is from the first equation in each variant, at its largest step size."""
    far = {name: worst(part, "weak_first")[0][largest(part)] for name, part in parts.items()}
    known = [f"{number(float(value))} in {name}" for name, value in far.items() if value > 0]
    return (
        f"At the largest step size the mean of W is off by {listed(known, most=5)}"
        if known
        else "Noisy descent diverges at every step size"
    )
