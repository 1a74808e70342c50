"""How far flows that describe descent with momentum are from its iterates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Layers
from flowsim.results.run import Group, named
from flowsim.solvers.descend import DescentTrajectory
from flowsim.theory.iterates import revisit
from flowsim.theory.modified_flows.described import Described
from flowsim.theory.modified_flows.descriptions import Objective, weights
from flowsim.theory.momentum_flow.formulas import Description, descriptions
from flowsim.theory.registry import MEASURES
from flowsim.theory.setting import Setting

IN_WORDS = {
    "flow": "gradient flow at time kη/(1 − μ)",
    "inertia": "flow with inertia",
    "high_resolution": "high-resolution flow",
}
TOLD = {
    "time": "time of the iterates: kη, or k√η where momentum increases",
    "strength": "largest singular value of W at the iterates",
    **{name: f"‖θ_k − θ(t_k)‖ to the {says}" for name, says in IN_WORDS.items()},
    **{f"{name}_error": f"estimated error of the {says}" for name, says in IN_WORDS.items()},
    **{f"{name}_strength": f"largest σ along the {says}" for name, says in IN_WORDS.items()},
}


def measure(setting: Setting) -> Group:
    """Return the distances of the iterates to each description, and the largest σ along all.

    Nan where descent has diverged, where a description has ended or does not exist, and at the
    step sizes from an interrupt on.
    """
    descent = setting.descent
    if descent is None:
        return {}
    problem, sizes, count = setting.problem, descent.step_sizes, descent.iteration
    objective = Objective.of(problem.loss, problem.layers, problem.weight_decay)
    iterates = _iterates(setting, descent)
    columns = {name: np.full(count.shape, np.nan) for name in TOLD}
    columns["strength"] = _strengths(objective, iterates)
    notes: list[str] = []
    for k, eta in enumerate(sizes.tolist()):
        if setting.monitor.stop_requested():
            break
        given = _descriptions(setting, objective, eta)
        columns["time"][k] = count[k] * given["inertia"].unit
        found = {name: description.at(count[k]) for name, description in given.items()}
        for name, there in found.items():
            columns[name][k] = np.linalg.norm(iterates[k] - there.theta, axis=1)
            columns[f"{name}_error"][k] = there.error
            columns[f"{name}_strength"][k] = _strengths(objective, there.theta)
        notes += _ends(eta, found)
        setting.monitor.report((k + 1) / len(sizes))
    dims = MEASURES["momentum_flow"].variables
    notes += _diverging(descent)
    return {
        "step_size": named(dims["step_size"], sizes, "step size η"),
        **{name: named(dims[name], columns[name], says) for name, says in TOLD.items()},
        **({"note": named(("note",), np.array(notes, dtype=object), "notes")} if notes else {}),
    }


def _iterates(setting: Setting, descent: DescentTrajectory) -> np.ndarray:
    """Return θ_k of every recorded iterate, shape (step_size, sample, weight); nan where diverged.

    They are computed again, since no layers of a run's descent are kept.
    """
    problem, spec = setting.problem, setting.scenario.descent
    assert spec is not None
    size = sum(W.size for W in problem.layers)
    found = np.full((*descent.iteration.shape, size), np.nan)

    def visit(k: int, sample: int, layers: Layers, sums: object) -> None:  # noqa: ARG001
        found[k, sample] = np.concatenate([np.ravel(W) for W in layers])

    revisit(
        problem,
        descent.step_sizes.tolist(),
        descent.iteration,
        visit,
        algorithm=spec.algorithm,
        momentum=spec.momentum,
        monitor=setting.monitor.silent(),
    )
    return found


def _descriptions(setting: Setting, objective: Objective, eta: float) -> dict[str, Description]:
    spec = setting.scenario.descent
    assert spec is not None
    start = weights(setting.problem.layers)
    return dict(descriptions(objective, start, eta, spec.algorithm, spec.momentum))


def _strengths(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Return the largest singular value of W at each of many θ, along leading axes; nan at nan."""
    rows = theta.reshape(-1, theta.shape[-1])
    found = np.full(len(rows), np.nan)
    for i in np.flatnonzero(np.isfinite(rows).all(axis=1)):
        W = network.end_to_end(objective.layers(rows[i]))
        found[i] = np.linalg.norm(W, 2)
    return found.reshape(theta.shape[:-1])


def _ends(eta: float, found: dict[str, Described]) -> Iterator[str]:
    """Say which descriptions do not last, from when and why."""
    for name, there in found.items():
        if there.reason:
            when = f"at η = {eta:g} from t = {there.ended:.4g}"
            yield f"the {IN_WORDS[name]} ends {when}: {there.reason}."


def _diverging(descent: DescentTrajectory) -> Sequence[str]:
    """Say at which step sizes the iterates diverge, as no description does near a minimum."""
    pairs = zip(descent.step_sizes, descent.outcome, strict=True)
    lost = ", ".join(f"{eta:g}" for eta, outcome in pairs if outcome == "diverged")
    sentence = f"the iterates diverge at η = {lost}; the flows are stable at a minimum for every η."
    return [sentence] if lost else []
