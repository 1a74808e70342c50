"""Distance of gradient descent from each of its approximating flows, one panel per step size.

Below the edge of stability (λ_max < 2/η) the modified and the principal flow are closer than the
gradient flow by one order in η. Beyond it they cease to be valid, and only the central flow, which
keeps the sharpness at 2/η, stays close (Cohen et al. 2025).
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run
from flowsim.theory.modified_flows.spec import APPROXIMATING

LINE_STYLES: dict[str, style.LineStyle] = {
    "flow": {"color": "#9a9a9a", "linewidth": 3.2, "solid_capstyle": "butt", "zorder": 1.9},
    "modified": {"color": "#E69F00", "linewidth": 1.4, "linestyle": (0, (5, 1.5))},
    "principal": {"color": "#CC79A7", "linewidth": 1.4, "linestyle": (0, (1.5, 1))},
    "central": {"color": "#0072B2", "linewidth": 1.4},
}
CROSS: style.LineStyle = {"linestyle": "none", "marker": "X", "markersize": 6.0, "zorder": 5}
CROSS_LEGEND: style.LineStyle = {**CROSS, "color": style.INK, "markerfacecolor": "white"}
INVALID_LABEL = "valid until here, faint beyond"
MOST = 6
"""Step sizes drawn at most."""

GROUP = "descriptions"
COMPARED = ("flow", "central")
ROOM = 3
"""Distances are shown up to this multiple of the largest to the gradient or central flow."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, f"{GROUP}.flow")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw ‖θ_k − θ(kη)‖ over time for each approximating flow, and until when it is valid."""
    parts = subject.parts
    shown = [(name, part, k) for name, part in parts.items() for k in drawn_step_sizes(part)][
        : 2 * MOST
    ]
    several = len(parts) > 1
    names = [(f"{name}: " if several else "") + panel_title(part, k) for name, part, k in shown]
    grid = layout.panel_grid(
        subject,
        panels=len(shown),
        names=names,
        legend={APPROXIMATING[name]: line_style for name, line_style in LINE_STYLES.items()}
        | ({INVALID_LABEL: CROSS_LEGEND} if any(map(any_invalid, parts.values())) else {}),
    )
    times = [[part[f"{GROUP}.time"][k]] for _, part, k in shown]
    curves.fit_time_axes(grid.panels, times, reading.has_log_times(parts.values()))
    curves.log_axis(
        grid.panels,
        values_in_view([[resolved_distance(p, n, k) for n in LINE_STYLES] for _, p, k in shown]),
    )
    for panel, (_, part, k) in zip(grid.panels, shown, strict=True):
        draw_step(panel, part, k)
    grid.label("time t", "distance to the iterates")
    return grid


def drawn_step_sizes(run: Run) -> list[int]:
    """Return the indices of the drawn step sizes, ascending: all, or `MOST` spread over them."""
    sizes = run[f"{GROUP}.step_size"]
    order = np.argsort(sizes)
    known = [int(k) for k in order if np.isfinite(run[f"{GROUP}.flow"][k]).any()]
    if len(known) <= MOST:
        return known
    return [known[i] for i in np.linspace(0, len(known) - 1, MOST).round().astype(int)]


def resolved_distance(run: Run, name: str, k: int) -> np.ndarray:
    """Return the distance to one flow at a step size where it exceeds its error; else nan."""
    distance, error = run[f"{GROUP}.{name}"][k], run[f"{GROUP}.{name}_error"][k]
    with np.errstate(invalid="ignore"):
        # below its error a distance is not resolved: a logarithmic axis would show rounding
        return np.where(distance > error, distance, np.nan)


