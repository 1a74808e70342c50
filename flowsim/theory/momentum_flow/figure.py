"""Distance of descent with momentum from its approximating flows, and their oscillations.

Without momentum time is kη; with momentum μ the gradient flow runs at kη/(1 − μ). The second-order
flows also have the oscillations of the iterates (Su, Boyd & Candès 2016; Shi et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run
from flowsim.theory.momentum_flow.spec import WITH_MOMENTUM

GROUP = "momentum_flow"
LINE_STYLES: dict[str, style.LineStyle] = {
    "flow": {"color": "#9a9a9a", "linewidth": 2.2, "marker": "o", "zorder": 1.9},
    "inertia": {"color": "#0072B2", "marker": "s"},
    "high_resolution": {"color": "#D55E00", "marker": "D", "linestyle": (0, (4, 1.5))},
}
LABELS = {**WITH_MOMENTUM, "flow": "gradient flow at kη/(1 − μ)"}
ITERATES: style.LineStyle = {
    "linestyle": "none", "marker": "o", "color": style.INK, "markerfacecolor": "white",
    "markersize": 2.6, "markeredgewidth": 0.6, "zorder": 1.5,
}  # fmt: skip
DISTANCE, NORM = "largest distance to the iterates", "σ₁(W)"
MOST_MARKS = 60
ROOM = 1.5
"""Trajectories are drawn up to this multiple of the largest σ₁ of the iterates."""

ROW_TALL = 1.3
"""Inches of the height of the lower row."""
MOST = 3
"""Variants up to which trajectories are drawn under the distances."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, f"{GROUP}.inertia")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the largest distance to each flow against η, and σ₁ over time at the largest η."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one run: distances, and beside them the trajectory."""
    run = subject.run
    grid = layout.panel_grid(
        subject,
        panels=2,
        names=("distance against the step size", path_title(run)),
        legend=legend([run]),
        gap=layout.OWN_AXIS,
    )
    distances, path = grid.panels
    draw_distances([distances], [run])
    distances.set_ylabel(DISTANCE)
    draw_path(path, run)
    path.set(xlabel=time_label(run), ylabel=NORM)
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one panel per variant: the distances and, of a few variants, the trajectory below."""
    parts = subject.parts
    few = len(parts) <= MOST
    grid = layout.panel_grid(
        subject,
        legend=legend(list(parts.values())),
        under=ROW_TALL + layout.AXIS_LINE + layout.NAME_LINE if few else 0.0,
    )
    draw_distances(list(grid.panels), list(parts.values()))
    grid.label("step size η", DISTANCE)
    if few:
        wide = layout.panel_size(grid.panels[0])[0]
        row = grid.add_row(len(parts), ROW_TALL, wide, layout.SHARED_AXIS)
        layout.name_panels(row, [path_title(part) for part in parts.values()], 60)
        for panel, part in zip(row, parts.values(), strict=True):
            draw_path(panel, part)
            panel.set_xlabel(time_label(part))
        share_value_axis(row, list(parts.values()))
    return grid


def available_flows(run: Run) -> list[str]:
    """Return the approximating flows that a run has."""
    return [name for name in LINE_STYLES if reading.has_numbers(run, f"{GROUP}.{name}")]


def legend(runs: list[Run]) -> dict[str, style.LineStyle]:
    """Return the legend: the iterates, and the flows that any run has."""
    found = [name for name in LINE_STYLES if any(name in available_flows(run) for run in runs)]
    return {"iterates": ITERATES} | {LABELS[name]: LINE_STYLES[name] for name in found}


def largest_distances(run: Run, name: str) -> np.ndarray:
    """Return the largest distance per step size; nan if descent diverged."""
    # nan are samples after an approximating flow ends
    return reading.largest_over_time(run, run[f"{GROUP}.{name}"])


def draw_distances(panels: list[Axes], runs: list[Run]) -> None:
    """Draw the largest distances against η, with the power of η at the smallest step sizes."""
    shown = [largest_distances(run, name) for run in runs for name in available_flows(run)]
    for panel, run in zip(panels, runs, strict=True):
        curves.step_axis(panel, run[f"{GROUP}.step_size"])
    curves.log_axis(panels, shown)
    for panel, run in zip(panels, runs, strict=True):
        for name in available_flows(run):
            sizes, values = ascending_distances(run, name)
            panel.plot(sizes, values, **LINE_STYLES[name])
            if (power := fitted_power(run, name)) is not None:
                place, side = ((-3, 3), "right") if name == "inertia" else ((4, -8), "left")
                panel.annotate(
                    rf"$\eta^{{{power:.2f}}}$", (sizes[1], values[1]), place,
                    textcoords="offset points", ha=side, fontsize=6.5,
                    color=LINE_STYLES[name]["color"],
                )  # fmt: skip


