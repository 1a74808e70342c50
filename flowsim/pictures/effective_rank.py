"""Effective rank and nuclear norm of the end-to-end matrix over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

LABELS = {"effective_rank": "effective rank of W", "nuclear_norm": r"nuclear norm $\|W\|_*$"}


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_no_flow(run, "effective_rank") or reading.why_no_flow(run, "nuclear_norm")


def draw(run: Run) -> Figure:
    """Draw both measures side by side, of flows and descent or of every variant."""
    parts = reading.fitted(run, why_unavailable)
    pens = dict(zip(parts, style.curve_pens(len(parts)), strict=True))
    own_keys = curves.flow_keys(run, "effective_rank") | curves.step_keys([run])
    levels = {measure: curves.least_levels(parts.values(), measure) for measure in LABELS}
    least = {curves.LEAST_KEY: style.LEVEL} if levels["effective_rank"].size else {}
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=2,
        keys=(pens if run.variants else own_keys) | least,
        steps=None if run.variants else scales.many([run]),
        drawn=parts if run.variants else (),
        gap=page.OWN_AXIS,
    )
    times = [p[f"{s}.time"] for p in parts.values() for s in reading.spaces(p, "effective_rank")]
    curves.time_axis(sheet.panels, times, reading.logarithmic(parts.values()))
    for panel, measure in zip(sheet.panels, LABELS, strict=True):
        panel.set(xlabel="time t", ylabel=LABELS[measure])
        if run.variants:
            draw_variants(panel, parts, measure, pens, levels[measure])
        else:
            draw_plain(panel, run, measure, levels[measure])
        curves.draw_levels(panel, levels[measure])
    return sheet.figure


def draw_plain(panel: Axes, run: Run, measure: str, levels: np.ndarray) -> None:
    """Draw one measure of every flow and every step size."""
    flows = [run[f"{space}.{measure}"] for space in reading.spaces(run, measure)]
    descends = reading.descends(run, measure)
    shown = [*flows, levels]
    if descends:
        most = 1.5 * max(float(np.nanmax(values)) for values in flows)
        shown += curves.settled(run, run[f"descent.{measure}"], most, slack=1)
    top = curves.plain_axis([panel], shown)
    curves.draw_flows(panel, run, measure)
    if descends:
        sizes = reading.all_step_sizes([run])
        curves.draw_descent(panel, run, run[f"descent.{measure}"], sizes, top)


def draw_variants(
    panel: Axes,
    parts: dict[str, Run],
    measure: str,
    pens: dict[str, style.Pen],
    levels: np.ndarray,
) -> None:
    """Draw one measure of each variant's first flow."""
    firsts = {name: reading.spaces(part, measure)[0] for name, part in parts.items()}
    values = {name: part[f"{firsts[name]}.{measure}"] for name, part in parts.items()}
    curves.plain_axis([panel], [*values.values(), levels])
    for k, (name, part) in enumerate(parts.items()):
        curves.plot(panel, part[f"{firsts[name]}.time"], values[name], pens[name], shift=k)


def final(run: Run, measure: str) -> float:
    """Return where the first flow ends."""
    return reading.ends(run[f"{reading.spaces(run, measure)[0]}.{measure}"])[1]


def headline(run: Run) -> str:
    """Say how both measures go along the first flow."""
    rank, norm = (
        reading.course(run[f"{reading.spaces(run, measure)[0]}.{measure}"]) for measure in LABELS
    )
    least = reading.least(run, "effective_rank")
    other = f"; of least nuclear norm the rank is {number(least)}" if np.isfinite(least) else ""
    return f"Along the flow the effective rank {rank} and the nuclear norm {norm}{other}"


def over_variants(parts: dict[str, Run]) -> str:
    """Say which effective rank each variant ends with."""
    ranks = {name: final(part, "effective_rank") for name, part in parts.items()}
    if len(ranks) > 5:
        low, high = min(ranks, key=ranks.__getitem__), max(ranks, key=ranks.__getitem__)
        return (
            f"The final effective rank is lowest for {low} ({number(ranks[low])}) "
            f"and highest for {high} ({number(ranks[high])})"
        )
    said = f"Final effective rank: {listed(f'{n} {number(rank)}' for n, rank in ranks.items())}"
    levels = curves.least_levels(parts.values(), "effective_rank")
    return f"{said}; {number(levels[0])} of least nuclear norm" if levels.size == 1 else said
