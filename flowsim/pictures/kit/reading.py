"""What figures read from a run: its flows, its step sizes, and which of its parts can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from flowsim.dynamics import registry
from flowsim.pictures.kit.words import distinct_numbers, join_words, number, truncate
from flowsim.results.run import Run

FLOWS = {name: flow.label for name, flow in registry.FLOWS.items()}
"""Labels of the flows by group, in order of preference: the first of a run is its reference."""

MOST_PANELS = 40
"""Variants drawn in one figure at most; a page of more panels is not readable."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a figure shows: a run, its variants that are drawn, and the finding in words.

    `parts` are the variants for which the figure is available, at most `MOST_PANELS`, or the run
    itself where it has no variants. `axes` are those of the user to draw into, if any.
    """

    run: Run
    parts: dict[str, Run]
    headline: str
    axes: Axes | None = None


def has_numbers(run: Run, path: str) -> bool:
    """Whether the run itself, not a variant, has finite numbers at `group.variable`."""
    group, _, name = path.partition(".")
    variable = run.groups.get(group, {}).get(name)
    return variable is not None and variable.has_numbers()


def flows_with(run: Run, variable: str) -> list[str]:
    """Return the groups of the flows that have this variable, the reference first."""
    return [space for space in FLOWS if has_numbers(run, f"{space}.{variable}")]


def first_curve(run: Run, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and a variable of the reference flow: the first flow that has it."""
    space = flows_with(run, variable)[0]
    return run[f"{space}.time"], run[f"{space}.{variable}"]


def first_flow(run: Run, variable: str) -> np.ndarray:
    """Return a variable of the reference flow."""
    return first_curve(run, variable)[1]


def final_value(run: Run, variable: str) -> float:
    """Return the last finite value of a variable of the reference flow."""
    return final(first_flow(run, variable))


def legend_names(found: Sequence[Sequence[str]]) -> tuple[str, list[str]]:
    """Return the legend's names of the reference flows and of the others, given each run's flows.

    Reference flows share one line style, so that they share one entry: "layer flow / mode flow".
    """
    firsts = dict.fromkeys(FLOWS[spaces[0]] for spaces in found)
    others = dict.fromkeys(FLOWS[space] for spaces in found for space in spaces[1:])
    return " / ".join(firsts), list(others)


def minimum_norm_value(run: Run, measure: str) -> float:
    """Return a quantity of the solution of minimum nuclear norm; nan if the run has none."""
    path = f"minimum_nuclear_norm.{measure}"
    return float(run[path]) if has_numbers(run, path) else float("nan")


def relative_to_minimum_norm(run: Run, value: float, measure: str) -> float:
    """Return a value over that of the solution of minimum nuclear norm; nan if the run has none."""
    reference = minimum_norm_value(run, measure)
    return value / reference if reference > 0 else float("nan")


def why_missing(run: Run, *paths: str) -> str | None:
    """Return the reason that names the paths without finite numbers, or None."""
    missing = [path for path in paths if not has_numbers(run, path)]
    return f"the run has no numbers in {' or '.join(missing)}" if missing else None


def why_no_flow(run: Run, variable: str) -> str | None:
    """Return the reason that no flow has this variable, or None."""
    return None if flows_with(run, variable) else f"no flow of the run has numbers in {variable!r}"


def members(run: Run) -> dict[str, Run]:
    """Return the variants by name, or the run itself where it has none."""
    return dict(run.variants) or {run.name: run}


def has_log_times(runs: Iterable[Run]) -> bool:
    """Whether all runs saved logarithmically spaced times, so that a logarithmic axis suits."""
    return all(run.scenario.flow.has_log_times for run in runs)


def has_descent(run: Run, variable: str) -> bool:
    """Whether this variable of descent can be drawn over the time of the flow.

    Only gradient descent has t = kη; steps of other algorithms have no time of the flow.
    """
    return has_numbers(run, f"descent.{variable}") and has_numbers(run, "descent.time")


def flow_times(run: Run) -> list[np.ndarray]:
    """Return the saved times of every flow of the run; of descent if it has no flow."""
    flows = [run[f"{space}.time"] for space in FLOWS if has_numbers(run, f"{space}.time")]
    return flows or [run["descent.time"]]


def why_single_time(run: Run) -> str | None:
    """Return the reason that a run was saved at one time only, or None."""
    spans = [np.ptp(time) for part in members(run).values() for time in flow_times(part)]
    return None if max(spans) > 0 else "the run was saved at one time only"


def step_sizes(run: Run) -> np.ndarray:
    """Return the step sizes of descent, in the order of the run; empty if it has no descent."""
    variable = run.groups.get("descent", {}).get("step_size")
    return np.zeros(0) if variable is None else np.asarray(variable.values, dtype=float)


def all_step_sizes(runs: Iterable[Run]) -> np.ndarray:
    """Return the step sizes of all runs, ascending, each once."""
    return np.unique(np.concatenate([np.zeros(0), *(step_sizes(run) for run in runs)]))


