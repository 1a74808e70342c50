"""Schatten norms and quasi-norms of W over time, its effective rank beside them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

PANELS = {
    "schatten_half": "p = 1/2, a quasi-norm",
    "schatten_two_thirds": "p = 2/3, a quasi-norm",
    "nuclear_norm": "p = 1, the nuclear norm",
    "frobenius": "p = 2, the Frobenius norm",
    "spectral": "p = ∞, the spectral norm",
    "effective_rank": "effective rank",
}
NORMS = tuple(PANELS)[:-1]
FLOW: style.Pen = {"color": style.OKABE_ITO[0]}
SHOWN = 1e-2
"""Of a norm that starts small, what is under so much of where it ends is not shown."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "norms.nuclear_norm")


def draw(run: Run) -> Figure:
    """Draw each norm in its panel, a curve a variant, and the least nuclear norm's as a level."""
    parts = reading.fitted(run, why_unavailable)
    pens = dict(zip(parts, style.curve_pens(len(parts)), strict=True))
    levels = {measure: curves.least_levels(parts.values(), measure) for measure in PANELS}
    least = {curves.LEAST_KEY: style.LEVEL} if levels["nuclear_norm"].size else {}
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(PANELS),
        names=list(PANELS.values()),
        keys=(pens if run.variants else {"flow": FLOW}) | least,
        drawn=parts if run.variants else (),
        gap=page.OWN_AXIS,
    )
    times = [part["norms.time"] for part in parts.values()]
    curves.time_axis(sheet.panels, times, reading.logarithmic(parts.values()))
    for panel, measure in zip(sheet.panels, PANELS, strict=True):
        draw_measure(panel, parts, measure, pens if run.variants else {run.name: FLOW})
        curves.draw_levels(panel, levels[measure])
        fit(panel, [part[f"norms.{measure}"] for part in parts.values()], levels[measure], measure)
    for panel in sheet.lowest():
        panel.set_xlabel("time t")
    for panel in sheet.panels[:: sheet.columns]:
        panel.set_ylabel("Schatten norm of W")
    return sheet.figure


def draw_measure(
    panel: Axes, parts: dict[str, Run], measure: str, pens: dict[str, style.Pen]
) -> None:
    """Draw a measure of every variant, or of the run itself."""
    for k, (name, part) in enumerate(parts.items()):
        curves.plot(panel, part["norms.time"], part[f"norms.{measure}"], pens[name], shift=k)


def fit(panel: Axes, values: list[np.ndarray], levels: np.ndarray, measure: str) -> None:
    """Fit the value axis: linear for the rank, and for norms from a little under their ends."""
    if measure not in NORMS:
        curves.plain_axis([panel], [*values, levels])
        return
    least = SHOWN * min(*(reading.ends(v)[1] for v in values), *levels, np.inf)
    shown = [np.where(v >= least, v, np.nan) for v in values]
    curves.log_axis([panel], [*shown, levels])


def headline(run: Run) -> str:
    """Say how the rank and the nuclear norm go, whether every norm rises, and what it ends over."""
    rank, nuclear = (reading.course(run[f"norms.{m}"]) for m in ("effective_rank", "nuclear_norm"))
    pairs = (reading.ends(run[f"norms.{norm}"]) for norm in NORMS)
    said = f"The effective rank {rank}, the nuclear norm {nuclear}"
    if all(last > first for first, last in pairs):
        said += ", and every other norm rises too"
    if np.isfinite(over_least(run, "nuclear_norm")):
        one, half = (number(over_least(run, norm)) for norm in ("nuclear_norm", "schatten_half"))
        said += f"; over those of least nuclear norm p = 1 ends at {one} and p = 1/2 at {half}"
    return said


def over_least(run: Run, norm: str) -> float:
    """Return the end of a norm over that of the solution of least nuclear norm."""
    return reading.over_least(run, reading.ends(run[f"norms.{norm}"])[1], norm)


def over_variants(parts: dict[str, Run]) -> str:
    """Say where every variant ends: beside the least nuclear norm, or in norm and rank."""
    levels = curves.least_levels(parts.values(), "effective_rank")
    if all(np.isfinite(over_least(part, "nuclear_norm")) for part in parts.values()):
        over = (f"{number(over_least(p, 'nuclear_norm'))} ({name})" for name, p in parts.items())
        ranks = (number(reading.ends(p["norms.effective_rank"])[1]) for p in parts.values())
        said = f"The nuclear norm ends at {listed(over, most=4)} times the least; "
        said += f"the effective rank at {listed(ranks, most=4)}"
        return f"{said} instead of {number(levels[0])}" if levels.size == 1 else said
    found = (
        f"{name} {number(reading.ends(part['norms.nuclear_norm'])[1])} at "
        f"rank {number(reading.ends(part['norms.effective_rank'])[1])}"
        for name, part in parts.items()
    )
    return f"Final nuclear norm and effective rank: {listed(found, most=4)}"
