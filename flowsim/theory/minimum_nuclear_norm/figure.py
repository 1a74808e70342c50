"""The final point of the flow beside the solution of minimum nuclear norm: rank, norm, distance.

If gradient flow minimized the nuclear norm among the solutions, the two markers of every row would
coincide (Gunasekar et al. 2017; Arora et al. 2019 find that deep networks prefer low rank).
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from flowsim.pictures.kit import curves, layout, legends, reading, style
from flowsim.pictures.kit.words import number, truncate
from flowsim.results.run import Run

PANELS = {
    "effective_rank": "effective rank",
    "nuclear_norm": r"nuclear norm $\|W\|_*$",
    "distance_to_target": r"distance $\|W - \Phi\|_F$ to the target",
}
END: style.LineStyle = {
    "linestyle": "none", "marker": "o", "color": style.OKABE_ITO[0], "markersize": 5,
}  # fmt: skip
REFERENCE: style.LineStyle = {
    "linestyle": "none", "marker": "D", "color": style.OKABE_ITO[1], "markerfacecolor": "white",
    "markersize": 4.4,
}  # fmt: skip
MOST_NAMES, FAR = 12, 100
"""Named rows at most, and the ratio of values from which their axis is logarithmic."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "minimum_nuclear_norm.nuclear_norm") or reading.why_no_flow(
        run, "distance_to_target"
    )


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one row per variant: the flow's final point, and the minimum-nuclear-norm solution."""
    run, parts = subject.run, subject.parts
    grid = layout.panel_grid(
        subject,
        panels=len(PANELS),
        legend={"final point of the flow": END, curves.MINIMUM_NORM_LABEL: REFERENCE},
    )
    rows = np.arange(len(parts))
    for panel, (measure, label) in zip(grid.panels, PANELS.items(), strict=True):
        ends = np.array([reading.final_value(part, measure) for part in parts.values()])
        found = [reading.minimum_norm_value(part, measure) for part in parts.values()]
        panel.plot(np.array(found), rows, **REFERENCE)
        panel.plot(ends, rows, **END)
        fit_value_axis(panel, np.array([*ends, *found]))
        panel.set_xlabel(label)
        panel.set_ylim(len(parts) - 0.5, -0.5)
        panel.grid(visible=False, axis="x")
    name_rows(grid, list(parts) if run.variants else ["flow"])
    return grid


def fit_value_axis(panel: Axes, values: np.ndarray) -> None:
    """Fit the horizontal axis, logarithmic if the values differ by more than a factor `FAR`."""
    known = curves.finite_values([values])
    limits = curves.log_limits(known)
    if limits is None or limits[1] < FAR * limits[0]:
        curves.round_ticks(panel.xaxis, 4)
        panel.set_xlim(*curves.linear_limits(known))
        return
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(numticks=5))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlim(*limits)


def name_rows(grid: layout.PanelGrid, names: list[str]) -> None:
    """Write variants at the left of the first panel; of many rows only every second or third."""
    every = -(-len(names) // MOST_NAMES)
    characters = int((layout.LEFT - 0.1) / legends.CHARACTER)
    for k, panel in enumerate(grid.panels):
        labels = [truncate(name, characters) if k == 0 else "" for name in names[::every]]
        panel.set_yticks(range(0, len(names), every), labels=labels, parse_math=False)


def describe_final_point(run: Run) -> str:
    """Return the distance of the final point from the target, and its norm over the minimum."""
    end = number(reading.final_value(run, "distance_to_target"))
    reference = number(reading.minimum_norm_value(run, "distance_to_target"))
    norm = reading.final_value(run, "nuclear_norm")
    ratio = number(reading.relative_to_minimum_norm(run, norm, "nuclear_norm"), 4)
    return (
        f"at distance {end} from the target (minimum nuclear norm: {reference}), "
        f"with {ratio} times the minimum nuclear norm"
    )


def headline(run: Run) -> str:
    """Return where the flow ends."""
    return f"The flow ends {describe_final_point(run)}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the variant that ends nearest to the target, and where."""
    nearest = min(parts, key=lambda name: reading.final_value(parts[name], "distance_to_target"))
    return f"{nearest} ends nearest, {describe_final_point(parts[nearest])}"
