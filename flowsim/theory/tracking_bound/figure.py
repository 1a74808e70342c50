"""Descent's distance from the layer flow under its bound, and where along the way it is made."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

DASHES = (0, (4, 2))
KEYS: dict[str, style.Pen] = {
    "bound, in the colour of its η": {"color": style.INK, "linewidth": 0.9, "linestyle": DASHES}
}
MADE: style.Pen = {"color": "#0072B2", "linewidth": 1.6}
ARRIVING: style.Pen = {"color": "#D55E00", "linewidth": 1.3, "linestyle": (0, (3, 1))}
WHERE = {"local error ½‖∇²φ∇φ‖": MADE, "as it may arrive at the end": ARRIVING}
NAMES = ("over all layers", "where the bound is made, over η")
LABEL = r"$\|\theta_k-\theta(k\eta)\|$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "tracking_bound.distance")


def draw(run: Run) -> Figure:
    """Draw the distance of every step size under its bound, and the density of local errors."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run: distance and bound over time, and beside it where the bound is made."""
    sheet = page.open_page(
        run,
        headline(run),
        panels=2,
        names=NAMES,
        keys=curves.step_keys([run]) | KEYS | WHERE,
        steps=scales.many([run]),
        gap=page.OWN_AXIS,
    )
    left, right = sheet.panels
    draw_distances([left], {run.name: run})
    left.set(xlabel="time t", ylabel=LABEL)
    draw_density(right, run)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw distance and bound of every variant, a panel each."""
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
    draw_distances(sheet.panels, parts)
    sheet.label("time t", LABEL)
    return sheet.figure


def draw_distances(panels: tuple[Axes, ...] | list[Axes], parts: Mapping[str, Run]) -> None:
    """Draw distances by step size, and the bounds in the same colours."""
    sizes = reading.all_step_sizes(parts.values())
    times = [reading.flow_times(part) for part in parts.values()]
    curves.time_axes(panels, times, reading.logarithmic(parts.values()))
    shown = [values for part in parts.values() for values in settled(part)]
    top = curves.log_axis(panels, shown)
    pens = style.step_pens(sizes)
    for panel, part in zip(panels, parts.values(), strict=True):
        time = part["tracking_bound.iterate_time"]
        curves.draw_descent(panel, part, moved(part), sizes, top, time)
        for k, size in enumerate(reading.step_sizes(part)):
            colour = pens[int(np.flatnonzero(sizes == size)[0])]["color"]
            pen = {"color": colour, "linewidth": 0.9, "linestyle": DASHES}
            curves.plot(panel, time[k], part["tracking_bound.bound"][k], pen)


def moved(run: Run) -> np.ndarray:
    """Return the distances but that of the start, which is rounding."""
    started = run["tracking_bound.iterate_time"] > 0
    return np.where(started, run["tracking_bound.distance"], np.nan)


def settled(run: Run) -> list[np.ndarray]:
    """Return what should set the axis: completed distances, and bounds within a million of them."""
    bound, distance = run["tracking_bound.bound"], moved(run)
    done = np.where(reading.diverged(run)[:, None], np.nan, distance)
    most = np.nanmax(done, initial=0.0) or np.nanmax(distance, initial=0.0)
    with np.errstate(invalid="ignore"):
        return [done, np.where((bound > 0) & (bound <= 1e6 * most), bound, np.nan)]


def arriving(run: Run) -> np.ndarray:
    """Return ½‖∇²φ∇φ‖(t) exp ∫_t^T m, to the last time T at which that is known."""
    grown = run["tracking_bound.amplification"]
    last = grown[np.isfinite(grown)][-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(run["tracking_bound.density"] * (last / grown))


def draw_density(panel: Axes, run: Run) -> None:
    """Draw the local error in a unit of time, and what may be left of it at the end."""
    time, density = run["tracking_bound.time"], run["tracking_bound.density"]
    curves.time_axis([panel], [time], reading.logarithmic([run]))
    curves.log_axis([panel], [density, arriving(run)])
    curves.plot(panel, time, density, MADE)
    curves.plot(panel, time, arriving(run), ARRIVING)
    panel.set(xlabel="time t", ylabel="per unit of time")


def half_way(run: Run) -> float:
    """Return when half of the final bound has been made, by the trapezoidal rule; nan if never."""
    time, made = run["tracking_bound.time"], arriving(run)
    pieces = np.diff(time) * (made[1:] + made[:-1]) / 2
    total = np.concatenate([[0.0], np.cumsum(pieces)])
    return reading.crossing(time, total, total[-1] / 2) if total[-1] > 0 else float("nan")


def headline(run: Run) -> str:
    """Say how near descent stays at its largest step, the bound, and by when half of it is made."""
    reach = worst(run)
    if not np.isfinite(reach).any():
        return "Every step size of descent diverges"
    k = int(np.nanargmax(np.where(np.isfinite(reach), reading.step_sizes(run), np.nan)))
    eta = number(float(reading.step_sizes(run)[k]))
    said = f"At η = {eta} descent stays within {number(float(reach[k]))} of the flow"
    bound = run["tracking_bound.bound"][k]
    if np.isfinite(bound).any():
        said += f", where the bound says {number(float(np.nanmax(bound)))}"
    middle = half_way(run)
    return f"{said}; half of that is made by t = {number(middle)}" if np.isfinite(middle) else said


def worst(run: Run) -> np.ndarray:
    """Return the largest distance by step size; nan where descent diverged."""
    distance = run["tracking_bound.distance"]
    known = np.where(np.isfinite(distance), distance, -np.inf).max(axis=1)
    return np.where(np.isfinite(known) & ~reading.diverged(run), known, np.nan)


def over_variants(parts: Mapping[str, Run]) -> str:
    """Say how far descent comes from the flow in each variant."""
    reach = {name: worst(part) for name, part in parts.items()}
    known = [f"{number(float(np.nanmax(v)))} in {n}" for n, v in reach.items() if not all_nan(v)]
    if not known:
        return "Every step size of descent diverges"
    return f"Descent comes from the flow by up to {listed(known, most=5)}"


def all_nan(values: np.ndarray) -> bool:
    """Say whether no value is known."""
    return bool(np.isnan(values).all())
