"""The entry of the end-to-end matrix that ends largest: which it is, and its values over time."""

from __future__ import annotations

import numpy as np

from flowsim.pictures import end_to_end_entries, loss
from flowsim.pictures.kit import curves, reading
from flowsim.pictures.kit.words import indexed, number
from flowsim.results.run import Run

Curve = tuple[np.ndarray, np.ndarray]
"""Times and values; of descent both `(step_size, sample)`."""


def descends(run: Run) -> bool:
    """Say whether descent saved W."""
    return reading.descends(run, "end_to_end")


def entry(run: Run) -> tuple[int, int]:
    """Return the row and the column of the entry that ends largest in size, over all flows."""
    spaces = reading.spaces(run, "end_to_end")
    flows = [end_to_end_entries.matrices(run, space)[1] for space in spaces]
    ends = [np.apply_along_axis(lambda w: abs(reading.ends(w)[1]), 0, W) for W in flows]
    largest = np.fmax.reduce(ends)
    i, j = np.unravel_index(int(np.nanargmax(largest)), largest.shape)
    return int(i), int(j)


def name(run: Run) -> str:
    """Return the name of that entry, such as w₁₁."""
    return indexed("w", *(k + 1 for k in entry(run)))


def along(run: Run, group: str) -> Curve:
    """Return that entry over time, in a flow or in the closed form."""
    time, W = end_to_end_entries.matrices(run, group)
    return time, W[:, *entry(run)]


def along_flows(run: Run) -> dict[str, Curve]:
    """Return that entry over time in each flow that saved W."""
    return {space: along(run, space) for space in reading.spaces(run, "end_to_end")}


def along_descent(run: Run) -> Curve:
    """Return that entry in descent at every step size, nan where it is too far out to be shown."""
    W, time = run.variable("descent.end_to_end"), run["descent.time"]
    if "saved_sample" in W.dims:
        time = time[:, run["descent.saved_sample"].astype(int)]
    values = W.values[:, :, *entry(run)]
    within = loss.ceiling([np.abs(w) for _, w in along_flows(run).values()])
    near = np.isfinite(curves.settled(run, np.abs(values), within))
    return time, np.where(near, values, np.nan)


def along_all(run: Run) -> list[Curve]:
    """Return that entry over time in every flow, and last in descent where it saved W."""
    return [*along_flows(run).values(), *([along_descent(run)] if descends(run) else [])]


def finals(run: Run) -> dict[str, float]:
    """Return where that entry ends, by dynamics; of descent where it did not diverge."""
    ends = {
        f"in the {reading.FLOWS[space]}": reading.ends(values)[1]
        for space, (_, values) in along_flows(run).items()
    }
    if descends(run):
        sizes, _, values = reading.step_sizes(run), *along_descent(run)
        for k in np.flatnonzero(~reading.diverged(run)):
            ends[f"in descent at η = {number(sizes[k])}"] = reading.ends(values[k])[1]
    return {where: end for where, end in ends.items() if np.isfinite(end)}
