"""From trajectories to named variables: the groups of a run, as they are stored and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from flowsim.experiment import loss_plane
from flowsim.experiment.step_sizes import Critical
from flowsim.problem import spectra
from flowsim.problem.losses import CrossEntropy, Logistic, Loss, of_each
from flowsim.problem.problem import Problem
from flowsim.results.run import TIME, Group, Variable, named
from flowsim.scenario.spec.forms import UNITS
from flowsim.solvers.descend import DescentTrajectory
from flowsim.solvers.storage import Series, Store, by_pieces, rows_at_once
from flowsim.solvers.trajectory import Trajectory, reference
from flowsim.theory.exact.solution import ExactSolution

if TYPE_CHECKING:
    from flowsim.scenario import Scenario

END_TO_END = "end-to-end matrix W"
SIGMA = "singular values of W"
DET_SIGN = "sign of det W"
IMBALANCE = "imbalance ‖W_{j+1}ᵀW_{j+1} − W_jW_jᵀ‖_F of neighbouring layers"
SQUARED_NORM = "squared norm Σ_j ‖W_j‖²_F of the layers"


def _optional(
    dims: Sequence[str], name: str, values: np.ndarray | None, long_name: str
) -> dict[str, Variable]:
    return {} if values is None else {name: named(dims, values, long_name)}


def flow(
    trajectory: Trajectory,
    problem: Problem,
    held_out: Loss | None,
    keep: np.ndarray,
    *,
    layers: bool = False,
) -> Group:
    """Return the group of a space: times, loss, W and its measures, with the layers if wanted."""
    at = ("time",)
    group = {
        "time": named(at, trajectory.times, TIME),
        "loss": named(at, trajectory.loss, "loss ℓ(W)"),
        "error_estimate": named(
            at, trajectory.error_estimate, "estimated Frobenius error of the end-to-end matrix"
        ),
        **_of_singular_values(at, trajectory.singular_values),
        **_optional(at, "det_sign", trajectory.det_sign, DET_SIGN),
        **_to_target(at, trajectory.distance_to_target, problem),
    }
    log_sigma = trajectory.log_singular_values
    group |= _optional((*at, "mode"), "log_singular_values", log_sigma, "log σ of W")
    if trajectory.imbalance is not None:
        group["imbalance"] = named((*at, "pair"), trajectory.imbalance, IMBALANCE)
        group |= _optional(at, "squared_norm", trajectory.squared_norm, SQUARED_NORM)
    if held_out is not None:
        group |= _held_out(at, held_out, trajectory.end_to_end_series)
    for j, history in enumerate((trajectory.layer_series or ()) if layers else (), start=1):
        group[f"layer_{j}"] = named((*at, f"unit_{j}", f"unit_{j - 1}"), history, f"layer W_{j}")
    return group | _matrices(trajectory, keep)


def _matrices(trajectory: Trajectory, keep: np.ndarray) -> dict[str, Variable]:
    """Return W at the times asked for, on the time axis itself where that is all of them."""
    last = trajectory.times.size - 1
    wanted = np.array([keep[i] or i == last for i in trajectory.kept], dtype=bool)
    W = trajectory.end_to_end_series.take(wanted)
    if keep.all():
        return {"end_to_end": named(("time", "output", "input"), W, END_TO_END)}
    times = trajectory.times[trajectory.kept[wanted]]
    return {
        "saved_time": named(("saved_time",), times, "times at which W is saved"),
        "end_to_end": named(("saved_time", "output", "input"), W, END_TO_END),
    }


def descent(
    trajectory: DescentTrajectory, problem: Problem, held_out: Loss | None, keep: np.ndarray
) -> Group:
    """Return the group of gradient descent, over step sizes and samples."""
    at, W = ("step_size", "sample"), trajectory.end_to_end_series
    group = {
        "step_size": named(("step_size",), trajectory.step_sizes, "step size η"),
        "iteration": named(at, trajectory.iteration, "iteration k = round(t/η)"),
        **({"time": named(at, trajectory.times, "time t = kη")} if trajectory.follows_flow else {}),
        "loss": named(at, trajectory.loss, "loss ℓ(W)"),
        **_of_singular_values(at, trajectory.singular_values),
        **_to_target(at, trajectory.distance_to_target, problem),
        **_optional(at, "det_sign", trajectory.det_sign, DET_SIGN),
        "imbalance": named((*at, "pair"), trajectory.imbalance, IMBALANCE),
        "squared_norm": named(at, trajectory.squared_norm, SQUARED_NORM),
        "outcome": named(
            ("step_size",), np.array(trajectory.outcome, dtype=object), "how descent ended"
        ),
    }
    if held_out is not None:
        group |= _held_out(at, held_out, W)
    if keep.all():
        return group | {"end_to_end": named((*at, "output", "input"), W, END_TO_END)}
    kept = keep[trajectory.kept]
    return group | {
        "saved_sample": named(
            ("saved_sample",), trajectory.kept[kept], "samples at which W is saved"
        ),
        "end_to_end": named(
            ("step_size", "saved_sample", "output", "input"),
            W.take((slice(None), kept)),
            END_TO_END,
        ),
    }


def relative(unit: Critical, scenario: Scenario) -> Group:
    """Return step sizes as a scenario writes them, and the 2/sharpness that is their unit."""
    assert scenario.descent is not None
    multiples = np.array(scenario.descent.written)
    place = UNITS[scenario.descent.relative_to or "start"]
    return {
        "relative_step_size": named(("step_size",), multiples, f"η in units of {place}"),
        "critical_step_size": named((), np.array(unit.step_size), place),
        "critical_step_size_error": named((), np.array(unit.error), f"error of {place}"),
    }


def comparison(
    flows: Mapping[str, Trajectory],
    descent: DescentTrajectory | None,
    exact: ExactSolution | None,
) -> Group:
    """Return the Frobenius distances between what was run, and to the closed form."""
    group: dict[str, Variable] = {}
    if {"layers", "end_to_end"} <= flows.keys():
        layers, reduced = flows["layers"], flows["end_to_end"]
        times, i, k = np.intersect1d(
            layers.times[layers.kept], reduced.times[reduced.kept], return_indices=True
        )
        gap = by_pieces(
            spectra.distance, layers.end_to_end_series.take(i), reduced.end_to_end_series.take(k)
        )
        group["time"] = named(("time",), times, TIME)
        group["end_to_end_vs_layers"] = named(
            ("time",), gap, "‖W_end-to-end − W_layers‖_F between the two flows"
        )
    if descent is not None and descent.follows_flow:
        group["step_size"] = named(("step_size",), descent.step_sizes, "step size η")
        group["descent_vs_flow"] = named(
            ("step_size", "sample"), descent.vs_flow, "‖W_descent − W_flow‖_F at t = kη"
        )
    if exact is not None:
        for space, trajectory in flows.items():
            group |= _against_exact(space, trajectory, exact)
    return group


def _against_exact(space: str, trajectory: Trajectory, exact: ExactSolution) -> dict[str, Variable]:
    axis, times = f"{space}_time", trajectory.times[trajectory.kept]
    gap = np.concatenate(
        [spectra.distance(trajectory.end_to_end_series[at], W) for at, W in _pieces(exact, times)]
    )
    return {
        axis: named((axis,), times, TIME),
        f"{space}_vs_exact": named((axis,), gap, "‖W − W_exact‖_F, distance to the closed form"),
    }


def exact(solution: ExactSolution, problem: Problem, times: np.ndarray, keep: np.ndarray) -> Group:
    """Return the closed form at the saved times, and W at those where it is kept."""
    kept = np.append(keep[: times.size - 1], True)
    loss, sigma, W = [], [], Store(int(kept.sum()), problem.start.shape)
    for at, matrices in _pieces(solution, times):
        sigma.append(solution.singular_values(times[at]))
        loss.append(_values(problem.loss, matrices))
        W.append(matrices[kept[at]])
    told = {"long_name": SIGMA, "source": solution.source}
    axis = "time" if keep.all() else "saved_time"
    saved = {} if keep.all() else {axis: named((axis,), times[kept], "times at which W is saved")}
    return {
        "time": named(("time",), times, TIME),
        "singular_values": Variable(("time", "mode"), np.concatenate(sigma), told),
        "loss": named(("time",), np.concatenate(loss), "loss ℓ(W)"),
        **saved,
        "end_to_end": named((axis, "output", "input"), Series(W, np.arange(W.count)), END_TO_END),
    }


def _pieces(solution: ExactSolution, times: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the closed form at the times, piece by piece of bounded memory."""
    size = rows_at_once(solution.end_to_end(times[:1]).nbytes)
    for first in range(0, times.size, size):
        at = slice(first, first + size)
        yield at, solution.end_to_end(times[at])