def values_in_view(distances: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the distances that set the axis: none far beyond the flows that cannot blow up."""
    # the other flows may blow up, and would stretch the axis
    rest = curves.finite_values(
        d for each in distances for d, n in zip(each, LINE_STYLES, strict=True) if n in COMPARED
    )
    most = ROOM * rest.max() if rest.size else np.inf
    every = [d for each in distances for d in each]
    with np.errstate(invalid="ignore"):
        return [np.where(d <= most, d, np.nan) for d in every]


def any_invalid(run: Run) -> bool:
    """Whether any flow ceases to be valid at any step size."""
    return any(bool(np.isfinite(run[f"{GROUP}.{name}_broken_at"]).any()) for name in LINE_STYLES)


def draw_step(panel: Axes, run: Run, k: int) -> None:
    """Draw every flow at one step size, faint after it ceases to be valid."""
    time = run[f"{GROUP}.time"][k]
    for name, line_style in LINE_STYLES.items():
        distance = resolved_distance(run, name, k)
        invalid_from = float(run[f"{GROUP}.{name}_broken_at"][k])
        if np.isnan(invalid_from):
            curves.plot(panel, time, distance, line_style)
            continue
        curves.plot(panel, time, np.where(time <= invalid_from, distance, np.nan), line_style)
        faint: style.LineStyle = {**line_style, "alpha": 0.4}
        curves.plot(panel, time, np.where(time >= invalid_from, distance, np.nan), faint)
        last = np.flatnonzero(np.isfinite(distance) & (time <= invalid_from * (1 + 1e-12)))
        if last.size:
            panel.plot(
                [time[last[-1]]], [distance[last[-1]]], **CROSS, color=line_style["color"],
                markeredgecolor="white", markeredgewidth=0.6,
            )  # fmt: skip


def step_size(run: Run, k: int) -> str:
    """Return a step size as text."""
    return number(float(run[f"{GROUP}.step_size"][k]), 4)


def panel_title(run: Run, k: int) -> str:
    """Return a step size and the largest sharpness of its iterates, in units of 2/η."""
    largest = float(np.nanmax(run[f"{GROUP}.sharpness_over_limit"][k]))
    return f"η = {step_size(run, k)}: sharpness ≤ {number(largest, 2)} · 2/η"


def final_distance(run: Run, name: str, k: int) -> float:
    """Return the last known distance."""
    return reading.final(run[f"{GROUP}.{name}"][k])


def beyond_edge(run: Run) -> list[int]:
    """Return the indices of step sizes at which the iterates' sharpness exceeds 2/η, ascending."""
    return [
        k for k in drawn_step_sizes(run) if np.nanmax(run[f"{GROUP}.sharpness_over_limit"][k]) > 1
    ]


def orders(run: Run) -> dict[str, float]:
    """Return the power of η by which the largest distance to each flow decreases."""
    kept, sizes = drawn_step_sizes(run), run[f"{GROUP}.step_size"]
    found = {}
    for name in ("flow", "modified", "principal"):
        values = np.array([np.nanmax(run[f"{GROUP}.{name}"][k], initial=0.0) for k in kept])
        if len(kept) > 1 and (values > 0).all():
            found[name] = straight_fit(sizes[kept], values)[0]
    return found


def headline(run: Run) -> str:
    """Return the final distances beyond the edge of stability, or below it their orders in η."""
    past = beyond_edge(run)
    if past:
        k = past[-1]
        ends = [
            f"{number(final_distance(run, n, k), 2)} from the {APPROXIMATING[n]}" for n in COMPARED
        ]
        where = f"Beyond the edge of stability, at η = {step_size(run, k)}"
        return f"{where}, descent ends {' and '.join(ends)}"
    found = orders(run)
    if found:
        each = join_words(f"{power:.2f} ({APPROXIMATING[name]})" for name, power in found.items())
        return f"Distances decrease as η to the power {each}"
    k = drawn_step_sizes(run)[0]
    ends = [f"{number(final_distance(run, n, k), 2)} ({APPROXIMATING[n]})" for n in LINE_STYLES]
    return f"Distance of the iterates at the end, at η = {step_size(run, k)}: {join_words(ends)}"


def over_variants(parts: dict[str, Run]) -> str:
    """Return the final distances from gradient and central flow at each largest step size."""
    sentence = []
    for name, part in parts.items():
        k = drawn_step_sizes(part)[-1]
        flow, central = (number(final_distance(part, n, k), 2) for n in ("flow", "central"))
        sentence.append(f"{name} {flow} and {central}")
    return f"Final distance from gradient and central flow: {join_words(sentence, most=4)}"
