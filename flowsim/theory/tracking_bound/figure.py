"""Distance of descent from the layer flow, its upper bound, and where that bound arises."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import number
from flowsim.results.run import Run

DASHES = (0, (4, 2))
LEGEND: dict[str, style.LineStyle] = {
    "bound, in the colour of its η": {"color": style.INK, "linewidth": 0.9, "linestyle": DASHES}
}
LOCAL: style.LineStyle = {"color": "#0072B2", "linewidth": 1.6}
PROPAGATED: style.LineStyle = {"color": "#D55E00", "linewidth": 1.3, "linestyle": (0, (3, 1))}
DENSITIES = {"local error ½‖∇²φ∇φ‖": LOCAL, "propagated to the end": PROPAGATED}
NAMES = ("over all layers", "local error density, over η")
LABEL = r"$\|\theta_k-\theta(k\eta)\|$"
FAR = 1e6
"""Bounds beyond this multiple of the largest distance do not set the axis."""
ALL_DIVERGE = "Gradient descent diverges at every step size"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "tracking_bound.distance")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the distance at every step size under its bound, and the density of local errors."""
    run, parts = subject.run, subject.parts
    steps = curves.step_size_legend(parts.values())
    grid = layout.panel_grid(
        subject,
        alone=NAMES,
        legend=steps | LEGEND | ({} if run.variants else DENSITIES),
        steps=scales.scale_if_many(parts.values()),
    )
    draw_distances(grid.panels[: len(parts)], parts)
    grid.label("time t", LABEL)
    if not run.variants:
        draw_density(grid.panels[1], run)
    return grid


def draw_distances(panels: tuple[Axes, ...], parts: Mapping[str, Run]) -> None:
    """Draw distances by step size, and the bounds in the same colours."""
    sizes = reading.all_step_sizes(parts.values())
    curves.time_axes(panels, parts.values())
    shown = [values for part in parts.values() for values in values_in_view(part)]
    top = curves.log_axis(panels, shown)
    line_styles = style.step_size_styles(sizes)
    for panel, part in zip(panels, parts.values(), strict=True):
        time = part["tracking_bound.iterate_time"]
        curves.draw_descent(panel, part, distances_after_start(part), sizes, top, time)
        for k, size in enumerate(reading.step_sizes(part)):
            colour = line_styles[int(np.flatnonzero(sizes == size)[0])]["color"]
            dashed = {"color": colour, "linewidth": 0.9, "linestyle": DASHES}
            curves.plot(panel, time[k], part["tracking_bound.bound"][k], dashed)


def distances_after_start(run: Run) -> np.ndarray:
    """Return the distances after t = 0, where they are rounding only."""
    started = run["tracking_bound.iterate_time"] > 0
    return np.where(started, run["tracking_bound.distance"], np.nan)


def values_in_view(run: Run) -> list[np.ndarray]:
    """Return what sets the value axis: completed distances, and bounds within `FAR` of them."""
    bound, distance = run["tracking_bound.bound"], distances_after_start(run)
    done = np.where(reading.diverged(run)[:, None], np.nan, distance)
    # if every step size diverges, their distances before that
    most = np.nanmax(done, initial=0.0) or np.nanmax(distance, initial=0.0)
    with np.errstate(invalid="ignore"):
        return [done, np.where((bound > 0) & (bound <= FAR * most), bound, np.nan)]


def propagated_density(run: Run) -> np.ndarray:
    """Return ½‖∇²φ∇φ‖(t) exp ∫_t^T m, up to the last time T at which that is known."""
    grown = run["tracking_bound.amplification"]
    last = grown[np.isfinite(grown)][-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # exp ∫_t^T m = A(T)/A(t), with the amplification A(t) = exp ∫_0^t m that the run stores
        return np.asarray(run["tracking_bound.density"] * (last / grown))


def draw_density(panel: Axes, run: Run) -> None:
    """Draw the local error per unit of time, and what may remain of it at the end."""
    time, density = run["tracking_bound.time"], run["tracking_bound.density"]
    curves.fit_time_axis([panel], [time], reading.has_log_times([run]))
    curves.log_axis([panel], [density, propagated_density(run)])
    curves.plot(panel, time, density, LOCAL)
    curves.plot(panel, time, propagated_density(run), PROPAGATED)
    panel.set(xlabel="time t", ylabel="per unit of time")


def half_time(run: Run) -> float:
    """Return when half of the final bound has arisen, by the trapezoidal rule; nan if never."""
    time, density = run["tracking_bound.time"], propagated_density(run)
    pieces = np.diff(time) * (density[1:] + density[:-1]) / 2
    total = np.concatenate([[0.0], np.cumsum(pieces)])
    return reading.crossing_time(time, total, total[-1] / 2) if total[-1] > 0 else float("nan")


def headline(run: Run) -> str:
    """Return the distance and the bound at the largest step size, and when half of it arises."""
    reach = reading.largest_over_time(run, run["tracking_bound.distance"])
    if not np.isfinite(reach).any():
        return ALL_DIVERGE
    k = int(np.nanargmax(np.where(np.isfinite(reach), reading.step_sizes(run), np.nan)))
    eta = number(float(reading.step_sizes(run)[k]))
    sentence = f"At η = {eta} descent stays within {number(float(reach[k]))} of the flow"
    bound = run["tracking_bound.bound"][k]
    if np.isfinite(bound).any():
        sentence += f"; the bound is {number(float(np.nanmax(bound)))}"
    middle = half_time(run)
    half = f"; half of that arises by t = {number(middle)}" if np.isfinite(middle) else ""
    return sentence + half


def over_variants(parts: Mapping[str, Run]) -> str:
    """Return how far descent deviates from the flow in each variant."""
    largest = reading.describe_largest(parts, lambda part: part["tracking_bound.distance"])
    return f"Gradient descent deviates from the flow by up to {largest}" if largest else ALL_DIVERGE
