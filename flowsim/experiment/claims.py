"""Claims: what a scenario says it shows, checked against what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim.experiment.plan.variables import ALONG_TIME
from flowsim.results.run import Run, Variable

if TYPE_CHECKING:
    from flowsim.scenario import Scenario
    from flowsim.scenario.spec.claim import Claim

REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
}


def check(scenario: Scenario, run: Run) -> list[dict[str, Any]]:
    """Return {"claim", "value", "holds"} for every claim of the scenario.

    `max`, `min` and `mean` go over all entries, nan (no value there) left out; `first` and `last`
    take that time and must then hold for every entry left, the reported value being the worst.
    `below_quantity` and `above_quantity` are picked and reduced like the quantity itself.
    A trend looks at every pair of neighbouring times, its value being the largest step the other
    way; an order is the slope of the reduced quantity over the step sizes, both in logarithms.
    A quantity that the run does not have, or not at the time picked, makes its claim fail.
    """
    return [_checked(claim, run) for claim in scenario.claims]


def _checked(claim: Claim, run: Run) -> dict[str, Any]:
    try:
        value, holds = _outcome(claim, run)
    except (KeyError, IndexError):
        return {"claim": claim.sentence, "value": None, "holds": False}
    return {"claim": claim.sentence, "value": value, "holds": holds}


def _outcome(claim: Claim, run: Run) -> tuple[float, bool]:
    picked = _picked(claim, claim.quantity, run)
    if claim.trend is not None:
        return _against_trend(claim, picked)
    if claim.order is not None:
        found = _order(claim, picked, run[f"{claim.quantity.rpartition('.')[0]}.step_size"])
        return found, bool(abs(found - claim.order) <= (claim.within or 0.0))
    other = claim.below_quantity or claim.above_quantity
    bound = None if other is None else _reduced(claim, _picked(claim, other, run))
    return _judged(claim, _reduced(claim, picked), bound)


def _against_trend(claim: Claim, variable: Variable) -> tuple[float, bool]:
    """Return the largest step against the trend between neighbouring times; nan is no value."""
    axis = next(i for i, dim in enumerate(variable.dims) if dim in ALONG_TIME)
    steps = np.diff(variable.values, axis=axis) * (1 if claim.trend == "decreasing" else -1)
    if np.isnan(steps).any() or not steps.size:
        return float("nan"), False
    return float(steps.max()), bool(steps.max() <= (claim.within or 0.0))


def _order(claim: Claim, variable: Variable, step_sizes: np.ndarray) -> float:
    """Return the fitted power of η; nan unless two step sizes or more leave a positive number."""
    axis = variable.dims.index("step_size")
    each = [_reduced(claim, variable.picked("step_size", i)) for i in range(variable.shape[axis])]
    sizes = np.array([np.max(values) if values.size else np.nan for values in each])
    with np.errstate(invalid="ignore"):
        fit = np.isfinite(sizes) & (sizes > 0)
    if fit.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(step_sizes[fit]), np.log(sizes[fit]), 1)[0])


def _judged(claim: Claim, values: np.ndarray, bound: np.ndarray | None) -> tuple[float, bool]:
    """Return the worst value and whether the claim holds even there; nan never does."""
    if values.size == 0 or np.isnan(values).any():
        return float("nan"), False
    if claim.equals is not None:
        worst = values[np.argmax(np.abs(values - claim.equals))]
        return float(worst), bool(abs(worst - claim.equals) <= claim.within)
    if claim.below is not None or claim.below_quantity is not None:
        limit = np.min(bound) if bound is not None else claim.below
        return float(values.max()), bool(values.max() < limit)
    limit = np.max(bound) if bound is not None else claim.above
    return float(values.min()), bool(values.min() > limit)


def _picked(claim: Claim, path: str, run: Run) -> Variable:
    variable = run.variable(path)
    for dim, wanted in claim.picks:
        variable = _at(variable, dim, wanted, run, path.rpartition(".")[0])
    return variable


def _reduced(claim: Claim, variable: Variable) -> np.ndarray:
    if claim.reduce in REDUCTIONS:
        known = variable.values[~np.isnan(variable.values)]
        return np.atleast_1d(REDUCTIONS[claim.reduce](known) if known.size else np.nan)
    along = next((dim for dim in variable.dims if dim in ALONG_TIME), None)
    if along is not None:
        variable = variable.picked(along, 0 if claim.reduce == "first" else -1)
    return np.atleast_1d(variable.values).ravel()


def _at(variable: Variable, dim: str, wanted: float, run: Run, group: str) -> Variable:
    """Return the variable at one index of a dimension; a time or step size is the nearest one."""
    name = dim if dim != "time" else next(d for d in variable.dims if d in ALONG_TIME)
    if name not in variable.dims:
        raise KeyError(dim)
    index = int(wanted)
    if dim in ("time", "step_size", "level"):
        known = _written(run, group) if dim == "step_size" else run[f"{group}.{name}"]
        if wanted > known.max() * (1 + 1e-9):
            raise IndexError(f"{dim} {wanted} was not reached")
        index = int(np.argmin(np.abs(known - wanted)))
    return variable.picked(name, index)


def _written(run: Run, group: str) -> np.ndarray:
    """Return the step sizes of a group as the scenario writes them."""
    variant, slash, _ = group.rpartition("/")
    try:
        return run[f"{variant}{slash}descent.relative_step_size"]
    except KeyError:
        return run[f"{group}.step_size"]
