"""Claims: statements of a scenario about its results, checked against the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowsim.experiment.plan.variables import ALONG_TIME, ERRORS
from flowsim.results.power_law import straight_fit
from flowsim.results.run import Run, Variable

if TYPE_CHECKING:
    from flowsim.scenario.spec.claim import Claim
    from flowsim.scenario.spec.scenario import Scenario

REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
}


class Judged(NamedTuple):
    """The value of a claim, whether it holds, and the number that the value is compared with."""

    value: float
    holds: bool
    limit: float


NO_VALUE = Judged(math.nan, False, math.nan)
"""The judgement of a claim about numbers that are not known."""


def check(scenario: Scenario, run: Run) -> list[dict[str, Any]]:
    """Return {"claim", "value", "error", "text", "holds"} for every claim of the scenario.

    `max`, `min` and `mean` reduce over all entries but nan, which means "no value". `first` and
    `last` select that time; the comparison must then hold for every remaining entry, and the value
    is the worst of them. `below_quantity` and `above_quantity` are selected and reduced like the
    quantity itself. A trend compares every pair of consecutive times; its value is the largest step
    against it. An order is the slope of log(reduced quantity) over log η, by least squares.
    A claim fails if the run lacks its quantity, or did not reach the time selected.

    `error` is the estimated error of the value, None where there is none. `text` is the value in
    as many digits as tell it from the number that it is compared with.
    """
    return [_check_claim(claim, run) for claim in scenario.claims]


def _check_claim(claim: Claim, run: Run) -> dict[str, Any]:
    try:
        picked = _selected(claim, claim.quantity, run)
        value, holds, limit = _judged(claim, picked, run)
        error = _error(claim, picked, value, run)
    except (KeyError, IndexError):
        value, holds, limit, error = None, False, math.nan, None
    return {
        "claim": claim.sentence,
        "value": value,
        "error": error,
        "text": _text(value, limit, error),
        "holds": holds,
    }


def _judged(claim: Claim, picked: Variable, run: Run) -> Judged:
    if claim.trend is not None:
        return _compare_trend(claim, picked)
    if claim.order is not None:
        slope = _order(claim, picked, run[f"{claim.quantity.rpartition('.')[0]}.step_size"])
        within = claim.within or 0.0
        limit = claim.order + math.copysign(within, slope - claim.order)
        return Judged(slope, bool(abs(slope - claim.order) <= within), limit)
    other = claim.below_quantity or claim.above_quantity
    bound = None if other is None else _reduced(claim, _selected(claim, other, run))
    return _compare_bound(claim, _reduced(claim, picked), bound)


def _error(claim: Claim, picked: Variable, value: float, run: Run) -> float | None:
    """Return the estimated error of an entry, the largest of those that have this value."""
    group, _, name = claim.quantity.rpartition(".")
    known = ERRORS.get(f"{group.rpartition('/')[2]}.{name}", f"{name}_error")
    if claim.trend or claim.order is not None or claim.reduce == "mean":
        return None
    try:
        error = run.variable(f"{group}.{known}")
    except KeyError:
        return None
    for dim, at in claim.picks:
        if dim in error.dims or (dim == "time" and set(error.dims) & set(ALONG_TIME)):
            error = _at(error, dim, at, run, group)
    if not set(error.dims) <= set(picked.dims):
        return None
    # an error without a mode, say, holds for every mode
    axes = tuple(i for i, dim in enumerate(picked.dims) if dim not in error.dims)
    found = error.values[(picked.values == value).any(axis=axes)]
    known_errors = found[np.isfinite(found)]
    return float(known_errors.max()) if known_errors.size else None


def _text(value: float | None, limit: float, error: float | None) -> str:
    """Return a value with its error in words; – where there is no value."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    texts = (f"{value:.{digits}g}" for digits in range(3, 18))
    shown = next(text for text in texts if _alike(float(text), value, limit))
    return f"{shown}, error estimate {error:.1g}" if error else shown


