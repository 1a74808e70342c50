"""The drift of balance under descent, step by step and as measured, and what it costs W."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

MEASURED: style.Pen = {**style.EXACT, "linewidth": 0.9}
APART: style.Pen = {"color": "#8a8a8a", "linewidth": 0.6, "zorder": 1.8}
BOUND: style.Pen = {"color": style.INK, "linewidth": 0.8, "linestyle": (0, (1, 2))}
KEYS = {"measured": MEASURED, "sum less measured": APART, "bound on that: rounding": BOUND}
COSTS: dict[str, tuple[str, style.Pen]] = {
    "comparison.descent_vs_flow": (
        "from the flow",
        {"color": "#9a9a9a", "linewidth": 2.0, "marker": "o"},
    ),
    "drift_budget.cost": (
        "sum of the steps' costs",
        {"color": style.INK, "linestyle": (0, (3, 1.5)), "marker": "x", "zorder": 3},
    ),
    "drift_budget.rebalanced": (
        "from descent that is kept in balance",
        {"color": "#D55E00", "marker": "s", "markerfacecolor": "white"},
    ),
}
DRAWN = ("accumulated", "difference", "error")
NAMES = ("drift, largest of the pairs", "what that costs W, against the step size")
LABEL = "change of imbalance"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "drift_budget.accumulated")


def draw(run: Run) -> Figure:
    """Draw the drift summed up over the steps, and measured; beside it what it costs, against η."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run: the drift over time, and where a descent completes its cost against η."""
    costs = costly(run)
    sheet = page.open_page(
        run,
        headline(run),
        panels=2 if costs else 1,
        names=("drift, largest of the pairs", "what that costs W, against the step size")
        if costs
        else (),
        keys=curves.step_keys([run]) | KEYS | {COSTS[path][0]: COSTS[path][1] for path in costs},
        steps=scales.many([run]),
        gap=page.OWN_AXIS,
    )
    draw_drift(sheet.panels[:1], {run.name: run})
    sheet.panels[0].set(xlabel="time t", ylabel=LABEL)
    if costs:
        draw_costs(sheet.panels[1], run, costs)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw the drift of every variant, a panel each."""
    parts = reading.fitted(run, why_unavailable)
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts),
        names=list(parts),
        drawn=parts,
        keys=curves.step_keys(parts.values()) | KEYS,
        steps=scales.many(parts.values()),
    )
    draw_drift(sheet.panels, parts)
    sheet.label("time t", LABEL)
    return sheet.figure


def draw_drift(panels: tuple[Axes, ...], parts: Mapping[str, Run]) -> None:
    """Draw the sums and the measured changes, which should lie on them, and how far they do not."""
    sizes = reading.all_step_sizes(parts.values())
    times = [reading.flow_times(part) for part in parts.values()]
    curves.time_axes(panels, times, reading.logarithmic(parts.values()))
    shown = [worst_pair(part, name) for part in parts.values() for name in DRAWN]
    top = curves.log_axis(panels, shown)
    for panel, part in zip(panels, parts.values(), strict=True):
        time = part["drift_budget.time"]
        curves.draw_descent(panel, part, worst_pair(part, "accumulated"), sizes, top, time)
        for name, pen in (("measured", MEASURED), ("difference", APART), ("error", BOUND)):
            for t, values in zip(time, worst_pair(part, name), strict=True):
                curves.plot(panel, t, values, pen)


def worst_pair(run: Run, name: str) -> np.ndarray:
    """Return the largest over the pairs, `(step_size, sample)`; nan stays nan."""
    return np.asarray(np.max(run[f"drift_budget.{name}"], axis=-1))


def largest(run: Run, values: np.ndarray) -> np.ndarray:
    """Return the largest of `(step_size, sample)` by step size; nan where descent diverged."""
    known = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    return np.where(np.isfinite(known) & ~reading.diverged(run), known, np.nan)


def costly(run: Run) -> list[str]:
    """Return the paths of what can be drawn of the costs."""
    return [
        path
        for path in COSTS
        if reading.drawable(run, path) and np.isfinite(largest(run, run[path])).any()
    ]


def draw_costs(panel: Axes, run: Run, costs: list[str]) -> None:
    """Draw the largest distances against η."""
    sizes = reading.step_sizes(run)
    rank = np.argsort(sizes)
    curves.step_axis(panel, sizes)
    curves.log_axis([panel], [largest(run, run[path]) for path in costs])
    for path in costs:
        panel.plot(sizes[rank], largest(run, run[path])[rank], **COSTS[path][1])
    panel.set(ylabel="largest distance of W")


def headline(run: Run) -> str:
    """Say how far descent leaves balance, how well the sum tells that, and what it costs."""
    reach = largest(run, worst_pair(run, "accumulated"))
    if not np.isfinite(reach).any():
        return "Every step size of descent diverges"
    k = int(np.nanargmax(reach))
    apart = float(np.nanmax(worst_pair(run, "difference")[k]))
    said = (
        f"At η = {number(float(reading.step_sizes(run)[k]))} balance drifts by "
        f"{number(float(reach[k]))}, the sum of its steps to {number(apart)}"
    )
    if not reading.drawable(run, "drift_budget.rebalanced"):
        return said
    cost = number(float(largest(run, run["drift_budget.rebalanced"])[k]))
    if not reading.drawable(run, "comparison.descent_vs_flow"):
        return f"{said}; that moves W by {cost}"
    total = number(float(largest(run, run["comparison.descent_vs_flow"])[k]))
    return f"{said}; that moves W by {cost}, and descent is {total} from the flow"


def over_variants(parts: Mapping[str, Run]) -> str:
    """Say how far balance drifts in each variant."""
    ends = {name: largest(part, worst_pair(part, "accumulated")) for name, part in parts.items()}
    known = {name: number(float(np.nanmax(v))) for name, v in ends.items() if np.isfinite(v).any()}
    said = listed((f"{value} in {name}" for name, value in known.items()), most=5)
    return f"Balance drifts by up to {said}" if known else "Every step size of descent diverges"
