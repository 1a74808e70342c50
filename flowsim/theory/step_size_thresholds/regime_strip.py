"""A strip of regimes by step size, with the critical step sizes 2/λ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, legends, style
from flowsim.results.run import Run
from flowsim.theory.long_run.regimes import Regime

GROUP = "step_size_thresholds"
REGIME_STYLES: Mapping[Regime, style.LineStyle] = {
    Regime.TRACKS_FLOW: {"facecolor": "#56B4E9", "hatch": ""},
    Regime.OFF_FLOW: {"facecolor": "#009E73", "hatch": "..."},
    Regime.PERIODIC: {"facecolor": "#E69F00", "hatch": "///"},
    Regime.APERIODIC: {"facecolor": "#CC79A7", "hatch": "xxx"},
    Regime.DIVERGES: {"facecolor": "#6b6b6b", "hatch": ""},
}
"""The fill of each regime; a hatch distinguishes the middle ones in grey."""
EDGE: style.LineStyle = {"edgecolor": "white", "linewidth": 0.0}
LIMITS: dict[str, tuple[str, style.LineStyle]] = {
    "critical_end": (
        "2/λ at the flow's end",
        {"color": style.INK, "linewidth": 1.1, "linestyle": (0, (4, 2))},
    ),
    "critical_flow": (
        "smallest 2/λ along the flow",
        {"color": style.INK, "linewidth": 0.9, "linestyle": (0, (1, 1.5))},
    ),
    "critical_start": (
        "2/λ at the start",
        {"color": style.INK, "linewidth": 0.8, "linestyle": (0, (6, 2, 1, 2))},
    ),
}
SAME = 1e-3
"""Limits closer than this fraction are drawn once."""
BEYOND = 1.15
"""How far past divergence the strip goes."""


def read(run: Run, name: str) -> np.ndarray:
    """Return a variable of the group."""
    return run[f"{GROUP}.{name}"]


def read_number(run: Run, name: str) -> float:
    """Return a single number of the group."""
    return float(run[f"{GROUP}.{name}"])


def regime_legend(runs: Iterable[Run]) -> dict[str, style.LineStyle]:
    """Return the legend of the regimes that occur."""
    known = {code for run in runs for code in curves.finite_values([read(run, "scanned_fate")])}
    return {each.word: {**REGIME_STYLES[each], **EDGE} for each in Regime if each.code in known}


def limits(run: Run) -> dict[float, tuple[str, style.LineStyle]]:
    """Return the limits 2/λ that are shown and differ, each with its name and line style."""
    found: dict[float, tuple[str, style.LineStyle]] = {}
    for name, counted in LIMITS.items():
        value = read_number(run, name)
        if value < largest_shown(run) and all(abs(value - other) > SAME * other for other in found):
            found[value] = counted
    return found


def critical_unit(run: Run) -> float:
    """Return 2/λ at the flow's end, 1 where it is not known."""
    value = read_number(run, "critical_end")
    return value if np.isfinite(value) else 1.0


def largest_shown(run: Run) -> float:
    """Return the largest step size that is shown: a little past divergence, or all."""
    gone, last = read_number(run, "divergence"), float(read(run, "scanned").max())
    return min(BEYOND * gone, last) if np.isfinite(gone) else last


def bands(run: Run) -> list[tuple[float, float, Regime]]:
    """Return intervals of step sizes (low, high, regime), ascending.

    Regimes change half-way between neighbouring step sizes. Undecided ones are left out.
    """
    eta, codes = read(run, "scanned"), read(run, "scanned_fate")
    middle = np.concatenate([[0.0], (eta[1:] + eta[:-1]) / 2, [max(largest_shown(run), eta[-1])]])
    # -1: undecided; the -2 before the first makes it begin an interval
    known = np.where(np.isnan(codes), -1, codes).astype(int)
    by_code = {regime.code: regime for regime in Regime}
    starts = np.flatnonzero(np.diff(known, prepend=-2))
    ends = np.append(starts[1:], eta.size)
    return [
        (float(middle[a]), float(middle[b]), by_code[int(known[a])])
        for a, b in zip(starts, ends, strict=True)
        if known[a] >= 0
    ]


def fill_regimes(panel: Axes, run: Run, scale: float) -> None:
    """Fill a panel with the colours of regimes, over step sizes in units of `scale`."""
    top = largest_shown(run) / scale
    for low, high, regime in bands(run):
        panel.axvspan(low / scale, high / scale, **REGIME_STYLES[regime], **EDGE, zorder=0.5)
    panel.set_xlim(0.0, top)
    panel.grid(visible=False)


def draw_strip(panel: Axes, run: Run) -> None:
    """Draw the strip of regimes with their names, the limits, and a second axis in units of 2/λ."""
    fill_regimes(panel, run, 1.0)
    wide = layout.panel_size(panel)[0] / largest_shown(run)
    for low, high, regime in bands(run):
        name, end = regime.word, min(high, largest_shown(run))
        # names that do not fit into their interval are in the legend only
        if (end - low) * wide > 1.1 * len(name) * legends.CHARACTER:
            panel.text(
                (low + end) / 2, 0.5, name, ha="center", va="center", size=6.8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
            )  # fmt: skip
    draw_limits(panel, run)
    panel.set(ylim=(0, 1), yticks=[], xlabel="step size η")
    curves.round_ticks(panel.xaxis, 8)
    if np.isfinite(read_number(run, "critical_end")):
        scale = critical_unit(run)
        above = panel.secondary_xaxis(
            "top", functions=(lambda x: np.asarray(x) / scale, lambda x: np.asarray(x) * scale)
        )
        curves.round_ticks(above.xaxis, 8)
        above.set_xlabel("η in units of 2/λ at the flow's end", labelpad=2.0, size=6.5)
        above.spines["top"].set_visible(True)


def draw_limits(panel: Axes, run: Run) -> None:
    """Draw a line across the panel at each limit 2/λ."""
    low, high = panel.get_xlim()
    for value, (_, line_style) in limits(run).items():
        if low < value < high:
            panel.axvline(value, **line_style, zorder=2.5)
