"""Distance between the end-to-end flow and the layers, against what the solutions can resolve."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

GAP: style.Pen = {"color": "#0072B2", "linewidth": 1.4}
GAP_KEY, BAND_KEY = "gap", "error estimates of both flows, summed"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "comparison.end_to_end_vs_layers")


def draw(run: Run) -> Figure:
    """Draw ‖W_end-to-end − W_layers‖_F(t), and the sum of both error estimates as a band."""
    parts = reading.fitted(run, why_unavailable)
    estimates = {name: estimate(part) for name, part in parts.items()}
    known = any(np.isfinite(e).any() for e in estimates.values())
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys={GAP_KEY: GAP} | ({BAND_KEY: style.BAND} if known else {}),
    )
    times = [[part["comparison.time"]] for part in parts.values()]
    gaps = [part["comparison.end_to_end_vs_layers"] for part in parts.values()]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    curves.log_axis(sheet.panels, [*gaps, *estimates.values()])
    for panel, (name, part) in zip(sheet.panels, parts.items(), strict=True):
        draw_band(panel, part["comparison.time"], estimates[name])
        curves.plot(panel, part["comparison.time"], part["comparison.end_to_end_vs_layers"], GAP)
    sheet.label("time t", r"$\|W_\mathrm{end\,to\,end}-W_\mathrm{layers}\|_F$")
    return sheet.figure


def estimate(run: Run) -> np.ndarray:
    """Return the sum of both flows' error estimates at the compared times; nan where unknown."""
    time = run["comparison.time"]
    total = np.zeros(len(time))
    for space in ("layers", "end_to_end"):
        if not reading.drawable(run, f"{space}.error_estimate"):
            return np.full(len(time), np.nan)
        total += np.interp(time, run[f"{space}.time"], run[f"{space}.error_estimate"])
    return total


def draw_band(panel: Axes, time: np.ndarray, upper: np.ndarray) -> None:
    """Shade from the bottom of the axes to the estimate, where there is one."""
    if panel.get_xscale() == "log":
        time, upper = time[time > 0], upper[time > 0]
    shaded = np.isfinite(upper) & (upper > 0)
    if shaded.any():
        floor = panel.get_ylim()[0]
        panel.fill_between(time, floor, np.where(shaded, upper, floor), where=shaded, **style.BAND)


def exceeds(run: Run) -> np.ndarray:
    """Return a boolean per compared time: the gap is larger than the estimate and than rounding.

    Rounding is taken as 1e-14 of the largest nuclear norm; two products of the same start differ
    by that much where the estimate is zero.
    """
    norm = run.groups["layers"].get("nuclear_norm")
    rounding = 1e-14 * float(np.nanmax(norm.values, initial=0.0)) if norm is not None else 0.0
    with np.errstate(invalid="ignore"):
        bound = np.maximum(estimate(run), rounding)
        return np.asarray(run["comparison.end_to_end_vs_layers"] > bound)


def headline(run: Run) -> str:
    """Say whether the gap lies inside the error estimates."""
    gap, time = run["comparison.end_to_end_vs_layers"], run["comparison.time"]
    largest = float(np.nanmax(gap))
    bounds, outside = estimate(run), exceeds(run)
    if not np.isfinite(bounds).any():
        return f"End-to-end flow and layers differ by at most {number(largest)}"
    if not outside.any():
        return (
            "End-to-end flow and layers agree within their error estimates: "
            f"the gap is at most {number(largest)}"
        )
    share = float(np.mean(outside))
    if share < 0.05:
        return (
            f"End-to-end flow and layers agree within their error estimates at "
            f"{min(round(100 * (1 - share)), 99)} % of times; the gap is at most {number(largest)}"
        )
    worst = int(np.nanargmax(gap))
    times = f", {number(gap[worst] / bounds[worst])} times the error estimates"
    return (
        f"End-to-end flow and layers differ: the gap reaches {number(largest)} "
        f"at t = {number(time[worst])}{times if bounds[worst] > 0 else ''}"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Say in which variants the gap lies inside the error estimates."""
    unknown = [n for n, part in parts.items() if not np.isfinite(estimate(part)).any()]
    apart = [n for n, part in parts.items() if n not in unknown and exceeds(part).any()]
    agree = [n for n in parts if n not in apart and n not in unknown]
    said = []
    if agree:
        whom = "every variant shown" if len(agree) == len(parts) else listed(agree, most=4)
        said.append(f"within their error estimates for {whom}")
    if apart:
        ends = listed((f"{n} ({excess(parts[n])})" for n in apart), most=4)
        said.append(f"not for {ends}" if agree else f"in no variant: {ends}")
    if unknown:
        said.append(f"unknown for {listed(unknown, most=4)}")
    return f"End-to-end flow and layers agree {'; '.join(said)}"


def excess(run: Run) -> str:
    """Say by how much, or how seldom, the gap leaves the error estimates."""
    share = float(np.mean(exceeds(run)))
    if share < 0.5:
        return f"outside at {max(round(100 * share), 1)} % of times"
    return f"gap up to {number(float(np.nanmax(run['comparison.end_to_end_vs_layers'])))}"
