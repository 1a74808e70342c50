"""Gradient descent and all its approximating flows at one step size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.modified_flows.central_flow import NEAR, REASONS
from flowsim.theory.modified_flows.joint_iteration import JointState, iterate_both, iterate_descent
from flowsim.theory.modified_flows.objective import Objective
from flowsim.theory.modified_flows.solution import (
    FlowSolution,
    below_ceiling,
    sharpness,
    solve_field,
)
from flowsim.theory.modified_flows.vector_fields import FIELDS

NAMES = (*FIELDS, "central")
"""The approximating flows by their names in the results."""

COMPLEX = "ηλ exceeds 1 for an eigenvalue λ of the Hessian, where log(1 − ηλ) is complex"
UNSTABLE = "the sharpness at the iterates exceeds 2/η, where they oscillate and the flow does not"


@dataclass(frozen=True)
class ValidUntil:
    """The first recorded time at which an approximating flow is not valid, and why."""

    time: float
    reason: str


@dataclass(frozen=True)
class Comparison:
    """The approximating flows of descent at one step size, over the recorded times t = kη.

    Attributes
    ----------
    times
        t = kη.
    distance
        ‖θ_k - θ(kη)‖ by flow; nan where descent has diverged or the flow has ended.
    error
        Estimated error of θ(kη) by flow.
    sharpness, central_sharpness
        λ_max of the Hessian at the iterates and along the central flow, in units of 2/η.
    variance_predicted, variance_measured
        Averages since Σ of the central flow first was not 0: of tr Σ, and of the squared
        oscillation of the iterates.
    diverged
        The first time without a finite iterate, else nan.
    valid_until
        The flows that cease to be valid.

    """

    times: np.ndarray
    distance: Mapping[str, np.ndarray]
    error: Mapping[str, np.ndarray]
    sharpness: np.ndarray
    central_sharpness: np.ndarray
    variance_predicted: np.ndarray
    variance_measured: np.ndarray
    diverged: float
    valid_until: Mapping[str, ValidUntil] = field(default_factory=dict)


@dataclass(frozen=True)
class _WithIterates:
    """The iterates `(sample, weight)`, the central flow, and its variances `(2, sample)`."""

    iterates: np.ndarray
    central: FlowSolution
    variances: np.ndarray


def compare(
    objective: Objective,
    start: np.ndarray,
    eta: float,
    counts: np.ndarray,
    monitor: Monitor = SILENT,
) -> Comparison | None:
    """Return the comparison at the iterations `counts`, which start at 0 and do not decrease.

    It is None after a stop request.
    """
    times, paths, tasks = counts * eta, {}, len(FIELDS) + 1
    for k, name in enumerate(FIELDS):
        monitor.report(k / tasks)
        if monitor.stop_requested():
            return None
        paths[name] = solve_field(name, objective, start, eta, times)
    found = _iterate(objective, paths["flow"], eta, counts, monitor.part(len(FIELDS) / tasks, 1.0))
    if found is None:
        return None
    paths["central"] = found.central
    limit, iterates, (predicted, measured) = 2 / eta, found.iterates, found.variances
    lambdas = {
        name: np.asarray(sharpness(objective, theta))
        for name, theta in (
            ("principal", paths["principal"].theta),
            ("central", paths["central"].theta),
            ("iterates", iterates),
        )
    }
    lost = np.flatnonzero(~np.isfinite(iterates).all(axis=1))
    return Comparison(
        times,
        {n: np.linalg.norm(iterates - path.theta, axis=1) for n, path in paths.items()},
        {n: path.error for n, path in paths.items()},
        lambdas["iterates"] / limit,
        lambdas["central"] / limit,
        predicted,
        measured,
        float(times[lost[0]]) if lost.size else float("nan"),
        _validity(paths, lambdas, times, eta),
    )


def _validity(
    paths: Mapping[str, FlowSolution],
    lambdas: Mapping[str, np.ndarray],
    times: np.ndarray,
    eta: float,
) -> dict[str, ValidUntil]:
    """Return until when flows are valid: to the end of the solution, or of the theory before it."""
    found = {n: ValidUntil(p.valid_until, p.reason) for n, p in paths.items() if p.reason}
    for name, values, most, reason in (
        ("flow", lambdas["iterates"], 2 / eta, UNSTABLE),
        ("modified", lambdas["iterates"], 2 / eta, UNSTABLE),
        ("principal", lambdas["principal"], 1 / eta, COMPLEX),
    ):
        over = np.flatnonzero(values > most)
        if over.size and not (name in found and found[name].time <= times[over[0]]):
            found[name] = ValidUntil(float(times[over[0]]), reason)
    return found


def _iterate(
    objective: Objective, flow: FlowSolution, eta: float, counts: np.ndarray, monitor: Monitor
) -> _WithIterates | None:
    """Return descent and the central flow; None after a stop request.

    Up to the last recorded time before the sharpness of the gradient flow comes near 2/η, the
    central flow is the gradient flow, which is known at a much smaller error.
    """
    step, samples = jnp.asarray(eta), counts.size
    near = np.asarray(sharpness(objective, flow.theta)) > NEAR * 2 / eta
    # one recorded time earlier, as the sharpness may reach the limit between two of them
    first = max(int(np.argmax(near)) - 1, 0) if near.any() else samples
    iterates, theta, error = flow.theta.copy(), flow.theta.copy(), flow.error.copy()
    variances = np.zeros((2, samples))
    ended, reason = (flow.valid_until, flow.reason) if first == samples else (float("nan"), "")
    at = JointState.start(jnp.asarray(iterates[0]), jnp.asarray(theta[0]))
    for i in range(1, samples):
        monitor.report(i / samples)
        if monitor.stop_requested():
            return None
        count = jnp.asarray(counts[i] - counts[i - 1])
        if i <= first:
            at = at._replace(iterate=iterate_descent(objective, at.iterate, step, count))
            if i == first:
                at = JointState.start(at.iterate, jnp.asarray(theta[i]))
        else:
            at = iterate_both(objective, at, step, count)
            theta[i], error[i] = at.fine, np.linalg.norm(at.fine - at.coarse) + error[first]
            variances[:, i] = np.array([at.variances, at.oscillations]) / max(int(at.counted), 1)
            if at.failure:
                theta[i], error[i], variances[:, i] = np.nan, np.nan, np.nan
                if not reason:
                    ended, reason = float(counts[i] * eta), REASONS[int(at.failure)]
        iterates[i] = at.iterate
    # from the first divergence on, even if a later iterate is below the ceiling again
    good = np.asarray(below_ceiling(objective, jnp.asarray(iterates[0]), jnp.asarray(iterates)))
    iterates[~np.logical_and.accumulate(good)] = np.nan
    return _WithIterates(iterates, FlowSolution(theta, error, ended, reason), variances)
