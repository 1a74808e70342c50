"""The entries of a small end-to-end matrix over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number, with_subscripts
from flowsim.results.run import Run

MOST_ENTRIES = 9
"""Largest number of entries drawn: more curves cannot be distinguished."""


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    reason = reading.why_no_flow(run, "end_to_end")
    if reason:
        return reason
    W = run.variable(f"{reading.flows_with(run, 'end_to_end')[0]}.end_to_end")
    times, *shape = W.shape
    if shape[0] * shape[1] > MOST_ENTRIES:
        return f"W has {shape[0]} × {shape[1]} entries, and at most {MOST_ENTRIES} are drawn"
    if times == 1 and W.dims[0] == "saved_time":
        return "the end-to-end matrix was saved at one time only"
    return None


def saved_matrices(run: Run, group: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and W `(time, output, input)` of a group, by default the reference flow."""
    group = group or reading.flows_with(run, "end_to_end")[0]
    variable = run.variable(f"{group}.end_to_end")
    return run[f"{group}.{variable.dims[0]}"], variable.values


def entry_names(run: Run) -> list[str]:
    """Return the entries' names, w₁₁, w₁₂, … row by row."""
    _, rows, columns = saved_matrices(run)[1].shape
    return [with_subscripts("w", i + 1, j + 1) for i in range(rows) for j in range(columns)]


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw every entry of W(t) of the reference flow, and the closed form dashed."""
    parts = subject.parts
    labels = max((entry_names(part) for part in parts.values()), key=len)
    line_styles = dict(zip(labels, style.curve_styles(len(labels)), strict=True))
    grid = layout.panel_grid(
        subject, legend=line_styles | curves.closed_form_legend(parts.values(), "end_to_end")
    )
    curves.time_axes(grid.panels, parts.values(), lambda part: [saved_matrices(part)[0]])
    curves.plain_axis(grid.panels, [saved_matrices(part)[1] for part in parts.values()])
    for panel, part in zip(grid.panels, parts.values(), strict=True):
        draw_entries(panel, part, line_styles)
    grid.label("time t", "entries of W")
    return grid


def draw_entries(panel: Axes, run: Run, line_styles: dict[str, style.LineStyle]) -> None:
    """Draw the entries of one run."""
    time, values = saved_matrices(run)
    flat = values.reshape(len(values), -1)
    for k, name in enumerate(entry_names(run)):
        curves.plot(panel, time, flat[:, k], line_styles[name], shift=k)
    if reading.has_numbers(run, "exact.end_to_end"):
        time, values = saved_matrices(run, "exact")
        for column in values.reshape(len(time), -1).T:
            curves.plot(panel, time, column, style.EXACT)


def largest_final_entry(run: Run) -> tuple[str, np.ndarray]:
    """Return the entry that is largest in size at the end: its name, and its values over time."""
    flat = saved_matrices(run)[1].reshape(len(saved_matrices(run)[1]), -1)
    k = int(np.nanargmax([abs(reading.final(column)) for column in flat.T]))
    return entry_names(run)[k], flat[:, k]


def headline(run: Run) -> str:
    """Return how the largest final entry changes, and the loss meanwhile."""
    name, values = largest_final_entry(run)
    sentence = f"The largest final entry, {name}, {reading.describe_change(values)}"
    if reading.flows_with(run, "loss"):
        change = reading.describe_change(reading.first_flow(run, "loss"))
        return f"{sentence}, while the loss {change}"
    return sentence


def over_variants(parts: dict[str, Run]) -> str:
    """Return the largest final entry of each variant."""
    found = ((name, *largest_final_entry(part)) for name, part in parts.items())
    phrases = (f"{name} {entry} = {number(reading.final(w))}" for name, entry, w in found)
    return f"Largest final entry: {join_words(phrases, most=5)}"
