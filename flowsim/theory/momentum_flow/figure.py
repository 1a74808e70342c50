"""Distance of iterates with momentum from the flows that describe them, and how both swing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

GROUP = "momentum_flow"
PENS: dict[str, style.Pen] = {
    "flow": {"color": "#9a9a9a", "linewidth": 2.2, "marker": "o", "zorder": 1.9},
    "inertia": {"color": "#0072B2", "marker": "s"},
    "high_resolution": {"color": "#D55E00", "marker": "D", "linestyle": (0, (4, 1.5))},
}
KEYS = {
    "flow": "gradient flow at kη/(1 − μ)",
    "inertia": "flow with inertia",
    "high_resolution": "high-resolution flow",
}
ITERATES: style.Pen = {
    "linestyle": "none", "marker": "o", "color": style.INK, "markerfacecolor": "white",
    "markersize": 2.6, "markeredgewidth": 0.6, "zorder": 1.5,
}  # fmt: skip
DISTANCE, STRENGTH = "largest distance to the iterates", "largest σ of W"
MOST_MARKS = 60
ROOM = 1.5
"""Paths are drawn up to so many times the largest σ of the iterates."""

ROW_TALL = 1.3
MOST = 3
"""Variants that have a path drawn under their distances."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, f"{GROUP}.inertia")


def draw(run: Run) -> Figure:
    """Draw the largest distance to each description against η, and σ over time at the largest η."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run: distances, and beside them the path."""
    sheet = page.open_page(
        run,
        headline(run),
        panels=2,
        names=("distance against the step size", path_name(run)),
        keys=keys([run]),
        gap=page.OWN_AXIS,
    )
    distances, path = sheet.panels
    draw_distances([distances], [run])
    distances.set_ylabel(DISTANCE)
    draw_path(path, run)
    path.set(xlabel=time_label(run), ylabel=STRENGTH)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw the distances of each variant, a panel each, and below it, if they are few, its path."""
    parts = reading.fitted(run, why_unavailable)
    few = len(parts) <= MOST
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts),
        names=list(parts),
        drawn=parts,
        keys=keys(list(parts.values())),
        under=ROW_TALL + page.AXIS_LINE + page.NAME_LINE if few else 0.0,
    )
    draw_distances(list(sheet.panels), list(parts.values()))
    sheet.label("step size η", DISTANCE)
    if few:
        wide = curves.panel_width(sheet.panels[0])
        row = sheet.row(len(parts), ROW_TALL, wide, page.SHARED_AXIS)
        page.name_panels(row, [path_name(part) for part in parts.values()], 60)
        for panel, part in zip(row, parts.values(), strict=True):
            draw_path(panel, part)
            panel.set_xlabel(time_label(part))
        share_heights(row, list(parts.values()))
    return sheet.figure


def drawn(run: Run) -> list[str]:
    """Return the descriptions that a run has."""
    return [name for name in PENS if reading.drawable(run, f"{GROUP}.{name}")]


def keys(runs: list[Run]) -> dict[str, style.Pen]:
    """Return the legend: the descriptions of any run, and the iterates."""
    found = [name for name in PENS if any(name in drawn(run) for run in runs)]
    return {"iterates": ITERATES} | {KEYS[name]: PENS[name] for name in found}


def largest(run: Run, name: str) -> np.ndarray:
    """Return the largest distance at each step size that did not diverge, nan at others."""
    values = run[f"{GROUP}.{name}"]
    most = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    return np.where(np.isfinite(most) & ~reading.diverged(run), most, np.nan)


def draw_distances(panels: list[Axes], runs: list[Run]) -> None:
    """Draw the largest distances against η, each with the slope at the smallest step sizes."""
    shown = [largest(run, name) for run in runs for name in drawn(run)]
    for panel, run in zip(panels, runs, strict=True):
        curves.step_axis(panel, run[f"{GROUP}.step_size"])
    curves.log_axis(panels, shown)
    for panel, run in zip(panels, runs, strict=True):
        for name in drawn(run):
            sizes, values = ascending(run, name)
            panel.plot(sizes, values, **PENS[name])
            if (power := slope(run, name)) is not None:
                place, side = ((-3, 3), "right") if name == "inertia" else ((4, -8), "left")
                panel.annotate(
                    rf"$\eta^{{{power:.2f}}}$", (sizes[1], values[1]), place,
                    textcoords="offset points", ha=side, color=PENS[name]["color"], fontsize=6.5,
                )  # fmt: skip


def ascending(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the step sizes with a distance above 0, ascending, and the distances."""
    sizes, values = run[f"{GROUP}.step_size"], largest(run, name)
    rank = [k for k in np.argsort(sizes) if values[k] > 0]
    return sizes[rank], values[rank]


