"""Singular-value dynamics: σ̇_r of the layer flow, the formula for balanced layers, their deviation.

For balanced layers σ̇_r = −N σ_r^{2−2/N} u_rᵀ∇ℓ(W) v_r (Arora et al. 2019); from unbalanced
initialization the deviation exceeds its bound for balanced layers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.pictures.singular_values import TOP_MODES
from flowsim.results.run import Run

MOST_VARIANTS = 4
"""Variants drawn at most; each has a panel in both rows."""

MEASURED: style.LineStyle = {"color": "#666666", "linewidth": 1.9}
BOUND: style.LineStyle = {"color": "#666666", "linewidth": 0.8, "linestyle": (0, (1, 2))}
LEGEND: dict[str, style.LineStyle] = {
    "σ̇ of the layer flow; its deviation": MEASURED,
    "formula for balanced layers": style.EXACT,
    "bound on the deviation": BOUND,
}
GROUP = "singular_value_law"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, f"{GROUP}.velocity", f"{GROUP}.law")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw u_rᵀẆv_r(t) and the formula, and in a second row their relative deviation."""
    parts = first_variants(subject.parts)
    subject = replace(subject, parts=parts)
    grid = layout.panel_grid(
        subject,
        panels=2 * len(parts),
        names=list(parts) if subject.run.variants else (),
        legend=LEGEND,
        gap=layout.OWN_AXIS if len(parts) == 1 else layout.SHARED_AXIS,
    )
    upper, lower = grid.panels[: len(parts)], grid.panels[len(parts) :]
    for row in (upper, lower):
        curves.time_axes(row, parts.values(), lambda part: [part[f"{GROUP}.time"]])
    curves.plain_axis(upper, [part[f"{GROUP}.velocity"] for part in parts.values()])
    curves.log_axis(lower, [relative(p, name) for p in parts.values() for name in DEVIATION])
    for panels in zip(upper, lower, parts.values(), strict=True):
        draw_law(*panels)
    grid.label("time t", r"$\dot\sigma_r$", r"deviation / largest $|\dot\sigma_r|$")
    return grid


DEVIATION = ("difference", "error")


def draw_law(upper: Axes, lower: Axes, run: Run) -> None:
    """Draw σ̇ and the formula, and their deviation with its bound, mode by mode."""
    time, velocity, law = (run[f"{GROUP}.{name}"] for name in ("time", "velocity", "law"))
    modes = min(velocity.shape[1], TOP_MODES)
    deviation, bound = (relative(run, name) for name in DEVIATION)
    for r, colour in enumerate(style.colours(modes)):
        curves.plot(upper, time, velocity[:, r], {**MEASURED, "color": colour})
        curves.plot(upper, time, law[:, r], style.EXACT)
        curves.plot(lower, time, deviation[:, r], {**MEASURED, "color": colour, "linewidth": 1.1})
        curves.plot(lower, time, bound[:, r], {**BOUND, "color": colour})


def relative(run: Run, name: str) -> np.ndarray:
    """Return a deviation relative to the largest |σ̇_r| over all modes and times."""
    largest = float(np.nanmax(np.abs(run[f"{GROUP}.velocity"]), initial=0.0))
    return np.asarray(np.abs(run[f"{GROUP}.{name}"]) / (largest or 1.0))


def largest_relative(run: Run) -> float:
    """Return the largest relative deviation."""
    return float(np.nanmax(relative(run, "difference")))


def is_within_bound(run: Run) -> bool:
    """Whether the deviation stays within its bound."""
    deviation, bound = (relative(run, name) for name in DEVIATION)
    known = np.isfinite(deviation) & np.isfinite(bound)
    return bool((deviation <= bound)[known].all())


def describe_deviation(run: Run) -> str:
    """Return the largest relative deviation, marked if it exceeds its bound."""
    beyond = "" if is_within_bound(run) else ", above its bound"
    return f"{number(largest_relative(run), 2)}{beyond}"


def headline(run: Run) -> str:
    """Return how closely the singular values follow the dynamics of balanced layers."""
    where = "within" if is_within_bound(run) else "NOT within"
    return (
        "Singular values follow the dynamics of balanced layers up to "
        f"{number(largest_relative(run), 2)} of their largest derivative, {where} the bound"
    )


def first_variants(parts: dict[str, Run]) -> dict[str, Run]:
    """Return the variants that are drawn."""
    return dict(list(parts.items())[:MOST_VARIANTS])


def over_variants(parts: dict[str, Run]) -> str:
    """Return how closely each variant follows the dynamics of balanced layers."""
    ends = join_words(
        (f"{describe_deviation(part)} in {name}" for name, part in first_variants(parts).items()),
        most=MOST_VARIANTS,
    )
    return f"Largest relative deviation of σ̇ from the formula for balanced layers: {ends}"
