"""Distance of approximating flows from the iterates of descent, through the edge of stability.

All distances are over the layers, at each step size and the recorded iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from flowsim.solvers.descend import DescentTrajectory
from flowsim.theory.modified_flows.comparison import Comparison, compare
from flowsim.theory.modified_flows.objective import Objective, flatten
from flowsim.theory.modified_flows.spec import APPROXIMATING
from flowsim.theory.setting import Arrays, Setting


def measure(setting: Setting) -> Arrays:
    """Return distances and errors, sharpness and variance, and how long each flow is valid.

    Values are nan past divergence, past the end of a flow, and at step sizes after an interrupt.
    """
    descent = setting.descent
    if descent is None:
        return {}
    found = _compared(setting, descent)
    undefined = np.full(descent.iteration.shape[1], np.nan)

    def rows(value: Callable[[Comparison], np.ndarray | None]) -> np.ndarray:
        values = [value(one) if one else None for one in found]
        return np.array([undefined if row is None else row for row in values])

    def distance(flow: str) -> Callable[[Comparison], np.ndarray | None]:
        return lambda one: one.distance[flow]

    def error(flow: str) -> Callable[[Comparison], np.ndarray | None]:
        return lambda one: one.error[flow]

    def valid_until(flow: str) -> np.ndarray:
        times = [
            one.valid_until[flow].time if one and flow in one.valid_until else np.nan
            for one in found
        ]
        return np.array(times)

    return {
        "step_size": descent.step_sizes,
        "time": descent.times,
        **{flow: rows(distance(flow)) for flow in APPROXIMATING},
        **{f"{flow}_error": rows(error(flow)) for flow in APPROXIMATING},
        "sharpness_over_limit": rows(lambda one: one.sharpness),
        "central_sharpness_over_limit": rows(lambda one: one.central_sharpness),
        "variance_predicted": rows(lambda one: one.variance_predicted),
        "variance_measured": rows(lambda one: one.variance_measured),
        "variance_ratio": rows(_variance_ratio),
        **{f"{flow}_broken_at": valid_until(flow) for flow in APPROXIMATING},
        "note": _notes(descent.step_sizes, found),
    }


def _compared(setting: Setting, descent: DescentTrajectory) -> list[Comparison | None]:
    """Return the comparison at each step size, None from an interrupt on."""
    problem = setting.problem
    objective = Objective.of(problem.loss, problem.layers)
    start = np.asarray(flatten(problem.layers))
    count, found = len(descent.step_sizes), list[Comparison | None]()

    for k, (eta, iteration) in enumerate(zip(descent.step_sizes, descent.iteration, strict=True)):
        monitor = setting.monitor.part(k / count, (k + 1) / count)
        found.append(compare(objective, start, float(eta), iteration, monitor))
    return found


def _variance_ratio(comparison: Comparison) -> np.ndarray:
    predicted, measured = comparison.variance_predicted, comparison.variance_measured
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(predicted > 0, predicted / measured, np.nan)


def _notes(sizes: np.ndarray, found: Sequence[Comparison | None]) -> list[str]:
    """Return a sentence for each way in which a flow ceases to be valid: at which η, when, why."""
    places: dict[tuple[str, str], list[str]] = {}
    for eta, comparison in zip(sizes, found, strict=True):
        for flow, end in comparison.valid_until.items() if comparison else ():
            where = f"at η = {eta:g} from t = {end.time:.4g}"
            places.setdefault((flow, end.reason), []).append(where)
    return [
        f"the {APPROXIMATING[flow]} ceases to be valid {', '.join(where)}: {reason}."
        for (flow, reason), where in places.items()
    ]