def plane(
    entries: Sequence[tuple[int, int]] | None,
    problem: Problem,
    flows: Mapping[str, Trajectory],
    descent: DescentTrajectory | None,
) -> Group:
    """Return the paths in a plane and the loss over it; empty where W is a single number."""
    path = reference(flows).end_to_end_series
    chosen = (
        loss_plane.entries_plane(path, entries) if entries else loss_plane.principal_plane(path)
    )
    if chosen is None:
        return {}
    paths = {
        space: by_pieces(chosen.coordinates, trajectory.end_to_end_series)
        for space, trajectory in flows.items()
    }
    steps = {} if descent is None else _descending(chosen, descent)
    fan = [] if descent is None else _completed(steps["descent"].values, descent)
    least = loss_plane.LEAST_OF_ENTRIES if entries else loss_plane.LEAST
    u, v = loss_plane.grid(list(paths.values()), problem.loss, path.shape[1], fan=fan, least=least)
    values = chosen.loss(problem.loss, u, v)
    bottom = loss_plane.lowest(chosen, problem.loss, u, v, values)
    group = {
        "u": named(("u",), u, chosen.labels[0]),
        "v": named(("v",), v, chosen.labels[1]),
        "loss": named(("v", "u"), values, "loss ℓ over the plane"),
        "lowest_loss": named((), np.array(bottom.loss), "the lowest loss within the frame"),
        "minimum": named(("end", "axis"), bottom.ends, "the ends of where the loss is lowest"),
    }
    for space, coordinates in paths.items():
        axis, trajectory = f"{space}_time", flows[space]
        group[axis] = named((axis,), trajectory.times[trajectory.kept], TIME)
        group[space] = named((axis, "axis"), coordinates, f"path of the {space} flow")
    return {**group, **steps}


