"""The largest final entry of the end-to-end matrix: which it is, and its values over time."""

from __future__ import annotations

import numpy as np

from flowsim.pictures import loss
from flowsim.pictures.end_to_end_entries import saved_matrices
from flowsim.pictures.kit import curves, reading
from flowsim.pictures.kit.words import number, with_subscripts
from flowsim.results.run import Run

Curve = tuple[np.ndarray, np.ndarray]
"""Times and values; of descent both `(step_size, sample)`."""


def has_descent(run: Run) -> bool:
    """Whether descent saved W."""
    return reading.has_descent(run, "end_to_end")


def entry(run: Run) -> tuple[int, int]:
    """Return the row and the column of the entry that is largest at the end, over all flows."""
    spaces = reading.flows_with(run, "end_to_end")
    flows = [saved_matrices(run, space)[1] for space in spaces]
    ends = [np.apply_along_axis(lambda w: abs(reading.final(w)), 0, W) for W in flows]
    largest = np.fmax.reduce(ends)
    i, j = np.unravel_index(int(np.nanargmax(largest)), largest.shape)
    return int(i), int(j)


def entry_name(run: Run) -> str:
    """Return the name of that entry, such as w₁₁."""
    return with_subscripts("w", *(k + 1 for k in entry(run)))


def curve(run: Run, group: str) -> Curve:
    """Return that entry over time, of a flow or of the closed form."""
    time, W = saved_matrices(run, group)
    return time, W[:, *entry(run)]


def flow_curves(run: Run) -> dict[str, Curve]:
    """Return that entry over time, of each flow that saved W."""
    return {space: curve(run, space) for space in reading.flows_with(run, "end_to_end")}


def descent_curves(run: Run) -> Curve:
    """Return that entry of descent at every step size; nan beyond what is worth showing."""
    W, time = run.variable("descent.end_to_end"), run["descent.time"]
    if "saved_sample" in W.dims:
        time = time[:, run["descent.saved_sample"].astype(int)]
    values = W.values[:, :, *entry(run)]
    within = loss.highest_shown([np.abs(w) for _, w in flow_curves(run).values()])
    near = np.isfinite(curves.values_in_view(run, np.abs(values), within))
    return time, np.where(near, values, np.nan)


def all_curves(run: Run) -> list[Curve]:
    """Return that entry over time of every flow, and last of descent if it saved W."""
    return [*flow_curves(run).values(), *([descent_curves(run)] if has_descent(run) else [])]


def final_values(run: Run) -> dict[str, float]:
    """Return the final value of that entry, by dynamics; diverged step sizes are left out."""
    ends = {
        f"in the {reading.FLOWS[space]}": reading.final(values)
        for space, (_, values) in flow_curves(run).items()
    }
    if has_descent(run):
        sizes, _, values = reading.step_sizes(run), *descent_curves(run)
        for k in np.flatnonzero(~reading.diverged(run)):
            ends[f"in gradient descent at η = {number(sizes[k])}"] = reading.final(values[k])
    return {where: end for where, end in ends.items() if np.isfinite(end)}