def critical_step_size(runs: Iterable[Run]) -> tuple[float, str]:
    """Return the critical step size 2/λ shared by all runs, and its long name.

    It is nan, with an empty name, if a run has none or if those of the runs differ by over 0.1 %:
    one axis in units of 2/λ would be wrong then.
    """
    path = "descent.critical_step_size"
    # a run without 2/λ among runs with one: no shared unit
    known = [run.variable(path) if has_numbers(run, path) else None for run in runs]
    found = [variable for variable in known if variable is not None]
    if not found or len(found) < len(known):
        return np.nan, ""
    values = np.array([float(variable.values) for variable in found])
    names = {variable.long_name for variable in found}
    alike = len(names) == 1 and np.ptp(values) <= 1e-3 * values.min()
    return (float(values[0]), names.pop()) if alike else (np.nan, "")


def diverged(run: Run) -> np.ndarray:
    """Return a boolean per step size: whether descent diverged."""
    variable = run.groups.get("descent", {}).get("outcome")
    if variable is None:
        return np.zeros(len(step_sizes(run)), dtype=bool)
    return np.array([decode(outcome) == "diverged" for outcome in variable.values], dtype=bool)


def largest_over_time(run: Run, values: np.ndarray) -> np.ndarray:
    """Return the largest of `(step_size, sample)` per step size; nan if descent diverged.

    Step sizes that diverge have no largest value: they end early.
    """
    known = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    return np.where(np.isfinite(known) & ~diverged(run), known, np.nan)


def decode(value: object) -> str:
    """Return a stored string; HDF5 returns bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def step_labels(sizes: np.ndarray, lost: np.ndarray) -> list[str]:
    """Return the legend's label of each step size, with the diverged ones marked."""
    marks = [" (diverged)" if gone else "" for gone in lost]
    numbers = distinct_numbers(list(sizes))
    return [f"η = {size}{mark}" for size, mark in zip(numbers, marks, strict=True)]


def first_and_last(values: np.ndarray) -> tuple[float, float]:
    """Return the first and the last finite value, or nan twice."""
    known = values[np.isfinite(values)]
    return (float(known[0]), float(known[-1])) if known.size else (np.nan, np.nan)


def final(values: np.ndarray) -> float:
    """Return the last finite value, or nan."""
    return first_and_last(values)[1]


def describe_extremes(values: Mapping[str, float]) -> str:
    """Return the names of the lowest and the highest value: "lowest for a (1) and highest …"."""
    low, high = (pick(values, key=values.__getitem__) for pick in (min, max))
    return (
        f"lowest for {low} ({number(values[low])}) and highest for {high} ({number(values[high])})"
    )


def describe_largest(parts: Mapping[str, Run], values: Callable[[Run], np.ndarray]) -> str:
    """Return the largest of `values(step_size, sample)` in each variant in which one converges."""
    largest = {name: largest_over_time(part, values(part)) for name, part in parts.items()}
    known = {name: each[np.isfinite(each)] for name, each in largest.items()}
    phrases = (f"{number(float(v.max()))} in {name}" for name, v in known.items() if v.size)
    return join_words(phrases, most=5)


def describe_change(values: np.ndarray) -> str:
    """Return how a quantity changes: "falls from 3 to 1", "stays at 3".

    An extremum between the ends is added if it exceeds them by over 2 % of the range: "changes
    from 3 to 1 (minimum 0.5)".
    """
    known = values[np.isfinite(values)]
    first, last = first_and_last(values)
    if known.size < 2:
        return f"is {number(first)} at the only time saved"
    low, high = float(known.min()), float(known.max())
    below, above = min(first, last) - low, high - max(first, last)
    if high - low <= 1e-3 * max(abs(low), abs(high)):
        return f"stays at {number(first)}"
    if max(below, above) > 0.02 * (high - low):
        extremum = f"minimum {number(low)}" if below > above else f"maximum {number(high)}"
        return f"changes from {number(first)} to {number(last)} ({extremum})"
    verb = "falls" if last < first else "rises"
    return f"{verb} from {number(first)} to {number(last)}"


def crossing_time(time: np.ndarray, values: np.ndarray, level: float) -> float:
    """Return when `values` first reaches `level`, linear between samples; nan if never."""
    reached = np.flatnonzero(values >= level)
    if not reached.size:
        return float("nan")
    k = int(reached[0])
    if k == 0 or not np.isfinite(values[k - 1]) or values[k] == values[k - 1]:
        return float(time[k])
    fraction = (level - values[k - 1]) / (values[k] - values[k - 1])
    return float(time[k - 1] + fraction * (time[k] - time[k - 1]))


def describe_incomplete(subject: Subject) -> list[str]:
    """Return a phrase for the variants that are not drawn and for each incomplete flow."""
    run, parts = subject.run, subject.parts
    missing = [name for name in run.variants if name not in parts]
    phrases = [f"not drawn: {', '.join(missing)}"] if missing else []
    phrases += incomplete_flows(run)
    for name in filter(parts.__contains__, run.variants):
        phrases += [f"{name}, {phrase}" for phrase in incomplete_flows(run.variants[name])]
    return phrases


def incomplete_flows(run: Run) -> list[str]:
    """Return for each flow that did not complete how and when it ended."""
    phrases = []
    for space, outcome in run.summary.get("outcome", {}).items():
        if space not in FLOWS or outcome == "completed":
            continue
        verdict = run.summary.get("verdict", {}).get(space) or {}
        name = str(verdict.get("name", outcome)).replace("_", " ")
        time = run.groups.get(space, {}).get("time")
        last = f" at t = {number(time.values[-1])}" if time is not None and time.values.size else ""
        phrases.append(f"{FLOWS[space]}: {truncate(name, 30)}{last}")
    return phrases