def _descending(plane: loss_plane.Plane, descent: DescentTrajectory) -> Group:
    iterates = by_pieces(plane.coordinates, descent.end_to_end_series)
    dims = ("step_size", "sample", "axis")
    return {
        "step_size": named(("step_size",), descent.step_sizes, "step size η"),
        "descent": named(dims, iterates, "path of descent"),
    }


def _completed(paths: np.ndarray, descent: DescentTrajectory) -> list[np.ndarray]:
    """Return the paths of the descents that did not diverge."""
    return [
        path for path, outcome in zip(paths, descent.outcome, strict=True) if outcome == "completed"
    ]


def _of_singular_values(at: tuple[str, ...], sigma: np.ndarray) -> dict[str, Variable]:
    return {
        "singular_values": named((*at, "mode"), sigma, SIGMA),
        "effective_rank": named(at, spectra.effective_rank(sigma), "effective rank of W"),
        "nuclear_norm": named(at, spectra.nuclear_norm(sigma), "nuclear norm ‖W‖_*"),
    }


def _to_target(at: tuple[str, ...], distance: np.ndarray, problem: Problem) -> dict[str, Variable]:
    if problem.loss.target is None:
        return {}
    return {"distance_to_target": named(at, distance, "distance to the target ‖W − Φ‖_F")}


def _held_out(at: tuple[str, ...], loss: Loss, W: Series) -> dict[str, Variable]:
    values = by_pieces(partial(_values, loss), W)
    group = {"held_out_loss": named(at, values, "loss on held-out samples")}
    if isinstance(loss, CrossEntropy | Logistic):
        accuracy = by_pieces(partial(_accuracy, loss), W)
        group["held_out_accuracy"] = named(at, accuracy, "accuracy on held-out samples")
    return group


def _accuracy(loss: CrossEntropy | Logistic, W: np.ndarray) -> np.ndarray:
    """Return the share of samples put in their class, nan where W is not finite."""
    scores = np.asarray(W) @ np.asarray(loss.X)
    if isinstance(loss, Logistic):
        right = np.sign(scores[..., 0, :]) == np.asarray(loss.y)[0]
    else:
        right = scores.argmax(axis=-2) == np.asarray(loss.classes)
    return np.where(np.isfinite(W).all(axis=(-2, -1)), right.mean(axis=-1), np.nan)


def _values(loss: Loss, W: np.ndarray) -> np.ndarray:
    """Return ℓ of each matrix along the leading axis."""
    return np.asarray(of_each(loss, W))
