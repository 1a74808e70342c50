"""The regime of each step size: tracks the flow, converges off it, periodic, aperiodic, diverges.

Above the strip of regimes: distance to the flow and final loss, dots coloured by regime.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run
from flowsim.theory.long_run.regimes import Regime
from flowsim.theory.step_size_thresholds.regime_strip import (
    GROUP,
    LIMITS,
    LOOKS,
    draw_limits,
    draw_strip,
    fill,
    limits,
    of,
    one,
    reach,
    regime_keys,
    unit,
)

SHAPES = dict(zip(Regime, "osD^x", strict=True))
FIT: style.Pen = {"color": style.INK, "linewidth": 0.9, "linestyle": (0, (3, 1.5)), "zorder": 3}
STRIP, ABOVE = 0.42, 0.36
"""Inches: the strip's height, and what stands above it: its second axis."""
APART = 0.006
"""Dots closer together than this share of a panel's width are not all drawn."""
DISTANCE = r"$\max_k\,\|W_k-W(k\eta)\|_F$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    lacking = reading.why_missing(run, f"{GROUP}.scanned_fate")
    if not lacking and not np.unique(of(run, "scanned")).size > 1:
        return "descent was followed at a single step size"
    return lacking


def draw(run: Run) -> Figure:
    """Draw the strip of regimes under distance and loss; of variants, loss over their regimes."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run: distance from the flow and final loss against η, and below them the strip."""
    drawn = limits(run)
    sheet = page.open_page(
        run,
        headline(run),
        panels=2,
        names=(order_name(run), "loss at the flow's end"),
        keys=regime_keys([run]) | {"fitted power of η": FIT} | dict(drawn.values()),
        gap=page.OWN_AXIS,
        under=page.AXIS_LINE + STRIP + ABOVE,
    )
    left, right = sheet.panels
    draw_distance(left, run)
    draw_loss(right, run)
    wide = page.WIDE - page.LEFT - page.RIGHT
    (strip,) = sheet.row(1, STRIP, wide, 0.0)
    draw_strip(strip, run)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw the final loss of every variant over the colours of its regimes."""
    parts = reading.fitted(run, why_unavailable)
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts),
        names=list(parts),
        drawn=parts,
        keys=regime_keys(parts.values()),
    )
    curves.log_axis(sheet.panels, [shown_loss(part) for part in parts.values()])
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        fill(panel, part, unit(part))
        dots(panel, part, "final_loss", unit(part), face="white")
        panel.axvline(1.0, **LIMITS["critical_end"][1])
    sheet.label("step size, ηλ/2", "loss at the flow's end")
    return sheet.figure


def dots(panel: Axes, run: Run, name: str, scale: float, face: str = "") -> None:
    """Draw one dot per step size by its regime, at the top where its value exceeds the axis."""
    eta, values, codes = (of(run, f"scanned{end}") for end in ("", f"_{name}", "_fate"))
    eta, top = eta / scale, panel.get_ylim()[1]
    seen = spread(panel, eta)
    for regime in Regime:
        mine = seen & (codes == regime.code)
        pen: style.Pen = {
            "linestyle": "none",
            "marker": SHAPES[regime],
            "color": style.INK if regime is Regime.DIVERGES else face or LOOKS[regime]["facecolor"],
            "markeredgecolor": style.INK,
            "markeredgewidth": 0.3 if regime is not Regime.DIVERGES else 0.7,
            "markersize": 2.6,
        }
        with np.errstate(invalid="ignore"):
            inside = mine & (values <= top)
        panel.plot(eta[inside], values[inside], **pen)
        off = mine & ~inside
        if off.any():
            panel.plot(eta[off], np.full(int(off.sum()), top), **{**pen, "clip_on": False})


def spread(panel: Axes, eta: np.ndarray) -> np.ndarray:
    """Return which step sizes, ascending, to draw: those in the panel that are not too close."""
    low, high = panel.get_xlim()
    log = panel.get_xscale() == "log"
    place = np.log(eta / low) / np.log(high / low) if log else (eta - low) / (high - low)
    seen = np.zeros(eta.size, dtype=bool)
    last = -np.inf
    for k in np.flatnonzero((place >= 0) & (place <= 1)):
        if place[k] - last >= APART:
            seen[k], last = True, place[k]
    return seen


def draw_distance(panel: Axes, run: Run) -> None:
    """Draw the distance from the flow against η, with its power law and the distances allowed."""
    eta, distance = of(run, "scanned"), of(run, "scanned_distance")
    positive = distance > 0
    panel.set_xscale("log")
    panel.set_xlim(float(eta.min()), reach(run))
    known = positive & np.isfinite(distance) & (of(run, "scanned_fate") < Regime.DIVERGES.code)
    curves.log_axis([panel], [distance[known], of(run, "allowed")])
    for value, level in zip(of(run, "allowed"), of(run, "level"), strict=True):
        panel.axhline(value, **style.LEVEL)
        panel.annotate(
            f"{number(100 * float(level))} %", (float(eta.min()), value), xytext=(3, 1.5),
            textcoords="offset points", size=6.0,
        )  # fmt: skip
    dots(panel, run, "distance", 1.0)
    if np.isfinite(one(run, "order")):
        ends = np.geomspace(one(run, "order_smallest"), one(run, "order_largest"), 50)
        p, C, b = (one(run, name) for name in ("order", "order_factor", "order_bend"))
        panel.plot(ends, C * ends**p * np.exp(b * ends), **FIT)
    draw_limits(panel, run)
    panel.set(xlabel="step size η", ylabel=DISTANCE)


def draw_loss(panel: Axes, run: Run) -> None:
    """Draw the loss at the flow's end against η."""
    curves.log_axis([panel], [shown_loss(run)])
    panel.set_xlim(0.0, reach(run))
    dots(panel, run, "final_loss", 1.0)
    draw_limits(panel, run)
    curves.nice_ticks(panel.xaxis, 6)
    panel.set(xlabel="step size η", ylabel="loss ℓ(W)")