def slope(run: Run, name: str) -> float | None:
    """Return the power of η from the smallest step size to the next, if there are two."""
    sizes, values = ascending(run, name)
    if len(sizes) < 2:
        return None
    return float(np.log(values[1] / values[0]) / np.log(sizes[1] / sizes[0]))


def shown_step(run: Run) -> int:
    """Return the largest step size that did not diverge, or the smallest of all."""
    sizes = run[f"{GROUP}.step_size"]
    good = [k for k in range(len(sizes)) if not reading.diverged(run)[k]]
    return max(good, key=lambda k: float(sizes[k])) if good else int(np.argmin(sizes))


def path_name(run: Run) -> str:
    """Name the path after its step size."""
    return f"at η = {number(float(run[f'{GROUP}.step_size'][shown_step(run)]))}"


def draw_path(panel: Axes, run: Run) -> None:
    """Draw the largest singular value of the iterates, and along each description, over time."""
    k = shown_step(run)
    time, iterates = run[f"{GROUP}.time"][k], run[f"{GROUP}.strength"][k]
    every = max(len(time) // MOST_MARKS, 1)
    curves.time_axis([panel], [time], log=False)
    for name in drawn(run):
        pen = {key: value for key, value in PENS[name].items() if key != "marker"}
        panel.plot(time, run[f"{GROUP}.{name}_strength"][k], **pen)
    panel.plot(time[::every], iterates[::every], **{**ITERATES, "zorder": 5})
    share_heights([panel], [run])


def share_heights(panels: list[Axes] | tuple[Axes, ...], runs: list[Run]) -> None:
    """Fit one axis of σ to the iterates of all panels, written at the left one alone."""
    shown = [run[f"{GROUP}.strength"][shown_step(run)] for run in runs]
    highest = ROOM * curves.finite(shown).max(initial=0.0)
    for run in runs:
        paths = (run[f"{GROUP}.{name}_strength"][shown_step(run)] for name in drawn(run))
        shown += [path[path <= highest] for path in paths]
    curves.plain_axis(panels, shown)
    panels[0].set_ylabel(STRENGTH)
    for panel in panels[1:]:
        panel.set_ylabel("")
        panel.tick_params(axis="y", labelleft=False)


def time_label(run: Run) -> str:
    """Name the time of the iterates: increasing momentum has a time of its own, and no flow."""
    return "time kη" if "flow" in drawn(run) else "time k√η"


def headline(run: Run) -> str:
    """Say in what power of η the iterates leave each description, or how far they come."""
    return f"The iterates leave the {said(run)}"


def said(run: Run) -> str:
    """Say what powers or distances there are, description by description."""
    powers = {name: slope(run, name) for name in drawn(run)}
    if any(power is None for power in powers.values()):
        ends = (f"{KEYS[n]} by {number(furthest(run, n))}" for n in powers)
        return listed(ends)
    return listed(f"{KEYS[n]} as η to the power {power:.2f}" for n, power in powers.items())


def over_variants(parts: Mapping[str, Run]) -> str:
    """Say how much closer than the coarsest the best description comes, in each variant."""
    fine = {name: number(furthest(part, drawn(part)[-1])) for name, part in parts.items()}
    coarse = [number(furthest(part, drawn(part)[0])) for part in parts.values()]
    close = listed((f"{value} in {name}" for name, value in fine.items()), most=4)
    return (
        f"Of the finest flow the iterates stay within {close}; of the coarsest within "
        f"{listed(coarse, most=4)}"
    )


def furthest(run: Run, name: str) -> float:
    """Return the largest distance at the step size that is shown."""
    return float(largest(run, name)[shown_step(run)])
