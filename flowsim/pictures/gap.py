"""Distance between the end-to-end flow and the layer flow, beside the error estimates of both.

From balanced initialization the two flows agree, so that only integration errors remain and the
curve is in the band. From other initializations they differ, and the curve leaves it.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

GAP: style.LineStyle = {"color": "#0072B2", "linewidth": 1.4}
GAP_LABEL, BAND_LABEL = "distance between the flows", "sum of both error estimates"
FEW_TIMES = 0.05
"""Fraction of times outside the band below which a single sentence still calls it agreement."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "comparison.end_to_end_vs_layers")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw ‖W_end-to-end − W_layers‖_F(t), and the sum of both error estimates as a band."""
    parts = subject.parts
    estimates = {name: summed_error_estimate(part) for name, part in parts.items()}
    known = any(np.isfinite(e).any() for e in estimates.values())
    grid = layout.panel_grid(
        subject, legend={GAP_LABEL: GAP} | ({BAND_LABEL: style.BAND} if known else {})
    )
    gaps = [part["comparison.end_to_end_vs_layers"] for part in parts.values()]
    curves.time_axes(grid.panels, parts.values(), lambda part: [part["comparison.time"]])
    curves.log_axis(grid.panels, [*gaps, *estimates.values()])
    for panel, (name, part) in zip(grid.panels, parts.items(), strict=True):
        draw_band(panel, part["comparison.time"], estimates[name])
        curves.plot(panel, part["comparison.time"], part["comparison.end_to_end_vs_layers"], GAP)
    grid.label("time t", r"$\|W_\mathrm{end\,to\,end}-W_\mathrm{layers}\|_F$")
    return grid


def summed_error_estimate(run: Run) -> np.ndarray:
    """Return the sum of both flows' error estimates at the compared times; nan if unknown."""
    time = run["comparison.time"]
    total = np.zeros(len(time))
    for space in ("layers", "end_to_end"):
        if not reading.has_numbers(run, f"{space}.error_estimate"):
            return np.full(len(time), np.nan)
        # flows may have different saved times: one may have ended early
        total += np.interp(time, run[f"{space}.time"], run[f"{space}.error_estimate"])
    return total


def draw_band(panel: Axes, time: np.ndarray, upper: np.ndarray) -> None:
    """Shade from the bottom of the axes up to the error estimate where it is known."""
    if panel.get_xscale() == "log":
        time, upper = time[time > 0], upper[time > 0]
    shaded = np.isfinite(upper) & (upper > 0)
    if shaded.any():
        floor = panel.get_ylim()[0]
        panel.fill_between(time, floor, np.where(shaded, upper, floor), where=shaded, **style.BAND)


def exceeds(run: Run) -> np.ndarray:
    """Return a boolean per compared time: whether the distance exceeds estimates and rounding.

    Rounding is taken as 1e-14 of the largest nuclear norm: where the error estimate is zero, the
    products of the layers in two orders still differ by that much.
    """
    norm = run.groups["layers"].get("nuclear_norm")
    rounding = 1e-14 * float(np.nanmax(norm.values, initial=0.0)) if norm is not None else 0.0
    with np.errstate(invalid="ignore"):
        bound = np.maximum(summed_error_estimate(run), rounding)
        return np.asarray(run["comparison.end_to_end_vs_layers"] > bound)


def headline(run: Run) -> str:
    """Return whether the flows agree within their error estimates, and their largest distance."""
    distance, time = run["comparison.end_to_end_vs_layers"], run["comparison.time"]
    largest = number(float(np.nanmax(distance)))
    bounds, outside = summed_error_estimate(run), exceeds(run)
    if not np.isfinite(bounds).any():
        return f"End-to-end flow and layer flow differ by at most {largest}"
    agree = "End-to-end flow and layer flow agree within their error estimates"
    fraction = float(np.mean(outside))
    if fraction < FEW_TIMES:
        # never 100 %, which would contradict the exceptions
        percent = min(round(100 * (1 - fraction)), 99)
        often = f" at {percent} % of times; " if fraction else ": "
        return f"{agree}{often}their distance is at most {largest}"
    worst = int(np.nanargmax(distance))
    times = f", {number(distance[worst] / bounds[worst])} times the error estimates"
    return (
        f"End-to-end flow and layer flow differ: their distance reaches {largest} "
        f"at t = {number(time[worst])}{times if bounds[worst] > 0 else ''}"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Return the variants whose flows agree within their error estimates, and the others."""
    unknown = [n for n, part in parts.items() if not np.isfinite(summed_error_estimate(part)).any()]
    apart = [n for n, part in parts.items() if n not in unknown and exceeds(part).any()]
    agree = [n for n in parts if n not in apart and n not in unknown]
    phrases = []
    if agree:
        whom = "every variant shown" if len(agree) == len(parts) else join_words(agree, most=4)
        phrases.append(f"within their error estimates for {whom}")
    if apart:
        ends = join_words((f"{n} ({describe_excess(parts[n])})" for n in apart), most=4)
        phrases.append(f"not for {ends}" if agree else f"in no variant: {ends}")
    if unknown:
        phrases.append(f"unknown for {join_words(unknown, most=4)}")
    return f"End-to-end flow and layer flow agree {'; '.join(phrases)}"


def describe_excess(run: Run) -> str:
    """Return how often the distance exceeds the error estimates, or if often, its largest value."""
    fraction = float(np.mean(exceeds(run)))
    if fraction < 0.5:
        return f"outside at {max(round(100 * fraction), 1)} % of times"
    return f"distance up to {number(float(np.nanmax(run['comparison.end_to_end_vs_layers'])))}"
