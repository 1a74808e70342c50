"""From a problem made in Python to the scenario that poses it, so that both run alike.

What a scenario file can hold is written out. Another loss is described in words and hashed; the
scenario of such a problem can be simulated only where the problem is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flowsim.dynamics.rules import GivenRule, as_rule, written
from flowsim.dynamics.update_rules import Memory, Rule
from flowsim.experiment.plan.reading import ALL_RULES
from flowsim.problem import losses, network
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.tracing import fingerprint
from flowsim.problem.types import Array, Layers
from flowsim.process.environment import isolated
from flowsim.scenario import reading
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.scenario.spec.loss import Trait
from flowsim.scenario.spec.python import PythonLoss
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.spec.table import FROM_PYTHON

LARGEST = 100_000
"""Numbers that a scenario file holds at most; a problem with more is described."""

OF_PROBLEM = ("network", "loss", "data", "init", "flow.horizon", "flow.weight_decay")
"""Keys whose values are those of the problem."""


@isolated()
def pose(
    problem: Problem, overrides: Mapping[str, Any] | None = None, rule: GivenRule | None = None
) -> Scenario:
    """Return the scenario of a problem, with values of other keys by their dotted names.

    `rule` is the update rule of descent; one that no file can hold is described and hashed too.

    Raises
    ------
    ScenarioError
        If an override replaces what the problem determines, or has mistakes, with all of them.

    """
    overrides = {} if overrides is None else overrides
    wrong = [key for key in overrides if any(f"{key}.".startswith(f"{of}.") for of in OF_PROBLEM)]
    if wrong:
        raise ScenarioError(
            *(
                f"override {key}: is a property of the problem; make another Problem"
                for key in wrong
            )
        )
    own = None if rule is None or isinstance(rule, str) else as_rule(rule)
    if own is not None:
        overrides = {**overrides, **_rule_keys(problem, own)}
    elif rule is not None:
        overrides = {**overrides, "descent.rule": rule}
    loss, described = _written(problem)
    spaces = {"spaces": ["layers"]} if problem.loss.on_layers else {}
    data = {
        "title": f"{_capitalized(problem.loss.label)}, {problem.depth} layers",
        "network": {"widths": list(problem.widths)},
        "init": _initial(problem, written=described is None),
        "flow": {"horizon": problem.horizon, "weight_decay": problem.weight_decay, **spaces},
        **loss,
    }
    scenario = reading.from_data(data, None, overrides, ALL_RULES)
    if described is not None:
        scenario = scenario.model_copy(update={"loss": described.of(problem)})
    descent = scenario.descent
    if descent is not None and descent.python is not None and own is not None:
        described_rule = descent.model_copy(update={"python": descent.python.of(own)})
        scenario = scenario.model_copy(update={"descent": described_rule})
    return scenario


def _rule_keys(problem: Problem, rule: Rule) -> dict[str, Any]:
    """Return the keys that give an update rule, or a description of it."""
    keys = written(rule)
    if keys is None:
        described = {"description": rule.label, "follows_flow": rule.follows_flow}
        described["sha256"] = _hash_of_step(rule.prepared(problem.layers), problem)
        keys = {"rule": FROM_PYTHON, "python": described}
    return {f"descent.{key}": value for key, value in keys.items()}


def _hash_of_step(rule: Rule, problem: Problem) -> str:
    """Return a hash of the program and the arrays of a step on a problem."""

    def step(layers: Layers, memory: Memory, eta: Array) -> tuple[Layers, Memory]:
        return rule.step(layers, problem.loss.layer_gradients, memory, eta)

    return fingerprint(step, problem.layers, rule.initial_memory(problem.layers), np.asarray(1.0))


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _initial(problem: Problem, *, written: bool) -> dict[str, Any]:
    """Return the layers, or a hash of layers that are too many for a file."""
    arrays = [np.asarray(W) for W in problem.layers]
    if written or sum(W.size for W in arrays) <= LARGEST:
        return {"kind": "explicit", "layers": [W.tolist() for W in arrays]}
    total = hashlib.sha256()
    for W in arrays:
        total.update(W.tobytes())
    return {"kind": "python", "sha256": total.hexdigest()}


def _written(problem: Problem) -> tuple[dict[str, Any], PythonLoss | None]:
    """Return the tables of the loss, and its description where it cannot be written out."""
    loss = problem.loss
    sizes = (W.size for W in (*problem.layers, *_arrays(loss)))
    if type(loss) in WRITTEN and sum(map(int, sizes)) <= LARGEST:
        tables = WRITTEN[type(loss)](loss)
        if tables is not None:
            return tables, None
    described = PythonLoss(
        kind="python",
        description=loss.label,
        sha256=_fingerprint(problem),
        properties=tuple(_properties(loss)),
        samples=loss.of_matrix.sample_count if loss.of_matrix.sample_axes else 0,
    )
    return {"loss": described}, described


def _fingerprint(problem: Problem) -> str:
    """Return a hash of what the loss of a problem computes, of W or of the layers."""
    loss = problem.loss
    if not loss.on_layers:
        return fingerprint(loss.value, problem.initial)
    return fingerprint(lambda W: loss.at(W, network.end_to_end(W)), problem.layers)


def _arrays(loss: Loss) -> list[np.ndarray]:
    return [value for value in vars(loss).values() if hasattr(value, "size")]


def _properties(loss: Loss) -> list[Trait]:
    """Return the properties of a loss, as a scenario names them."""
    has: dict[Trait, bool] = {
        "classifies": isinstance(loss, losses.Classifier),
        "sampled": bool(loss.of_matrix.sample_axes),
        "partial_target": isinstance(loss, losses.Measurements),
        "minimized_by_target": loss.target is not None and not loss.on_layers,
        "unbounded": isinstance(loss, losses.Linear),
        "quadratic": loss.quadratic,
        "on_layers": loss.on_layers,
    }
    return [name for name, true in has.items() if true]


def _target(kind: str) -> Callable[[Any], dict[str, Any]]:
    return lambda loss: {"loss": {"kind": kind, "target": np.asarray(loss.Phi).tolist()}}


def _completion(loss: losses.Completion) -> dict[str, Any] | None:
    observed = np.asarray(loss.observed)
    if not np.isin(observed, (0.0, 1.0)).all():  # weights of entries
        return None
    table = {"target": np.asarray(loss.Phi).tolist(), "observed": observed.astype(int).tolist()}
    return {"loss": {"kind": "completion", **table}}


def _samples(kind: str, X: Any, Y: Any, **options: float) -> dict[str, Any]:
    inputs, targets = np.asarray(X).tolist(), np.atleast_2d(np.asarray(Y, float)).tolist()
    return {"loss": {"kind": kind, **options}, "data": {"inputs": inputs, "targets": targets}}


WRITTEN: Mapping[type[Loss], Callable[[Any], dict[str, Any] | None]] = {
    losses.Linear: _target("linear"),
    losses.Squared: _target("squared"),
    losses.Completion: _completion,
    losses.PowerRegression: lambda loss: _samples("regression", loss.X, loss.Y, p=loss.p),
    losses.Logistic: lambda loss: _samples("logistic", loss.X, loss.y),
    losses.CrossEntropy: lambda loss: _samples("cross_entropy", loss.X, loss.classes),
}
"""The tables `[loss]` and `[data]` of the losses that a file can hold."""
