"""From trajectories to named variables: the groups of a run, as they are stored and drawn.

Names, dimensions and meanings are declared in `flowsim.experiment.plan.variables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from flowsim.experiment.plan.variables import VARIABLES
from flowsim.experiment.step_sizes import CriticalStepSize
from flowsim.problem import spectra
from flowsim.problem.losses import Classifier, Completion, Loss, Measurements, values
from flowsim.problem.problem import Problem
from flowsim.results.run import Group, group, with_attribute
from flowsim.scenario.spec.forms import UNITS
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.storage import Series, Store, in_batches, rows_at_once
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.variables import GRID, VariableSpec, layer_spec, stored_dims
from flowsim.theory.exact.solution import ExactSolution

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

Arrays = dict[str, np.ndarray | Series | None]


def flow_group(
    trajectory: Trajectory,
    held_out: Loss | None,
    keep: np.ndarray,
    *,
    layers: bool = False,
) -> Group:
    """Return the group of a flow: times, loss, W and what is computed of it, `layers` on request.

    `keep` is whether W is stored, for each saved time; the last time reached is always stored.
    """
    arrays: Arrays = {
        **trajectory.arrays(),
        **_scores(held_out, trajectory.end_to_end_series),
    }
    # a flow that ended early keeps its last W, which claims and figures call its final one
    last = trajectory.times.size - 1
    stored = np.array([keep[i] or i == last for i in trajectory.kept], dtype=bool)
    arrays["end_to_end"] = trajectory.end_to_end_series.take(stored)
    arrays["saved_time"] = None if keep.all() else trajectory.times[trajectory.kept[stored]]
    of_layers = [layer_spec(j) for j in range(1, len(trajectory.layer_series or ()) + 1)]
    if not layers:
        arrays |= dict.fromkeys(spec.name for spec in of_layers)
    return group([*_declared(trajectory.space, keep), *of_layers], arrays)


def descent_group(trajectory: DescentTrajectory, held_out: Loss | None, keep: np.ndarray) -> Group:
    """Return the group of gradient descent, over step sizes and recorded iterates."""
    W = trajectory.end_to_end_series
    arrays: Arrays = {
        **trajectory.arrays(),
        **_scores(held_out, W),
        "saved_sample": None,
    }
    if not keep.all():
        stored = keep[trajectory.kept]
        arrays["saved_sample"] = trajectory.kept[stored]
        arrays["end_to_end"] = W.take((slice(None), stored))
    layers = (layer_spec(j, *GRID) for j in range(1, len(trajectory.layers or ()) + 1))
    return group([*_declared("descent", keep), *layers], arrays)


def step_size_units(unit: CriticalStepSize, scenario: Scenario) -> Group:
    """Return step sizes as a scenario writes them, and the 2/λ_max that is their unit."""
    assert scenario.descent is not None
    place = UNITS[scenario.descent.relative_to or "start"]
    arrays: Arrays = {
        "relative_step_size": np.array(scenario.descent.written),
        "critical_step_size": np.array(unit.step_size),
        "critical_step_size_error": np.array(unit.error),
    }
    long_names = {
        "relative_step_size": f"η in units of {place}",
        "critical_step_size": place,
        "critical_step_size_error": f"error of {place}",
    }
    return with_attribute("long_name", long_names, group(VARIABLES["descent"], arrays))


def comparison_group(
    flows: Mapping[str, Trajectory],
    descent: DescentTrajectory | None,
    exact: ExactSolution | None,
) -> Group:
    """Return the Frobenius distances between flows and descent, and to the closed form."""
    arrays: Arrays = {}
    if {"layers", "end_to_end"} <= flows.keys():
        layers, reduced = flows["layers"], flows["end_to_end"]
        # one of the flows may have ended early: only times that both have are compared
        times, i, k = np.intersect1d(
            layers.times[layers.kept], reduced.times[reduced.kept], return_indices=True
        )
        arrays["time"] = times
        arrays["end_to_end_vs_layers"] = in_batches(
            spectra.distance, layers.end_to_end_series.take(i), reduced.end_to_end_series.take(k)
        )
    if descent is not None and descent.follows_flow:
        arrays |= {"step_size": descent.step_sizes, "descent_vs_flow": descent.vs_flow}
    if exact is not None:
        for space, trajectory in flows.items():
            W, times = trajectory.end_to_end_series, trajectory.times[trajectory.kept]
            arrays[f"{space}_time"] = times
            distances = [spectra.distance(W[at], other) for at, other in _pieces(exact, times)]
            arrays[f"{space}_vs_exact"] = np.concatenate(distances)
    return group(VARIABLES["comparison"], arrays)


def target_group(loss: Loss) -> Group:
    """Return the target of completion and sensing and the observed entries; empty of others."""
    if not isinstance(loss, Measurements):
        return {}
    arrays: Arrays = {"matrix": np.asarray(loss.Phi)}
    if isinstance(loss, Completion):
        arrays["observed"] = np.asarray(loss.observed, dtype=float)
    return group(VARIABLES["target"], arrays)


def exact_group(
    solution: ExactSolution, problem: Problem, times: np.ndarray, keep: np.ndarray
) -> Group:
    """Return the closed form at the saved times, and W at those where it is kept."""
    # the last time reached is always kept
    kept = np.append(keep[: times.size - 1], True)
    loss, sigma, W = [], [], Store(int(kept.sum()), problem.initial.shape)
    for at, matrices in _pieces(solution, times):
        sigma.append(solution.singular_values(times[at]))
        loss.append(values(problem.loss, matrices))
        W.append(matrices[kept[at]])
    arrays: Arrays = {
        "time": times,
        "singular_values": np.concatenate(sigma),
        "loss": np.concatenate(loss),
        "saved_time": None if keep.all() else times[kept],
        "end_to_end": Series(W, np.arange(W.count)),
    }
    source = {"singular_values": solution.source}
    return with_attribute("source", source, group(_declared("exact", keep), arrays))


def _declared(name: str, keep: np.ndarray) -> Iterator[VariableSpec]:
    """Yield the declarations of a group whose W is stored at all times, or at its own times."""
    for spec in VARIABLES[name]:
        stored = stored_dims(spec.dims, all_saved=bool(keep.all()))
        yield replace(spec, dims=stored) if spec.name == "end_to_end" else spec


def _scores(loss: Loss | None, W: Series) -> Arrays:
    """Return the loss and, for classification, the accuracy on held-out samples, if any."""
    if loss is None:
        return {}
    scores: Arrays = {"held_out_loss": in_batches(partial(values, loss), W)}
    if isinstance(loss, Classifier):
        scores["held_out_accuracy"] = in_batches(loss.accuracy, W)
    return scores


def _pieces(solution: ExactSolution, times: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the closed form at the times, in pieces of bounded memory."""
    # one matrix of the closed form shows how many fit into a piece
    size = rows_at_once(solution.end_to_end(times[:1]).nbytes)
    for first in range(0, times.size, size):
        at = slice(first, first + size)
        yield at, solution.end_to_end(times[at])
