"""Schatten norms and quasi-norms of W over time, beside its effective rank.

In matrix completion all norms can grow to infinity while the effective rank falls: then no norm is
minimized, but the rank (Razin & Cohen 2020).
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
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
FLOW: style.LineStyle = {"color": style.OKABE_ITO[0]}
SHOWN = 1e-2
"""Fraction of its final value below which a norm is not shown: it starts near zero."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "norms.nuclear_norm")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw each norm in its panel, and its value at the minimum nuclear norm as a level."""
    run, parts = subject.run, subject.parts
    line_styles = curves.variant_legend(run, parts, FLOW)
    levels = {measure: curves.minimum_norm_levels(parts.values(), measure) for measure in PANELS}
    minimum = {curves.MINIMUM_NORM_LABEL: style.LEVEL} if levels["nuclear_norm"].size else {}
    grid = layout.panel_grid(
        subject,
        panels=len(PANELS),
        names=list(PANELS.values()),
        legend=(line_styles if run.variants else {"flow": FLOW}) | minimum,
        gap=layout.OWN_AXIS,
    )
    times = [part["norms.time"] for part in parts.values()]
    curves.fit_time_axis(grid.panels, times, reading.has_log_times(parts.values()))
    for panel, measure in zip(grid.panels, PANELS, strict=True):
        values = [part[f"norms.{measure}"] for part in parts.values()]
        curves.draw_parts(panel, times, values, line_styles)
        curves.draw_levels(panel, levels[measure])
        fit_value_axis(panel, values, levels[measure], measure)
    for panel in grid.panels[-grid.columns :]:
        panel.set_xlabel("time t")
    for panel in grid.panels[:: grid.columns]:
        panel.set_ylabel("Schatten norm of W")
    return grid


def fit_value_axis(panel: Axes, values: list[np.ndarray], levels: np.ndarray, measure: str) -> None:
    """Fit the value axis: linear for the rank; for norms without their small initial values."""
    if measure not in NORMS:
        curves.plain_axis([panel], [*values, levels])
        return
    minimum = SHOWN * min(*(reading.final(v) for v in values), *levels, np.inf)
    shown = [np.where(v >= minimum, v, np.nan) for v in values]
    curves.log_axis([panel], [*shown, levels])


def headline(run: Run) -> str:
    """Return how rank and nuclear norm change, and the final norms over their minimum."""
    rank, nuclear = (
        reading.describe_change(run[f"norms.{m}"]) for m in ("effective_rank", "nuclear_norm")
    )
    pairs = (reading.first_and_last(run[f"norms.{norm}"]) for norm in NORMS)
    sentence = f"The effective rank {rank}, the nuclear norm {nuclear}"
    if all(last > first for first, last in pairs):
        sentence += ", and every other norm rises too"
    if np.isfinite(over_minimum(run, "nuclear_norm")):
        one, half = (number(over_minimum(run, norm)) for norm in ("nuclear_norm", "schatten_half"))
        sentence += f"; relative to minimum nuclear norm p = 1 ends at {one} and p = 1/2 at {half}"
    return sentence


def over_minimum(run: Run, norm: str) -> float:
    """Return the final value of a norm over that at the minimum nuclear norm."""
    return reading.relative_to_minimum_norm(run, reading.final(run[f"norms.{norm}"]), norm)


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final norm and rank of each variant, relative to the minimum if known."""
    levels = curves.minimum_norm_levels(parts.values(), "effective_rank")
    if all(np.isfinite(over_minimum(part, "nuclear_norm")) for part in parts.values()):
        over = (f"{number(over_minimum(p, 'nuclear_norm'))} ({name})" for name, p in parts.items())
        ranks = (number(reading.final(p["norms.effective_rank"])) for p in parts.values())
        sentence = f"The nuclear norm ends at {join_words(over, most=4)} times the minimum; "
        sentence += f"the effective rank at {join_words(ranks, most=4)}"
        return f"{sentence} instead of {number(levels[0])}" if levels.size == 1 else sentence
    found = (
        f"{name} {number(reading.final(part['norms.nuclear_norm']))} at "
        f"rank {number(reading.final(part['norms.effective_rank']))}"
        for name, part in parts.items()
    )
    return f"Final nuclear norm and effective rank: {join_words(found, most=4)}"
