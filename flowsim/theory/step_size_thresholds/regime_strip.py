"""A strip of regimes by step size, with the critical step sizes 2/λ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, page, style
from flowsim.results.run import Run
from flowsim.theory.long_run.regimes import Regime

GROUP = "step_size_thresholds"
LOOKS: Mapping[Regime, style.Pen] = {
    Regime.TRACKS: {"facecolor": "#56B4E9", "hatch": ""},
    Regime.CONVERGES: {"facecolor": "#009E73", "hatch": "..."},
    Regime.PERIODIC: {"facecolor": "#E69F00", "hatch": "///"},
    Regime.APERIODIC: {"facecolor": "#CC79A7", "hatch": "xxx"},
    Regime.DIVERGES: {"facecolor": "#6b6b6b", "hatch": ""},
}
"""The fill of each regime; a hatch distinguishes the middle ones in grey."""
EDGE: style.Pen = {"edgecolor": "white", "linewidth": 0.0}
LIMITS: dict[str, tuple[str, style.Pen]] = {
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
"""Limits closer than this share are drawn once."""
BEYOND = 1.15
"""How far past divergence the strip goes."""


def of(run: Run, name: str) -> np.ndarray:
    """Return a variable of the group."""
    return run[f"{GROUP}.{name}"]


def one(run: Run, name: str) -> float:
    """Return a single number of the group."""
    return float(run[f"{GROUP}.{name}"])


def regime_keys(runs: Iterable[Run]) -> dict[str, style.Pen]:
    """Return the legend of the regimes that occur."""
    known = {code for run in runs for code in curves.finite([of(run, "scanned_fate")])}
    return {each.word: {**LOOKS[each], **EDGE} for each in Regime if each.code in known}


def limits(run: Run) -> dict[float, tuple[str, style.Pen]]:
    """Return the limits 2/λ that are shown and differ, each with its name and pen."""
    found: dict[float, tuple[str, style.Pen]] = {}
    for name, told in LIMITS.items():
        value = one(run, name)
        if value < reach(run) and all(abs(value - other) > SAME * other for other in found):
            found[value] = told
    return found


def unit(run: Run) -> float:
    """Return 2/λ at the flow's end, 1 where it is not known."""
    value = one(run, "critical_end")
    return value if np.isfinite(value) else 1.0


def reach(run: Run) -> float:
    """Return the largest step size that is shown: a little past divergence, or all."""
    gone, last = one(run, "divergence"), float(of(run, "scanned").max())
    return min(BEYOND * gone, last) if np.isfinite(gone) else last


def bands(run: Run) -> list[tuple[float, float, Regime]]:
    """Return intervals of step sizes (low, high, regime), ascending.

    Regimes change half-way between neighbouring step sizes. Undecided ones are left out.
    """
    eta, codes = of(run, "scanned"), of(run, "scanned_fate")
    middle = np.concatenate([[0.0], (eta[1:] + eta[:-1]) / 2, [max(reach(run), eta[-1])]])
    known = np.where(np.isnan(codes), -1, codes).astype(int)
    by_code = {regime.code: regime for regime in Regime}
    starts = np.flatnonzero(np.diff(known, prepend=-2))
    ends = np.append(starts[1:], eta.size)
    return [
        (float(middle[a]), float(middle[b]), by_code[int(known[a])])
        for a, b in zip(starts, ends, strict=True)
        if known[a] >= 0
    ]


def fill(panel: Axes, run: Run, scale: float) -> None:
    """Fill a panel with the colours of regimes, over step sizes in units of `scale`."""
    top = reach(run) / scale
    for low, high, regime in bands(run):
        panel.axvspan(low / scale, high / scale, **LOOKS[regime], **EDGE, zorder=0.5)
    panel.set_xlim(0.0, top)
    panel.grid(visible=False)


def draw_strip(panel: Axes, run: Run) -> None:
    """Draw the strip of regimes with their names, the limits, and a second axis in units of 2/λ."""
    fill(panel, run, 1.0)
    wide = curves.panel_width(panel) / reach(run)
    for low, high, regime in bands(run):
        name = regime.word
        if (min(high, reach(run)) - low) * wide > 1.1 * len(name) * page.CHARACTER:
            panel.text(
                (low + min(high, reach(run))) / 2, 0.5, name, ha="center", va="center", size=6.8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
            )  # fmt: skip
    draw_limits(panel, run)
    panel.set(ylim=(0, 1), yticks=[], xlabel="step size η")
    curves.nice_ticks(panel.xaxis, 8)
    if np.isfinite(one(run, "critical_end")):
        scale = unit(run)
        above = panel.secondary_xaxis(
            "top", functions=(lambda x: np.asarray(x) / scale, lambda x: np.asarray(x) * scale)
        )
        curves.nice_ticks(above.xaxis, 8)
        above.set_xlabel("η in units of 2/λ at the flow's end", labelpad=2.0, size=6.5)
        above.spines["top"].set_visible(True)


def draw_limits(panel: Axes, run: Run) -> None:
    """Draw a line across the panel at each limit 2/λ."""
    low, high = panel.get_xlim()
    for value, (_, pen) in limits(run).items():
        if low < value < high:
            panel.axvline(value, **pen, zorder=2.5)