def shown_loss(run: Run) -> np.ndarray:
    """Return the final losses of step sizes that do not diverge, or those of all."""
    loss, codes = of(run, "scanned_final_loss"), of(run, "scanned_fate")
    kept = loss[codes < Regime.DIVERGES.code]
    return kept if np.isfinite(kept).any() else loss


def order_name(run: Run) -> str:
    """Name the left panel after the order of the distance and its interval."""
    if not np.isfinite(one(run, "order")):
        return "distance from the flow"
    order, low, high = (one(run, name) for name in ("order", "order_low", "order_high"))
    off = max(high - order, order - low)
    digits = int(np.clip(-np.floor(np.log10(max(off, 1e-9))), 0, 8))
    return f"distance from the flow: order {order:.{digits}f} ± {off:.{digits}f}"


def headline(run: Run) -> str:
    """Say to which step size descent tracks the flow, converges, oscillates and stays finite."""
    allowed, tracking = of(run, "level"), of(run, "tracking")
    said = [
        f"tracks the flow within {number(100 * float(level))} % up to η = {number(float(eta))}"
        for level, eta in zip(allowed, tracking, strict=True)
        if eta > 0
    ][:1]
    lost, oscillation, gone = (
        one(run, n) for n in ("convergence_lost", "oscillation", "divergence")
    )
    if np.isfinite(lost):
        said.append(f"converges up to {number(lost, 4)}")
    if np.isfinite(oscillation):
        said.append(f"oscillates from {'there' if oscillation == lost else number(oscillation, 4)}")
    if np.isfinite(gone):
        said.append(f"diverges from {number(gone, 4)}")
    limit = one(run, "critical_end")
    end = f"; 2/λ at the flow's end is {number(limit, 4)}" if np.isfinite(limit) else ""
    return f"Descent {listed(said)}{end}" if said else f"Regimes of descent{end}"


def over_variants(parts: Mapping[str, Run]) -> str:
    """Say in units of 2/λ where each variant's descent stops converging, and where it diverges."""
    said = []
    for name, part in parts.items():
        lost, gone = (
            one(part, "convergence_lost") / unit(part),
            one(part, "divergence") / unit(part),
        )
        said.append(f"{number(lost)} and {number(gone)} ({name})")
    return f"In units of 2/λ descent stops converging and diverges at {listed(said, most=5)}"
