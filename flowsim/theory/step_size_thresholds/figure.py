"""The regime of each step size: tracks the flow, converges off it, periodic, aperiodic, diverges.

Above the strip of regimes: distance to the flow and final loss, dots coloured by regime.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run
from flowsim.theory.long_run.regimes import Regime
from flowsim.theory.step_size_thresholds.regime_strip import (
    GROUP,
    LIMITS,
    REGIME_STYLES,
    critical_unit,
    draw_limits,
    draw_strip,
    fill_regimes,
    largest_shown,
    limits,
    read,
    read_number,
    regime_legend,
)

SHAPES = dict(zip(Regime, "osD^x", strict=True))
FIT: style.LineStyle = {
    "color": style.INK,
    "linewidth": 0.9,
    "linestyle": (0, (3, 1.5)),
    "zorder": 3,
}
STRIP, ABOVE = 0.42, 0.36
"""Inches: the strip's height, and what stands above it: its second axis."""
APART = 0.006
"""Dots closer together than this fraction of a panel's width are not all drawn."""
DISTANCE = r"$\max_k\,\|W_k-W(k\eta)\|_F$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    lacking = reading.why_missing(run, f"{GROUP}.scanned_fate")
    if not lacking and not np.unique(read(run, "scanned")).size > 1:
        return "descent was followed at a single step size"
    return lacking


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the strip of regimes under distance and loss; of variants, loss over their regimes."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one run: distance from the flow and final loss against η, and below them the strip."""
    run = subject.run
    drawn = limits(run)
    grid = layout.panel_grid(
        subject,
        panels=2,
        names=(distance_title(run), "loss at the flow's end"),
        legend=regime_legend([run]) | {"fitted power of η": FIT} | dict(drawn.values()),
        gap=layout.OWN_AXIS,
        under=layout.AXIS_LINE + STRIP + ABOVE,
    )
    left, right = grid.panels
    draw_distance(left, run)
    draw_loss(right, run)
    wide = layout.WIDE - layout.LEFT - layout.RIGHT
    (strip,) = grid.add_row(1, STRIP, wide, 0.0)
    draw_strip(strip, run)
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the final loss of every variant over the colours of its regimes."""
    parts = subject.parts
    grid = layout.panel_grid(subject, legend=regime_legend(parts.values()))
    curves.log_axis(grid.panels, [shown_loss(part) for part in parts.values()])
    for panel, part in zip(grid.panels, parts.values(), strict=True):
        fill_regimes(panel, part, critical_unit(part))
        draw_markers(panel, part, "final_loss", critical_unit(part), face="white")
        panel.axvline(1.0, **LIMITS["critical_end"][1])
    grid.label("step size, ηλ/2", "loss at the flow's end")
    return grid


def draw_markers(panel: Axes, run: Run, name: str, scale: float, face: str = "") -> None:
    """Draw one dot per step size by its regime, at the top where its value exceeds the axis."""
    eta, values, codes = (read(run, f"scanned{end}") for end in ("", f"_{name}", "_fate"))
    eta, top = eta / scale, panel.get_ylim()[1]
    seen = spread(panel, eta)
    for regime in Regime:
        mine = seen & (codes == regime.code)
        line_style: style.LineStyle = {
            "linestyle": "none",
            "marker": SHAPES[regime],
            "color": style.INK
            if regime is Regime.DIVERGES
            else face or REGIME_STYLES[regime]["facecolor"],
            "markeredgecolor": style.INK,
            "markeredgewidth": 0.3 if regime is not Regime.DIVERGES else 0.7,
            "markersize": 2.6,
        }
        with np.errstate(invalid="ignore"):
            # not so where a value is inf: its mark is drawn at the top of the panel
            inside = mine & (values <= top)
        panel.plot(eta[inside], values[inside], **line_style)
        off = mine & ~inside
        if off.any():
            panel.plot(eta[off], np.full(int(off.sum()), top), **{**line_style, "clip_on": False})


def spread(panel: Axes, eta: np.ndarray) -> np.ndarray:
    """Return which step sizes, ascending, to draw: those in the panel that are not too close."""
    low, high = panel.get_xlim()
    log = panel.get_xscale() == "log"
    # the place of each step size on the axis, from 0 to 1
    place = np.log(eta / low) / np.log(high / low) if log else (eta - low) / (high - low)
    seen = np.zeros(eta.size, dtype=bool)
    last = -np.inf
    for k in np.flatnonzero((place >= 0) & (place <= 1)):
        if place[k] - last >= APART:
            seen[k], last = True, place[k]
    return seen


def draw_distance(panel: Axes, run: Run) -> None:
    """Draw the distance from the flow against η, with its power law and the distances allowed."""
    eta, distance = read(run, "scanned"), read(run, "scanned_distance")
    positive = distance > 0
    panel.set_xscale("log")
    panel.set_xlim(float(eta.min()), largest_shown(run))
    known = positive & np.isfinite(distance) & (read(run, "scanned_fate") < Regime.DIVERGES.code)
    curves.log_axis([panel], [distance[known], read(run, "allowed")])
    for value, level in zip(read(run, "allowed"), read(run, "level"), strict=True):
        panel.axhline(value, **style.LEVEL)
        panel.annotate(
            f"{number(100 * float(level))} %", (float(eta.min()), value), xytext=(3, 1.5),
            textcoords="offset points", size=6.0,
        )  # fmt: skip
    draw_markers(panel, run, "distance", 1.0)
    if np.isfinite(read_number(run, "order")):
        ends = np.geomspace(
            read_number(run, "order_smallest"), read_number(run, "order_largest"), 50
        )
        p, C, b = (read_number(run, name) for name in ("order", "order_factor", "order_bend"))
        # the fitted form: log e is linear in log η and η, so that 1 + bη enters as exp(bη)
        panel.plot(ends, C * ends**p * np.exp(b * ends), **FIT)
    draw_limits(panel, run)
    panel.set(xlabel="step size η", ylabel=DISTANCE)


def draw_loss(panel: Axes, run: Run) -> None:
    """Draw the loss at the flow's end against η."""
    curves.log_axis([panel], [shown_loss(run)])
    panel.set_xlim(0.0, largest_shown(run))
    draw_markers(panel, run, "final_loss", 1.0)
    draw_limits(panel, run)
    curves.round_ticks(panel.xaxis, 6)
    panel.set(xlabel="step size η", ylabel="loss ℓ(W)")


