"""How far flows that describe descent are from its iterates, through the edge of stability.

Everything is measured in layer space, at each step size and the recorded iterates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowsim.results.run import Group, named
from flowsim.solvers.descend import DescentTrajectory
from flowsim.theory.modified_flows.descriptions import Objective, weights
from flowsim.theory.modified_flows.side_by_side import NAMES, Comparison, compare
from flowsim.theory.setting import Setting

GRID = ("step_size", "sample")
IN_WORDS = {
    "flow": "gradient flow",
    "modified": "modified flow",
    "principal": "principal flow",
    "central": "central flow",
}
OF_EACH = {
    "sharpness_over_limit": "sharpness of the iterates over 2/η",
    "central_sharpness_over_limit": "sharpness of the central flow over 2/η",
    "variance_predicted": "tr Σ of the central flow, averaged since it first was not 0",
    "variance_measured": "‖(2θ_k − θ_{k−1} − θ_{k+1})/4‖² of the iterates, averaged over that time",
    "variance_ratio": "predicted over measured variance",
}


def measure(setting: Setting) -> Group:
    """Return the distances, what the edge of stability does, and where each description breaks.

    Nan where there is nothing: past divergence, past where a description ends, and at the step
    sizes from an interrupt on.
    """
    descent = setting.descent
    if descent is None:
        return {}
    found = _compared(setting, descent)
    grid = np.full(descent.iteration.shape, np.nan)

    def over(values: Sequence[np.ndarray | None]) -> np.ndarray:
        return np.array([grid[0] if row is None else row for row in values])

    def broken_at(name: str) -> np.ndarray:
        times = [c.broken[name].time if c and name in c.broken else np.nan for c in found]
        return np.array(times)

    distances = {n: over([c.distance[n] if c else None for c in found]) for n in NAMES}
    errors = {n: over([c.error[n] if c else None for c in found]) for n in NAMES}
    columns = {n: over([_of(c, n) if c else None for c in found]) for n in OF_EACH}
    return {
        "step_size": named(("step_size",), descent.step_sizes, "step size η"),
        "time": named(GRID, descent.times, "time t = kη of an iterate θ_k"),
        **{n: named(GRID, d, f"‖θ_k − θ(kη)‖ to the {IN_WORDS[n]}") for n, d in distances.items()},
        **{
            f"{n}_error": named(GRID, e, f"estimated error of the {IN_WORDS[n]}")
            for n, e in errors.items()
        },
        **{n: named(GRID, values, OF_EACH[n]) for n, values in columns.items()},
        **{
            f"{n}_broken_at": named(
                ("step_size",), broken_at(n), f"time at which the {IN_WORDS[n]} breaks, or nan"
            )
            for n in NAMES
        },
        **_notes(descent.step_sizes, found),
    }


def _compared(setting: Setting, descent: DescentTrajectory) -> list[Comparison | None]:
    """Return the comparison at each step size; none from an interrupt on."""
    problem = setting.problem
    objective = Objective.of(problem.loss, problem.layers)
    start = np.asarray(weights(problem.layers))
    count, found = len(descent.step_sizes), list[Comparison | None]()

    for k, (eta, iteration) in enumerate(zip(descent.step_sizes, descent.iteration, strict=True)):
        monitor = setting.monitor.part(k / count, (k + 1) / count)
        found.append(compare(objective, start, float(eta), iteration, monitor))
    return found


def _of(comparison: Comparison, name: str) -> np.ndarray:
    """Return one of `OF_EACH`."""
    predicted, measured = comparison.variance_predicted, comparison.variance_measured
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(predicted > 0, predicted / measured, np.nan)
    values = {
        "sharpness_over_limit": comparison.sharpness,
        "central_sharpness_over_limit": comparison.central_sharpness,
        "variance_predicted": predicted,
        "variance_measured": measured,
        "variance_ratio": ratio,
    }
    return values[name]


def _notes(sizes: np.ndarray, found: Sequence[Comparison | None]) -> Group:
    """Return a sentence for each way in which a description breaks: at which η, when and why."""
    places: dict[tuple[str, str], list[str]] = {}
    for eta, comparison in zip(sizes, found, strict=True):
        for name, at in comparison.broken.items() if comparison else ():
            where = f"at η = {eta:g} from t = {at.time:.4g}"
            places.setdefault((name, at.reason), []).append(where)
    notes = [
        f"the {IN_WORDS[name]} breaks {', '.join(where)}: {reason}."
        for (name, reason), where in places.items()
    ]
    return {"note": named(("note",), np.array(notes, dtype=object), "notes")} if notes else {}
