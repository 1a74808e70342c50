"""The imbalance drift under descent, as a sum over steps and as measured, and its effect on W."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import number
from flowsim.results.run import Run

MEASURED: style.LineStyle = {**style.EXACT, "linewidth": 0.9}
DIFFERENCE: style.LineStyle = {"color": "#8a8a8a", "linewidth": 0.6, "zorder": 1.8}
BOUND: style.LineStyle = {"color": style.INK, "linewidth": 0.8, "linestyle": (0, (1, 2))}
LEGEND = {"measured": MEASURED, "sum − measured": DIFFERENCE, "its rounding bound": BOUND}
LINE_STYLES = {"measured": MEASURED, "difference": DIFFERENCE, "error": BOUND}
EFFECTS: dict[str, tuple[str, style.LineStyle]] = {
    "comparison.descent_vs_flow": (
        "distance from the flow",
        {"color": "#9a9a9a", "linewidth": 2.0, "marker": "o"},
    ),
    "drift_budget.cost": (
        "sum of the effects of the steps",
        {"color": style.INK, "linestyle": (0, (3, 1.5)), "marker": "x", "zorder": 3},
    ),
    "drift_budget.rebalanced": (
        "distance from rebalanced descent",
        {"color": "#D55E00", "marker": "s", "markerfacecolor": "white"},
    ),
}
DRAWN = ("accumulated", "difference", "error")
NAMES = ("imbalance drift, largest pair", "effect on W, against the step size")
LABEL = "change of imbalance"
ALL_DIVERGE = "Gradient descent diverges at every step size"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "drift_budget.accumulated")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the drift as a sum over the steps and as measured; beside it its effect, against η."""
    run, parts = subject.run, subject.parts
    effects = [] if run.variants else available_effects(run)
    grid = layout.panel_grid(
        subject,
        alone=NAMES if effects else (),
        legend=curves.step_size_legend(parts.values())
        | LEGEND
        | {EFFECTS[path][0]: EFFECTS[path][1] for path in effects},
        steps=scales.scale_if_many(parts.values()),
    )
    draw_drift(grid.panels[: len(parts)], parts)
    grid.label("time t", LABEL)
    if effects:
        draw_effects(grid.panels[1], run, effects)
    return grid


def draw_drift(panels: tuple[Axes, ...], parts: Mapping[str, Run]) -> None:
    """Draw the sums over steps, the measured changes that lie on them, and their difference."""
    sizes = reading.all_step_sizes(parts.values())
    curves.time_axes(panels, parts.values())
    shown = [largest_over_pairs(part, name) for part in parts.values() for name in DRAWN]
    top = curves.log_axis(panels, shown)
    for panel, part in zip(panels, parts.values(), strict=True):
        time = part["drift_budget.time"]
        curves.draw_descent(panel, part, largest_over_pairs(part, "accumulated"), sizes, top, time)
        for name, line_style in LINE_STYLES.items():
            for t, values in zip(time, largest_over_pairs(part, name), strict=True):
                curves.plot(panel, t, values, line_style)


def largest_over_pairs(run: Run, name: str) -> np.ndarray:
    """Return the largest value over the pairs, `(step_size, sample)`; nan stays nan."""
    return np.asarray(np.max(run[f"drift_budget.{name}"], axis=-1))


def available_effects(run: Run) -> list[str]:
    """Return the paths of the effects on W that can be drawn."""
    return [
        path
        for path in EFFECTS
        if reading.has_numbers(run, path)
        and np.isfinite(reading.largest_over_time(run, run[path])).any()
    ]


def draw_effects(panel: Axes, run: Run, effects: list[str]) -> None:
    """Draw the largest distances of W against η."""
    sizes = reading.step_sizes(run)
    rank = np.argsort(sizes)
    largest = {path: reading.largest_over_time(run, run[path]) for path in effects}
    curves.step_axis(panel, sizes)
    curves.log_axis([panel], largest.values())
    for path in effects:
        panel.plot(sizes[rank], largest[path][rank], **EFFECTS[path][1])
    panel.set(ylabel="largest distance of W")


def headline(run: Run) -> str:
    """Return the largest drift, how well the sum reproduces it, and its effect on W."""
    reach = reading.largest_over_time(run, largest_over_pairs(run, "accumulated"))
    if not np.isfinite(reach).any():
        return ALL_DIVERGE
    k = int(np.nanargmax(reach))
    error = float(np.nanmax(largest_over_pairs(run, "difference")[k]))
    sentence = (
        f"At η = {number(float(reading.step_sizes(run)[k]))} the imbalance drifts by "
        f"{number(float(reach[k]))}, which the sum over steps gives to {number(error)}"
    )
    if not reading.has_numbers(run, "drift_budget.rebalanced"):
        return sentence
    effect = number(float(reading.largest_over_time(run, run["drift_budget.rebalanced"])[k]))
    sentence += f"; its effect on W is {effect}"
    if not reading.has_numbers(run, "comparison.descent_vs_flow"):
        return sentence
    total = number(float(reading.largest_over_time(run, run["comparison.descent_vs_flow"])[k]))
    return f"{sentence}, and the distance from the flow {total}"


def over_variants(parts: Mapping[str, Run]) -> str:
    """Return the largest drift in each variant."""
    largest = reading.describe_largest(parts, lambda part: largest_over_pairs(part, "accumulated"))
    return f"The imbalance drifts by up to {largest}" if largest else ALL_DIVERGE