def _alike(rounded: float, value: float, limit: float) -> bool:
    """Return whether a rounded value is on the same side of the limit as the value itself."""
    return (
        rounded == value
        or not math.isfinite(limit)
        or ((rounded > limit, rounded < limit) == (value > limit, value < limit))
    )


def _compare_trend(claim: Claim, variable: Variable) -> Judged:
    """Return the largest step against the trend, and whether it is within tolerance."""
    axis = next(i for i, dim in enumerate(variable.dims) if dim in ALONG_TIME)
    steps = np.diff(variable.values, axis=axis) * (1 if claim.trend == "decreasing" else -1)
    if np.isnan(steps).any() or not steps.size:  # a missing time could hide a step
        return NO_VALUE
    limit = claim.within or 0.0
    return Judged(float(steps.max()), bool(steps.max() <= limit), limit)


def _order(claim: Claim, variable: Variable, step_sizes: np.ndarray) -> float:
    """Return the fitted power of η; nan with fewer than two positive finite values."""
    axis = variable.dims.index("step_size")
    each = [_reduced(claim, variable.select("step_size", i)) for i in range(variable.shape[axis])]
    sizes = np.array([np.max(values) if values.size else np.nan for values in each])
    with np.errstate(invalid="ignore"):
        fit = np.isfinite(sizes) & (sizes > 0)
    if fit.sum() < 2:
        return float("nan")
    return straight_fit(step_sizes[fit], sizes[fit])[0]


def _compare_bound(claim: Claim, values: np.ndarray, bound: np.ndarray | None) -> Judged:
    """Return the worst value and whether the claim holds for it; it never holds for nan."""
    if values.size == 0 or np.isnan(values).any():
        return NO_VALUE
    if claim.equals is not None:
        worst = float(values[np.argmax(np.abs(values - claim.equals))])
        within = claim.within or 0.0
        limit = claim.equals + math.copysign(within, worst - claim.equals)
        return Judged(worst, abs(worst - claim.equals) <= within, limit)
    if claim.below is not None or claim.below_quantity is not None:
        # the strictest of several bounds: every entry must be below all of them
        limit = float(np.min(bound)) if bound is not None else float(claim.below or 0.0)
        return Judged(float(values.max()), bool(values.max() < limit), limit)
    limit = float(np.max(bound)) if bound is not None else float(claim.above or 0.0)
    return Judged(float(values.min()), bool(values.min() > limit), limit)


def _selected(claim: Claim, path: str, run: Run) -> Variable:
    variable = run.variable(path)
    for dim, value in claim.picks:
        variable = _at(variable, dim, value, run, path.rpartition(".")[0])
    return variable


def _reduced(claim: Claim, variable: Variable) -> np.ndarray:
    if claim.reduce in REDUCTIONS:
        known = variable.values[~np.isnan(variable.values)]
        return np.atleast_1d(REDUCTIONS[claim.reduce](known) if known.size else np.nan)
    along = next((dim for dim in variable.dims if dim in ALONG_TIME), None)
    if along is not None:
        variable = variable.select(along, 0 if claim.reduce == "first" else -1)
    return np.atleast_1d(variable.values).ravel()


def _at(variable: Variable, dim: str, value: float, run: Run, group: str) -> Variable:
    """Return the variable at one index of a dimension, or at the nearest time or step size."""
    name = dim if dim != "time" else next(d for d in variable.dims if d in ALONG_TIME)
    if name not in variable.dims:
        raise KeyError(dim)
    index = int(value)
    if dim in ("time", "step_size", "level"):
        known = _step_sizes_as_written(run, group) if dim == "step_size" else run[f"{group}.{name}"]
        # a run that stopped early must not pass a claim about a later time by its last one
        if value > known.max() * (1 + 1e-9):
            raise IndexError(f"{dim} {value} was not reached")
        index = int(np.argmin(np.abs(known - value)))
    return variable.select(name, index)


def _step_sizes_as_written(run: Run, group: str) -> np.ndarray:
    """Return the step sizes of a group in the unit that the scenario uses."""
    variant, slash, _ = group.rpartition("/")
    try:
        return run[f"{variant}{slash}descent.relative_step_size"]
    except KeyError:
        return run[f"{group}.step_size"]