def shown_loss(run: Run) -> np.ndarray:
    """Return the final losses of step sizes that do not diverge, or those of all."""
    loss, codes = read(run, "scanned_final_loss"), read(run, "scanned_fate")
    # comparisons with nan are false: undecided step sizes do not set the axis either
    kept = loss[codes < Regime.DIVERGES.code]
    return kept if np.isfinite(kept).any() else loss


def distance_title(run: Run) -> str:
    """Name the left panel after the order of the distance and its interval."""
    if not np.isfinite(read_number(run, "order")):
        return "distance from the flow"
    order, low, high = (read_number(run, name) for name in ("order", "order_low", "order_high"))
    off = max(high - order, order - low)
    # as many decimals as the first significant digit of the half-width needs
    digits = int(np.clip(-np.floor(np.log10(max(off, 1e-9))), 0, 8))
    return f"distance from the flow: order {order:.{digits}f} ± {off:.{digits}f}"


def headline(run: Run) -> str:
    """Return the step sizes up to which descent tracks the flow, converges and stays finite."""
    allowed, tracking = read(run, "level"), read(run, "tracking")
    phrases = [
        f"tracks the flow within {number(100 * float(level))} % up to η = {number(float(eta))}"
        for level, eta in zip(allowed, tracking, strict=True)
        if eta > 0
    ][:1]
    lost, oscillation, gone = (
        read_number(run, n) for n in ("convergence_lost", "oscillation", "divergence")
    )
    if np.isfinite(lost):
        phrases.append(f"converges up to {number(lost, 4)}")
    if np.isfinite(oscillation):
        phrases.append(
            f"oscillates from {'there' if oscillation == lost else number(oscillation, 4)}"
        )
    if np.isfinite(gone):
        phrases.append(f"diverges from {number(gone, 4)}")
    limit = read_number(run, "critical_end")
    end = f"; 2/λ at the flow's end is {number(limit, 4)}" if np.isfinite(limit) else ""
    return f"Descent {join_words(phrases)}{end}" if phrases else f"Regimes of descent{end}"


def over_variants(parts: Mapping[str, Run]) -> str:
    """Return in units of 2/λ where each variant stops converging, and where it diverges."""
    phrases = []
    for name, part in parts.items():
        lost, gone = (
            read_number(part, n) / critical_unit(part) for n in ("convergence_lost", "divergence")
        )
        phrases.append(f"{number(lost)} and {number(gone)} ({name})")
    return f"In units of 2/λ descent stops converging and diverges at {join_words(phrases, most=5)}"