def ascending_distances(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending step sizes with a distance above 0, and the distances."""
    sizes, values = run[f"{GROUP}.step_size"], largest_distances(run, name)
    rank = [k for k in np.argsort(sizes) if values[k] > 0]
    return sizes[rank], values[rank]


def fitted_power(run: Run, name: str) -> float | None:
    """Return the power of η between the two smallest step sizes, or None if there is only one."""
    sizes, values = ascending_distances(run, name)
    if len(sizes) < 2:
        return None
    return float(np.log(values[1] / values[0]) / np.log(sizes[1] / sizes[0]))


def shown_step_size(run: Run) -> int:
    """Return the index of the largest step size that did not diverge, or of the smallest of all."""
    sizes = run[f"{GROUP}.step_size"]
    good = [k for k in range(len(sizes)) if not reading.diverged(run)[k]]
    return max(good, key=lambda k: float(sizes[k])) if good else int(np.argmin(sizes))


def path_title(run: Run) -> str:
    """Return the title of a trajectory: its step size."""
    return f"at η = {number(float(run[f'{GROUP}.step_size'][shown_step_size(run)]))}"


def draw_path(panel: Axes, run: Run) -> None:
    """Draw σ₁ of the iterates and of each approximating flow over time."""
    k = shown_step_size(run)
    time, iterates = run[f"{GROUP}.time"][k], run[f"{GROUP}.strength"][k]
    every = max(len(time) // MOST_MARKS, 1)
    curves.fit_time_axis([panel], [time], log=False)
    for name in available_flows(run):
        # markers would hide the iterates, which are drawn as markers
        line_style = {key: value for key, value in LINE_STYLES[name].items() if key != "marker"}
        panel.plot(time, run[f"{GROUP}.{name}_strength"][k], **line_style)
    panel.plot(time[::every], iterates[::every], **{**ITERATES, "zorder": 5})
    share_value_axis([panel], [run])


def share_value_axis(panels: list[Axes] | tuple[Axes, ...], runs: list[Run]) -> None:
    """Fit one axis of σ₁ to the iterates of all panels, labelled at the left one only."""
    shown = [run[f"{GROUP}.strength"][shown_step_size(run)] for run in runs]
    highest = ROOM * curves.finite_values(shown).max(initial=0.0)
    for run in runs:
        paths = (
            run[f"{GROUP}.{name}_strength"][shown_step_size(run)] for name in available_flows(run)
        )
        # flows that overshoot far beyond the iterates do not set the axis
        shown += [path[path <= highest] for path in paths]
    curves.plain_axis(panels, shown)
    panels[0].set_ylabel(NORM)
    for panel in panels[1:]:
        panel.set_ylabel("")
        panel.tick_params(axis="y", labelleft=False)


def time_label(run: Run) -> str:
    """Return the label of the time: k√η with increasing momentum, which has no gradient flow."""
    return "time kη" if "flow" in available_flows(run) else "time k√η"


def headline(run: Run) -> str:
    """Return the power of η by which iterates deviate from each flow, or their distances."""
    return f"The iterates deviate from the {describe_distances(run)}"


def describe_distances(run: Run) -> str:
    """Return the powers of η, or the distances if a power is unknown, flow by flow."""
    powers = {name: fitted_power(run, name) for name in available_flows(run)}
    if any(power is None for power in powers.values()):
        ends = (f"{LABELS[n]} by {number(largest_shown_distance(run, n))}" for n in powers)
        return join_words(ends)
    return join_words(f"{LABELS[n]} as η to the power {power:.2f}" for n, power in powers.items())


def over_variants(parts: Mapping[str, Run]) -> str:
    """Return the distances from the finest and from the coarsest flow, in each variant."""
    fine = {
        name: number(largest_shown_distance(part, available_flows(part)[-1]))
        for name, part in parts.items()
    }
    coarse = [
        number(largest_shown_distance(part, available_flows(part)[0])) for part in parts.values()
    ]
    close = join_words((f"{value} in {name}" for name, value in fine.items()), most=4)
    return (
        f"The iterates stay within {close} of the finest flow, and of the coarsest within "
        f"{join_words(coarse, most=4)}"
    )


def largest_shown_distance(run: Run, name: str) -> float:
    """Return the largest distance at the shown step size."""
    return float(largest_distances(run, name)[shown_step_size(run)])
