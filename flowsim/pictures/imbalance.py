"""Imbalance of neighbouring layers over time: conserved by the flow, not quite by descent."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, scales, style
from flowsim.pictures.kit.words import indexed, listed, number
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


def draw(run: Run) -> Figure:
    """Draw the flow's imbalance by pair of layers, and descent's largest by step size."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw one run: a panel for the flow and, where there is descent, one for it."""
    descends = reading.descends(run, "imbalance")
    flow = run["layers.imbalance"]
    pens = style.grey_pens(flow.shape[1])
    pairs = {pair_name(j): pen for j, pen in enumerate(pens)}
    sheet = page.open_page(
        run,
        headline(run),
        panels=2 if descends else 1,
        names=("layer flow, each pair", "descent, largest of the pairs") if descends else (),
        keys=pairs | (curves.step_keys([run]) if descends else {}),
        steps=scales.many([run]) if descends else None,
    )
    curves.time_axis(sheet.panels, [run["layers.time"]], reading.logarithmic([run]))
    top = fit_values(sheet.panels, {run.name: run})
    for j, pen in enumerate(pens):
        curves.plot(sheet.panels[0], run["layers.time"], flow[:, j], pen, shift=j)
    if descends:
        draw_descent(sheet.panels[1], run, reading.all_step_sizes([run]), top)
    sheet.label("time t", LABEL)
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw one panel a variant: the flow's pairs in grey, descent's largest by step size."""
    parts = reading.fitted(run, why_unavailable)
    descending = [p for p in parts.values() if reading.descends(p, "imbalance")]
    sheet = page.open_page(
        run,
        over_variants(parts),
        panels=len(parts),
        names=list(parts),
        drawn=parts,
        keys={"layer flow, each pair": style.FLOW} | curves.step_keys(descending),
        steps=scales.many(descending),
    )
    times = [[part["layers.time"]] for part in parts.values()]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    top = fit_values(sheet.panels, parts)
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        for pair in part["layers.imbalance"].T:
            curves.plot(panel, part["layers.time"], pair, style.FLOW)
        if reading.descends(part, "imbalance"):
            draw_descent(panel, part, reading.all_step_sizes(descending), top)
    sheet.label("time t", LABEL)
    return sheet.figure


def fit_values(panels: tuple[Axes, ...], parts: dict[str, Run]) -> float:
    """Fit the shared value axis of flows and descent; return its top."""
    shown = [part["layers.imbalance"] for part in parts.values()]
    ceiling = max([10 * float(np.nanmax(values, initial=0.0)) for values in shown])
    for part in parts.values():
        if reading.descends(part, "imbalance"):
            largest = worst_pair(part)
            done = np.nanmax(largest[~reading.diverged(part)], initial=0.0)
            shown += curves.settled(part, largest, max(ceiling, float(done)))
    return curves.log_axis(panels, shown)


def draw_descent(panel: Axes, run: Run, sizes: np.ndarray, top: float) -> None:
    """Draw descent's largest imbalance for every step size."""
    curves.draw_descent(panel, run, worst_pair(run), sizes, top)


def worst_pair(run: Run) -> np.ndarray:
    """Return descent's largest imbalance over the pairs, `(step_size, sample)`; nan stays nan."""
    return np.asarray(np.max(run["descent.imbalance"], axis=-1))


def pair_name(j: int) -> str:
    """Name a pair of layers, counted from zero: W₁, W₂."""
    return f"{indexed('W', j + 1)}, {indexed('W', j + 2)}"


def change(values: np.ndarray) -> float:
    """Return the largest change from the start along the first axis; nan if none is known."""
    moved = np.abs(values - values[:1])
    return float(np.nanmax(moved)) if np.isfinite(moved).any() else float("nan")


def headline(run: Run) -> str:
    """Say by how much the imbalance changes along the flow and under descent."""
    flow = f"Along the flow the imbalance changes by {number(change(run['layers.imbalance']))}"
    if not reading.descends(run, "imbalance"):
        return f"{flow} at most"
    done = np.flatnonzero(~reading.diverged(run))
    moved = [change(run["descent.imbalance"][k]) for k in done]
    if not np.isfinite(moved).any():
        return f"{flow} at most; every step size of descent diverges"
    k = int(np.nanargmax(moved))
    eta = number(float(reading.step_sizes(run)[done[k]]))
    return f"{flow} at most, under descent by up to {number(moved[k])} (η = {eta})"


def over_variants(parts: dict[str, Run]) -> str:
    """Say by how much the imbalance changes along each variant's flow."""
    moved = {name: change(part["layers.imbalance"]) for name, part in parts.items()}
    if len(moved) > 4:
        most = number(float(np.nanmax(list(moved.values()))))
        return f"Along the flow the imbalance changes by {most} at most, over all variants shown"
    said = listed(f"{number(size)} in {name}" for name, size in moved.items())
    return f"Along the flow the imbalance changes by at most {said}"
