"""Effective rank and nuclear norm of the end-to-end matrix over time.

The effective rank is exp(−Σ p_r log p_r) with p_r = σ_r/Σσ (Roy & Vetterli 2007). It stays low
while few modes are learned, whatever their size; the nuclear norm Σσ counts their size.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LABELS = {"effective_rank": "effective rank of W", "nuclear_norm": r"nuclear norm $\|W\|_*$"}


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_no_flow(run, "effective_rank") or reading.why_no_flow(run, "nuclear_norm")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw rank and norm side by side, of all flows and of descent, or of every variant's flow."""
    run, parts = subject.run, subject.parts
    own = curves.flow_legend(run, "effective_rank") | curves.step_size_legend([run])
    line_styles = curves.variant_legend(run, parts, style.FLOW)
    levels = {measure: curves.minimum_norm_levels(parts.values(), measure) for measure in LABELS}
    known = bool(levels["effective_rank"].size)
    grid = layout.panel_grid(
        subject,
        panels=2,
        legend=(line_styles if run.variants else own)
        | ({curves.MINIMUM_NORM_LABEL: style.LEVEL} if known else {}),
        steps=None if run.variants else scales.scale_if_many([run]),
        gap=layout.OWN_AXIS,
    )
    flows = {name: reading.flows_with(part, "effective_rank") for name, part in parts.items()}
    times = [parts[name][f"{space}.time"] for name, spaces in flows.items() for space in spaces]
    curves.fit_time_axis(grid.panels, times, reading.has_log_times(parts.values()))
    for panel, measure in zip(grid.panels, LABELS, strict=True):
        if run.variants:
            each = [reading.first_curve(part, measure) for part in parts.values()]
            flow_times, values = zip(*each, strict=True)
            curves.plain_axis([panel], [*values, levels[measure]])
            curves.draw_parts(panel, flow_times, values, line_styles)
        else:
            draw_plain(panel, run, measure, levels[measure])
        curves.draw_levels(panel, levels[measure])
    grid.label("time t", *LABELS.values())
    return grid


def draw_plain(panel: Axes, run: Run, measure: str, levels: np.ndarray) -> None:
    """Draw one quantity of every flow and every step size."""
    flows = [run[f"{space}.{measure}"] for space in reading.flows_with(run, measure)]
    has_descent = reading.has_descent(run, measure)
    shown = [*flows, levels]
    if has_descent:
        # iterates far above the flows, as those near divergence, do not set the axis
        most = 1.5 * max(float(np.nanmax(values)) for values in flows)
        shown += curves.values_in_view(run, run[f"descent.{measure}"], most, slack=1)
    top = curves.plain_axis([panel], shown)
    curves.draw_flows(panel, run, measure)
    if has_descent:
        sizes = reading.all_step_sizes([run])
        curves.draw_descent(panel, run, run[f"descent.{measure}"], sizes, top)


def headline(run: Run) -> str:
    """Return how rank and norm of the reference flow change."""
    rank, norm = (reading.describe_change(reading.first_flow(run, each)) for each in LABELS)
    reference = reading.minimum_norm_value(run, "effective_rank")
    other = f"; minimum nuclear norm has rank {number(reference)}" if np.isfinite(reference) else ""
    return f"Along the flow the effective rank {rank} and the nuclear norm {norm}{other}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return each variant's final effective rank, or the lowest and the highest of many."""
    ranks = {name: reading.final_value(part, "effective_rank") for name, part in parts.items()}
    if len(ranks) > 5:
        return f"The final effective rank is {reading.describe_extremes(ranks)}"
    phrases = (f"{name} {number(rank)}" for name, rank in ranks.items())
    sentence = f"Final effective rank: {join_words(phrases)}"
    levels = curves.minimum_norm_levels(parts.values(), "effective_rank")
    reference = f"; {number(levels[0])} for minimum nuclear norm" if levels.size == 1 else ""
    return sentence + reference
