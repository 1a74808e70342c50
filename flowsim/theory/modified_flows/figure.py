"""Distance of the iterates from each flow that describes them, a panel a step size."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run

PENS: dict[str, style.Pen] = {
    "flow": {"color": "#9a9a9a", "linewidth": 3.2, "solid_capstyle": "butt", "zorder": 1.9},
    "modified": {"color": "#E69F00", "linewidth": 1.4, "linestyle": (0, (5, 1.5))},
    "principal": {"color": "#CC79A7", "linewidth": 1.4, "linestyle": (0, (1.5, 1))},
    "central": {"color": "#0072B2", "linewidth": 1.4},
}
KEYS = {
    "flow": "gradient flow",
    "modified": "modified flow",
    "principal": "principal flow",
    "central": "central flow",
}
CROSS: style.Pen = {"linestyle": "none", "marker": "X", "markersize": 6.0, "zorder": 5}
CROSS_KEY: style.Pen = {**CROSS, "color": style.INK, "markerfacecolor": "white"}
BROKEN = "breaks here, faint beyond"
MOST = 6
"""Step sizes that are drawn."""

GROUP = "descriptions"
KEPT = ("flow", "central")
ROOM = 3
"""Distances are drawn up to so many times the largest to the gradient or the central flow."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, f"{GROUP}.flow")


def draw(run: Run) -> Figure:
    """Draw ‖θ_k - θ(kη)‖ of each description over time, and where it breaks, for each η."""
    parts = reading.fitted(run, why_unavailable)
    shown = [(name, part, k) for name, part in parts.items() for k in picked(part)][: 2 * MOST]
    several = len(parts) > 1
    names = [(f"{name}: " if several else "") + told(part, k) for name, part, k in shown]
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(shown),
        names=names,
        drawn=parts if run.variants else (),
        keys={KEYS[name]: pen for name, pen in PENS.items()}
        | ({BROKEN: CROSS_KEY} if any(map(breaks, parts.values())) else {}),
    )
    times = [[part[f"{GROUP}.time"][k]] for _, part, k in shown]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    curves.log_axis(sheet.panels, within([[away(p, n, k) for n in PENS] for _, p, k in shown]))
    for panel, (_, part, k) in zip(sheet.panels, shown, strict=True):
        draw_step(panel, part, k)
    sheet.label("time t", "distance to the iterates")
    return sheet.figure


def picked(run: Run) -> list[int]:
    """Return the step sizes to draw, ascending: all, or as many spread over them."""
    sizes = run[f"{GROUP}.step_size"]
    order = np.argsort(sizes)
    known = [int(k) for k in order if np.isfinite(run[f"{GROUP}.flow"][k]).any()]
    if len(known) <= MOST:
        return known
    return [known[i] for i in np.linspace(0, len(known) - 1, MOST).round().astype(int)]


def away(run: Run, name: str, k: int) -> np.ndarray:
    """Return the distance to one description at a step size where it is known: above its error."""
    distance, error = run[f"{GROUP}.{name}"][k], run[f"{GROUP}.{name}_error"][k]
    with np.errstate(invalid="ignore"):
        return np.where(distance > error, distance, np.nan)


def within(distances: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the distances that set the axis: none far beyond those of what does not blow up."""
    rest = curves.finite(
        d for each in distances for d, n in zip(each, PENS, strict=True) if n in KEPT
    )
    most = ROOM * rest.max() if rest.size else np.inf
    every = [d for each in distances for d in each]
    with np.errstate(invalid="ignore"):
        return [np.where(d <= most, d, np.nan) for d in every]


def breaks(run: Run) -> bool:
    """Say whether any description breaks at any step size."""
    return any(bool(np.isfinite(run[f"{GROUP}.{name}_broken_at"]).any()) for name in PENS)


def draw_step(panel: Axes, run: Run, k: int) -> None:
    """Draw every description at one step size; past where it breaks faintly, if it goes on."""
    time = run[f"{GROUP}.time"][k]
    for name, pen in PENS.items():
        distance, broken = away(run, name, k), float(run[f"{GROUP}.{name}_broken_at"][k])
        if np.isnan(broken):
            curves.plot(panel, time, distance, pen)
            continue
        curves.plot(panel, time, np.where(time <= broken, distance, np.nan), pen)
        curves.plot(panel, time, np.where(time >= broken, distance, np.nan), {**pen, "alpha": 0.4})
        last = np.flatnonzero(np.isfinite(distance) & (time <= broken * (1 + 1e-12)))
        if last.size:
            panel.plot(
                [time[last[-1]]], [distance[last[-1]]], **CROSS, color=pen["color"],
                markeredgecolor="white", markeredgewidth=0.6,
            )  # fmt: skip


def step(run: Run, k: int) -> str:
    """Write a step size."""
    return number(float(run[f"{GROUP}.step_size"][k]), 4)


def told(run: Run, k: int) -> str:
    """Write a step size, and how far the sharpness of the iterates rises there."""
    largest = float(np.nanmax(run[f"{GROUP}.sharpness_over_limit"][k]))
    return f"η = {step(run, k)}: sharpness ≤ {number(largest, 2)} · 2/η"


def final(run: Run, name: str, k: int) -> float:
    """Return the last distance known."""
    return reading.ends(run[f"{GROUP}.{name}"][k])[1]


def past_edge(run: Run) -> list[int]:
    """Return the step sizes at which the iterates' sharpness passes 2/η, ascending."""
    return [k for k in picked(run) if np.nanmax(run[f"{GROUP}.sharpness_over_limit"][k]) > 1]


def orders(run: Run) -> dict[str, float]:
    """Return the power of η in which the largest distance to each description falls."""
    kept, sizes = picked(run), run[f"{GROUP}.step_size"]
    found = {}
    for name in ("flow", "modified", "principal"):
        values = np.array([np.nanmax(run[f"{GROUP}.{name}"][k], initial=0.0) for k in kept])
        if len(kept) > 1 and (values > 0).all():
            found[name] = straight_fit(sizes[kept], values)[0]
    return found


def headline(run: Run) -> str:
    """Say how far descent ends from the flows past the edge, or below it in what orders of η."""
    past = past_edge(run)
    if past:
        k = past[-1]
        ends = [f"{number(final(run, n, k), 2)} from the {KEYS[n]}" for n in KEPT]
        return (
            f"Past the edge of stability, at η = {step(run, k)}, descent ends {' and '.join(ends)}"
        )
    found = orders(run)
    if found:
        each = listed(f"{power:.2f} ({KEYS[name]})" for name, power in found.items())
        return f"Distances fall as η to the power {each}"
    k = picked(run)[0]
    ends = [f"{number(final(run, n, k), 2)} ({KEYS[n]})" for n in PENS]
    return f"Distance of the iterates at the end, at η = {step(run, k)}: {listed(ends)}"


def over_variants(parts: dict[str, Run]) -> str:
    """Say how far the largest step size of each variant ends from gradient and central flow."""
    said = []
    for name, part in parts.items():
        k = picked(part)[-1]
        flow, central = (number(final(part, n, k), 2) for n in ("flow", "central"))
        said.append(f"{name} {flow} and {central}")
    return f"Final distance from gradient and central flow: {listed(said, most=4)}"
