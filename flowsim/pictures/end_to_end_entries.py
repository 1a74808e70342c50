"""The entries of a small end-to-end matrix over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import indexed, listed, number
from flowsim.results.run import Run

MOST_ENTRIES = 9


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    reason = reading.why_no_flow(run, "end_to_end")
    if reason:
        return reason
    W = run.variable(f"{reading.spaces(run, 'end_to_end')[0]}.end_to_end")
    times, *shape = W.shape
    if shape[0] * shape[1] > MOST_ENTRIES:
        return f"W has {shape[0]} × {shape[1]} entries, and at most {MOST_ENTRIES} are drawn"
    if times == 1 and W.dims[0] == "saved_time":
        return "the end-to-end matrix was saved at one time only"
    return None


def matrices(run: Run, group: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and the matrices `(time, output, input)` of a group, or the first flow."""
    group = group or reading.spaces(run, "end_to_end")[0]
    variable = run.variable(f"{group}.end_to_end")
    return run[f"{group}.{variable.dims[0]}"], variable.values


def names(run: Run) -> list[str]:
    """Return the entries' names, w₁₁, w₁₂, … row by row."""
    _, rows, columns = matrices(run)[1].shape
    return [indexed("w", i + 1, j + 1) for i in range(rows) for j in range(columns)]


def draw(run: Run) -> Figure:
    """Draw every entry of W(t) of the first flow, the closed form dashed; one panel a variant."""
    parts = reading.fitted(run, why_unavailable)
    labels = max((names(part) for part in parts.values()), key=len)
    pens = dict(zip(labels, style.curve_pens(len(labels)), strict=True))
    exact = any(reading.drawable(part, "exact.end_to_end") for part in parts.values())
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys=pens | ({"closed form": style.EXACT} if exact else {}),
    )
    saved = [matrices(part) for part in parts.values()]
    curves.time_axes(sheet.panels, [[t] for t, _ in saved], reading.logarithmic(parts.values()))
    curves.plain_axis(sheet.panels, [values for _, values in saved])
    for panel, part in zip(sheet.panels, parts.values(), strict=True):
        draw_entries(panel, part, pens)
    sheet.label("time t", "entries of W")
    return sheet.figure


def draw_entries(panel: Axes, run: Run, pens: dict[str, style.Pen]) -> None:
    """Draw the entries of one run."""
    time, values = matrices(run)
    flat = values.reshape(len(values), -1)
    for k, name in enumerate(names(run)):
        curves.plot(panel, time, flat[:, k], pens[name], shift=k)
    if reading.drawable(run, "exact.end_to_end"):
        time, values = matrices(run, "exact")
        for column in values.reshape(len(time), -1).T:
            curves.plot(panel, time, column, style.EXACT)


def largest(run: Run) -> tuple[str, np.ndarray]:
    """Return the entry that ends largest in size: its name, and its values over time."""
    flat = matrices(run)[1].reshape(len(matrices(run)[1]), -1)
    k = int(np.nanargmax([abs(reading.ends(column)[1]) for column in flat.T]))
    return names(run)[k], flat[:, k]


def headline(run: Run) -> str:
    """Say how the entry that ends largest goes, and the loss meanwhile."""
    name, values = largest(run)
    said = f"The entry that ends largest, {name}, {reading.course(values)}"
    if losses := reading.spaces(run, "loss"):
        said += f", while the loss {reading.course(run[f'{losses[0]}.loss'])}"
    return said


def over_variants(parts: dict[str, Run]) -> str:
    """Say which entry of each variant ends largest."""
    ends = ((name, *largest(part)) for name, part in parts.items())
    said = listed(
        (f"{name} {entry} = {number(reading.ends(w)[1])}" for name, entry, w in ends), most=5
    )
    return f"The entry that ends largest: {said}"
