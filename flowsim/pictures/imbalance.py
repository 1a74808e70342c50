"""Imbalance of neighbouring layers over time: conserved by gradient flow, not by descent.

W_{j+1}ᵀW_{j+1} − W_jW_jᵀ is constant along the flow over the layers (Arora, Cohen & Hazan 2018), so
that every grey line is level; gradient descent changes it by O(η²) per step.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, scales, style
from flowsim.pictures.kit.words import join_words, number, with_subscripts
from flowsim.results.run import Run

LABEL = r"$\|W_{j+1}^\top W_{j+1}-W_jW_j^\top\|_F$"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    for path in ("layers.imbalance", "descent.imbalance"):
        group, name = path.split(".")
        variable = run.groups.get(group, {}).get(name)
        if variable is not None and variable.values.shape[-1] == 0:
            return "a network of one layer has no neighbouring layers to compare"
    return reading.why_missing(run, "layers.imbalance")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the flow's imbalance by pair of layers, and descent's largest by step size.

    Of variants both are in one panel per variant, otherwise in a panel each.
    """
    run, parts = subject.run, subject.parts
    descending = [part for part in parts.values() if reading.has_descent(part, "imbalance")]
    count = max(part["layers.imbalance"].shape[1] for part in parts.values())
    line_styles = [style.FLOW] * count if run.variants else style.grey_styles(count)
    pairs = {pair_name(j): line_style for j, line_style in enumerate(line_styles)}
    grid = layout.panel_grid(
        subject,
        alone=("layer flow, each pair", "gradient descent, largest pair") if descending else (),
        legend=({"layer flow, each pair": style.FLOW} if run.variants else pairs)
        | curves.step_size_legend(descending),
        steps=scales.scale_if_many(descending),
        gap=layout.SHARED_AXIS,
    )
    curves.time_axes(grid.panels, parts.values(), lambda part: [part["layers.time"]])
    top = fit_value_axis(grid.panels, parts)
    of_descent = grid.panels if run.variants else grid.panels[-1:]
    for panel, beside, part in zip(grid.panels, of_descent, parts.values(), strict=False):
        for j, pair in enumerate(part["layers.imbalance"].T):
            curves.plot(panel, part["layers.time"], pair, line_styles[j], shift=j)
        if part in descending:
            sizes = reading.all_step_sizes(descending)
            curves.draw_descent(beside, part, largest_over_pairs(part), sizes, top)
    grid.label("time t", LABEL)
    return grid


def fit_value_axis(panels: tuple[Axes, ...], parts: dict[str, Run]) -> float:
    """Fit the shared value axis to flows and descent, and return its top."""
    shown = [part["layers.imbalance"] for part in parts.values()]
    # ten times the flow's: what diverges beyond would flatten everything else
    ceiling = max([10 * float(np.nanmax(values, initial=0.0)) for values in shown])
    for part in parts.values():
        if reading.has_descent(part, "imbalance"):
            largest = largest_over_pairs(part)
            done = np.nanmax(largest[~reading.diverged(part)], initial=0.0)
            shown += curves.values_in_view(part, largest, max(ceiling, float(done)))
    return curves.log_axis(panels, shown)


def largest_over_pairs(run: Run) -> np.ndarray:
    """Return descent's largest imbalance over the pairs, `(step_size, sample)`; nan stays nan."""
    return np.asarray(np.max(run["descent.imbalance"], axis=-1))


def pair_name(j: int) -> str:
    """Return the name of a pair of layers, counted from zero: W₁, W₂."""
    return f"{with_subscripts('W', j + 1)}, {with_subscripts('W', j + 2)}"


def largest_change(values: np.ndarray) -> float:
    """Return the largest change since initialization along the first axis; nan if none is known."""
    moved = np.abs(values - values[:1])
    return float(np.nanmax(moved)) if np.isfinite(moved).any() else float("nan")


def headline(run: Run) -> str:
    """Return by how much the imbalance changes along the flow and under descent."""
    flow = (
        f"Along the flow the imbalance changes by {number(largest_change(run['layers.imbalance']))}"
    )
    if not reading.has_descent(run, "imbalance"):
        return f"{flow} at most"
    done = np.flatnonzero(~reading.diverged(run))
    moved = [largest_change(run["descent.imbalance"][k]) for k in done]
    if not np.isfinite(moved).any():
        return f"{flow} at most; gradient descent diverges at every step size"
    k = int(np.nanargmax(moved))
    eta = number(float(reading.step_sizes(run)[done[k]]))
    return f"{flow} at most, under gradient descent by up to {number(moved[k])} (η = {eta})"


def over_variants(parts: dict[str, Run]) -> str:
    """Return by how much the imbalance changes along each variant's flow."""
    moved = {name: largest_change(part["layers.imbalance"]) for name, part in parts.items()}
    if len(moved) > 4:
        most = number(float(np.nanmax(list(moved.values()))))
        return f"Along the flow the imbalance changes by {most} at most, over all variants shown"
    phrases = join_words(f"{number(size)} in {name}" for name, size in moved.items())
    return f"Along the flow the imbalance changes by at most {phrases}"
