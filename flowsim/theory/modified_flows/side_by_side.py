"""Every description of gradient descent beside its iterates, at one step size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.modified_flows.central_flow import NEAR, REASONS
from flowsim.theory.modified_flows.central_path import Walk, descend, walk
from flowsim.theory.modified_flows.described import Described, described, settled, sharpness
from flowsim.theory.modified_flows.descriptions import FIELDS, Objective

NAMES = (*FIELDS, "central")
"""The descriptions that are compared."""

COMPLEX = "ηλ passes 1 for an eigenvalue λ of the Hessian, and log(1 − ηλ) is complex from there on"
UNSTABLE = "the sharpness of the iterates passes 2/η, and it does not oscillate as they do"


@dataclass(frozen=True)
class Break:
    """Where a description breaks, and why: at the first saved time for which that is known."""

    time: float
    reason: str


@dataclass(frozen=True)
class Comparison:
    """What came out at one step size, over the saved times kη; nan where there is nothing.

    `distance` and `error` are ‖θ_k - θ(kη)‖ of each description and the estimated error of θ(kη),
    `broken` those that break. Sharpness is told in units of 2/η. The variances are averages since
    the central flow first had a Σ: its tr Σ, and the iterates' oscillation. `diverged` is the
    first time without a finite iterate.
    """

    times: np.ndarray
    distance: Mapping[str, np.ndarray]
    error: Mapping[str, np.ndarray]
    sharpness: np.ndarray
    central_sharpness: np.ndarray
    variance_predicted: np.ndarray
    variance_measured: np.ndarray
    diverged: float
    broken: Mapping[str, Break] = field(default_factory=dict)


def compare(
    objective: Objective,
    start: np.ndarray,
    eta: float,
    counts: np.ndarray,
    monitor: Monitor = SILENT,
) -> Comparison | None:
    """Compare at the iterations `counts`, 0 first and not decreasing.

    After a stop request None is returned.
    """
    times, paths, tasks = counts * eta, {}, len(FIELDS) + 1
    for k, name in enumerate(FIELDS):
        monitor.report(k / tasks)
        if monitor.stop_requested():
            return None
        paths[name] = described(name, objective, start, eta, times)
    with_iterates = _descended(
        objective, paths["flow"], eta, counts, monitor.part(len(FIELDS) / tasks, 1.0)
    )
    if with_iterates is None:
        return None
    iterates, central, (predicted, measured) = with_iterates
    paths["central"] = central
    limit = 2 / eta
    lambdas = {
        n: np.asarray(sharpness(objective, paths[n].theta)) for n in ("principal", "central")
    }
    own = np.asarray(sharpness(objective, iterates))
    lost = np.flatnonzero(~np.isfinite(iterates).all(axis=1))
    broken = {n: Break(p.ended, p.reason) for n, p in paths.items() if p.reason}
    for name, values, most, reason in (
        ("flow", own, limit, UNSTABLE),
        ("modified", own, limit, UNSTABLE),
        ("principal", lambdas["principal"], 1 / eta, COMPLEX),
    ):
        over = np.flatnonzero(values > most)
        if over.size and not (name in broken and broken[name].time <= times[over[0]]):
            broken[name] = Break(float(times[over[0]]), reason)
    return Comparison(
        times,
        {n: np.linalg.norm(iterates - path.theta, axis=1) for n, path in paths.items()},
        {n: path.error for n, path in paths.items()},
        own / limit,
        lambdas["central"] / limit,
        predicted,
        measured,
        float(times[lost[0]]) if lost.size else float("nan"),
        broken,
    )


def _descended(
    objective: Objective,
    flow: Described,
    eta: float,
    counts: np.ndarray,
    monitor: Monitor,
) -> tuple[np.ndarray, Described, tuple[np.ndarray, np.ndarray]] | None:
    """Return the iterates, the central flow, and its variances, predicted and measured.

    Up to the last saved time before the flow's sharpness comes near 2/η the central flow is the
    flow itself.
    """
    step, samples = jnp.asarray(eta), counts.size
    near = np.asarray(sharpness(objective, flow.theta)) > NEAR * 2 / eta
    first = max(int(np.argmax(near)) - 1, 0) if near.any() else samples
    iterates, theta, error = flow.theta.copy(), flow.theta.copy(), flow.error.copy()
    variances = np.zeros((2, samples))
    ended, reason = (flow.ended, flow.reason) if first == samples else (float("nan"), "")
    at = Walk.start(jnp.asarray(iterates[0]), jnp.asarray(theta[0]))
    for i in range(1, samples):
        monitor.report(i / samples)
        if monitor.stop_requested():
            return None
        count = jnp.asarray(counts[i] - counts[i - 1])
        if i <= first:
            at = at._replace(iterate=descend(objective, at.iterate, step, count))
            if i == first:
                at = Walk.start(at.iterate, jnp.asarray(theta[i]))
        else:
            at = walk(objective, at, step, count)
            theta[i], error[i] = at.fine, np.linalg.norm(at.fine - at.coarse) + error[first]
            variances[:, i] = np.array([at.variances, at.swings]) / max(int(at.counted), 1)
            if at.failure:
                theta[i], error[i], variances[:, i] = np.nan, np.nan, np.nan
                if not reason:
                    ended, reason = float(counts[i] * eta), REASONS[int(at.failure)]
        iterates[i] = at.iterate
    good = np.asarray(settled(objective, jnp.asarray(iterates[0]), jnp.asarray(iterates)))
    iterates[~np.logical_and.accumulate(good)] = np.nan
    return iterates, Described(theta, error, ended, reason), (variances[0], variances[1])
