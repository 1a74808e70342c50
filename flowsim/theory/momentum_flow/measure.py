"""Distance of approximating flows from the iterates of gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Layers
from flowsim.scenario.build.problem import update_rule
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.iterate import DescentOptions
from flowsim.theory.modified_flows.objective import Objective, flatten
from flowsim.theory.modified_flows.solution import FlowSolution
from flowsim.theory.momentum_flow.formulas import descriptions
from flowsim.theory.momentum_flow.spec import MOMENTUM_FLOW, WITH_MOMENTUM
from flowsim.theory.setting import Arrays, Setting, replay


def measure(setting: Setting) -> Arrays:
    """Return the distances of the iterates to each flow, and σ₁(W) of the iterates and flows.

    Values are nan where descent has diverged, where a flow has ended or does not exist, and at step
    sizes after an interrupt.
    """
    descent, spec = setting.descent, setting.scenario.descent
    if descent is None or spec is None:
        return {}
    problem, sizes, count = setting.problem, descent.step_sizes, descent.iteration
    objective = Objective.of(problem.loss, problem.layers, problem.weight_decay)
    start, iterates = flatten(problem.layers), _iterates(setting, descent)
    names = [spec.name for spec in MOMENTUM_FLOW.variables if "sample" in spec.dims]
    columns = {name: np.full(count.shape, np.nan) for name in names}
    columns["strength"] = _strengths(objective, iterates)
    notes: list[str] = []
    for k, eta in enumerate(sizes.tolist()):
        if setting.monitor.stop_requested():
            break
        given = descriptions(objective, start, eta, spec.rule, spec.momentum)
        columns["time"][k] = count[k] * given["inertia"].unit
        found = {
            name: description.at(count[k], setting.monitor.silent())
            for name, description in given.items()
        }
        for name, there in found.items():
            columns[name][k] = np.linalg.norm(iterates[k] - there.theta, axis=1)
            columns[f"{name}_error"][k] = there.error
            columns[f"{name}_strength"][k] = _strengths(objective, there.theta)
        notes += _ends(eta, found)
        setting.monitor.report((k + 1) / len(sizes))
    return {"step_size": sizes, **columns, "note": [*notes, *_diverging(descent)]}


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

    replay(
        problem,
        descent.step_sizes.tolist(),
        descent.iteration,
        visit,
        options=DescentOptions(update_rule(setting.scenario)),
        monitor=setting.monitor.silent(),
    )
    return found


def _strengths(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Return the largest singular value of W at each of many θ, along leading axes; nan at nan."""
    rows = theta.reshape(-1, theta.shape[-1])
    found = np.full(len(rows), np.nan)
    for i in np.flatnonzero(np.isfinite(rows).all(axis=1)):
        W = network.end_to_end(objective.layers(rows[i]))
        found[i] = np.linalg.norm(W, 2)
    return found.reshape(theta.shape[:-1])


def _ends(eta: float, found: dict[str, FlowSolution]) -> Iterator[str]:
    """Yield which flows end early, when and why."""
    for name, there in found.items():
        if there.reason:
            when = f"at η = {eta:g} from t = {there.valid_until:.4g}"
            yield f"the {WITH_MOMENTUM[name]} ends {when}: {there.reason}."


def _diverging(descent: DescentTrajectory) -> Sequence[str]:
    """Return at which step sizes the iterates diverge, as no flow does near a minimum."""
    pairs = zip(descent.step_sizes, descent.outcome, strict=True)
    lost = ", ".join(f"{eta:g}" for eta, outcome in pairs if outcome == "diverged")
    sentence = f"the iterates diverge at η = {lost}; the flows are stable at a minimum for every η."
    return [sentence] if lost else []
