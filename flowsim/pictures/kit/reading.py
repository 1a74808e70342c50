"""What figures read off a Run: its flows, its step sizes, and which of its parts can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from flowsim.dynamics import registry
from flowsim.pictures.kit.words import clipped, distinct, number
from flowsim.results.run import Run

FLOWS = {name: flow.label for name, flow in registry.FLOWS.items()}
MOST_PANELS = 40


def drawable(run: Run, path: str) -> bool:
    """Say whether the run itself has a variable at `group.variable` with finite numbers in it."""
    group, _, name = path.partition(".")
    variable = run.groups.get(group, {}).get(name)
    return variable is not None and variable.has_numbers()


def spaces(run: Run, variable: str) -> list[str]:
    """Return the flows that have this variable, the reference first."""
    return [space for space in FLOWS if drawable(run, f"{space}.{variable}")]


def first_and_others(found: Sequence[Sequence[str]]) -> tuple[str, list[str]]:
    """Return names for a legend, given the flows that each run draws: the first, and the others."""
    firsts = dict.fromkeys(FLOWS[spaces[0]] for spaces in found)
    others = dict.fromkeys(FLOWS[space] for spaces in found for space in spaces[1:])
    return " / ".join(firsts), list(others)


def least(run: Run, measure: str) -> float:
    """Return a measure of the solution of least nuclear norm; nan where there is none."""
    path = f"minimum_nuclear_norm.{measure}"
    return float(run[path]) if drawable(run, path) else float("nan")


def over_least(run: Run, value: float, measure: str) -> float:
    """Return a value over that of the solution of least nuclear norm; nan where that has none."""
    of_least = least(run, measure)
    return value / of_least if of_least > 0 else float("nan")


def why_missing(run: Run, *paths: str) -> str | None:
    """Return the reason that names the paths without finite numbers, or None."""
    missing = [path for path in paths if not drawable(run, path)]
    return f"the run has no numbers in {' or '.join(missing)}" if missing else None


def why_no_flow(run: Run, variable: str) -> str | None:
    """Return the reason that no flow has this variable, or None."""
    return None if spaces(run, variable) else f"no flow of the run has numbers in {variable!r}"


def members(run: Run) -> dict[str, Run]:
    """Return the variants by name, or the run itself where it has none."""
    return dict(run.variants) or {run.name: run}


def fitted(run: Run, why_unavailable: Callable[[Run], str | None]) -> dict[str, Run]:
    """Return the members that a picture can draw, at most `MOST_PANELS`."""
    fit = [(name, member) for name, member in members(run).items() if not why_unavailable(member)]
    return dict(fit[:MOST_PANELS])


def logarithmic(runs: Iterable[Run]) -> bool:
    """Say whether time is best drawn on a logarithmic axis: saved times are spaced so."""
    return all(run.scenario.flow.spacing == "log" for run in runs)


def descends(run: Run, variable: str) -> bool:
    """Say whether this variable of descent can be drawn over the time of the flow.

    The steps of another algorithm than gradient descent have no such time.
    """
    return drawable(run, f"descent.{variable}") and drawable(run, "descent.time")


def flow_times(run: Run) -> list[np.ndarray]:
    """Return the saved times of every flow of the run; of descent where it has none."""
    flows = [run[f"{space}.time"] for space in FLOWS if drawable(run, f"{space}.time")]
    return flows or [run["descent.time"]]


def why_single_time(run: Run) -> str | None:
    """Return the reason that a run was saved at one time only, or None."""
    ends = [np.ptp(time) for part in members(run).values() for time in flow_times(part)]
    return None if max(ends) > 0 else "the run was saved at one time only"


def step_sizes(run: Run) -> np.ndarray:
    """Return the step sizes that descent took, none where there is no descent."""
    variable = run.groups.get("descent", {}).get("step_size")
    return np.zeros(0) if variable is None else np.asarray(variable.values, dtype=float)


def all_step_sizes(runs: Iterable[Run]) -> np.ndarray:
    """Return the step sizes of all runs, ascending, each once."""
    return np.unique(np.concatenate([np.zeros(0), *(step_sizes(run) for run in runs)]))


def critical_step_size(runs: Iterable[Run]) -> tuple[float, str]:
    """Return the 2/sharpness that step sizes are multiples of in all these runs, and its name.

    It is nan where they are not, or where the runs' own differ by over a thousandth.
    """
    path = "descent.critical_step_size"
    known = [run.variable(path) if drawable(run, path) else None for run in runs]
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
    return np.array([text(outcome) == "diverged" for outcome in variable.values], dtype=bool)


def text(value: object) -> str:
    """Return a stored string, bytes decoded."""
    return value.decode() if isinstance(value, bytes) else str(value)


def step_labels(sizes: np.ndarray, lost: np.ndarray) -> list[str]:
    """Return the legend's label of each step size, saying which diverged."""
    endings = [" (diverged)" if gone else "" for gone in lost]
    return [f"η = {n}{end}" for n, end in zip(distinct(list(sizes)), endings, strict=True)]


def ends(values: np.ndarray) -> tuple[float, float]:
    """Return the first and the last finite value."""
    known = values[np.isfinite(values)]
    return (float(known[0]), float(known[-1])) if known.size else (np.nan, np.nan)


def course(values: np.ndarray) -> str:
    """Say how a quantity went: "falls from 3 to 1", "goes from 3 by way of 0.5 to 1", "stays at 3".

    The detour is told where it leaves the interval between the ends by over 2 % of the range.
    """
    known = values[np.isfinite(values)]
    first, last = ends(values)
    if known.size < 2:
        return f"is {number(first)} at the only time saved"
    low, high = float(known.min()), float(known.max())
    below, above = min(first, last) - low, high - max(first, last)
    if high - low <= 1e-3 * max(abs(low), abs(high)):
        return f"stays at {number(first)}"
    if max(below, above) > 0.02 * (high - low):
        detour = low if below > above else high
        return f"goes from {number(first)} by way of {number(detour)} to {number(last)}"
    verb = "falls" if last < first else "rises"
    return f"{verb} from {number(first)} to {number(last)}"


def crossing(time: np.ndarray, values: np.ndarray, level: float) -> float:
    """Return when `values` first reaches `level`, linear between samples; nan if never."""
    reached = np.flatnonzero(values >= level)
    if not reached.size:
        return float("nan")
    k = int(reached[0])
    if k == 0 or not np.isfinite(values[k - 1]) or values[k] == values[k - 1]:
        return float(time[k])
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    return float(time[k - 1] + share * (time[k] - time[k - 1]))


def shortfalls(run: Run, drawn: Collection[str]) -> list[str]:
    """Say which variants are not drawn, and of each flow that did not complete how it ended."""
    missing = [name for name in run.variants if name not in drawn]
    sentences = [f"not drawn: {', '.join(missing)}"] if missing else []
    sentences += endings(run)
    for name in drawn:
        sentences += [f"{name}, {ending}" for ending in endings(run.variants[name])]
    return sentences


def endings(run: Run) -> list[str]:
    """Say of each flow that did not complete how it ended, and when."""
    sentences = []
    for space, outcome in run.summary.get("outcome", {}).items():
        if space not in FLOWS or outcome == "completed":
            continue
        verdict = run.summary.get("verdict", {}).get(space) or {}
        name = str(verdict.get("name", outcome)).replace("_", " ")
        time = run.groups.get(space, {}).get("time")
        last = f" at t = {number(time.values[-1])}" if time is not None and time.values.size else ""
        sentences.append(f"{FLOWS[space]}: {clipped(name, 30)}{last}")
    return sentences
