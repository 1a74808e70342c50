"""Distance of approximating flows from the iterates of descent, through the edge of stability.

All distances are over the layers, at each step size and the recorded iterates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.process.environment import one_blas_thread
from flowsim.solvers.chunks import ChunkSize
from flowsim.solvers.integrate import wait_for
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.modified_flows.central_flow import (
    NEAR,
    REASONS,
    JointState,
    iterate_both,
    iterate_descent,
)
from flowsim.theory.modified_flows.objective import FIELDS, Objective, flatten
from flowsim.theory.modified_flows.solution import (
    FlowSolution,
    below_ceiling,
    sharpness,
    solve_field,
)
from flowsim.theory.modified_flows.spec import APPROXIMATING, DESCRIPTIONS
from flowsim.theory.setting import Arrays, Setting

State = TypeVar("State")

COMPLEX = "ηλ exceeds 1 for an eigenvalue λ of the Hessian, where log(1 − ηλ) is complex"
UNSTABLE = "the sharpness at the iterates exceeds 2/η, where they oscillate and the flow does not"


class ValidUntil(NamedTuple):
    """The first recorded time at which an approximating flow is not valid, and why."""

    time: float
    reason: str


class Comparison(NamedTuple):
    """The approximating flows of descent at one step size, over the recorded times t = kη.

    Attributes
    ----------
    columns
        The variables of dimension `sample` in `DESCRIPTIONS`; nan where descent has diverged or
        the flow has ended.
    valid_until
        The flows that cease to be valid.

    """

    columns: Mapping[str, np.ndarray]
    valid_until: Mapping[str, ValidUntil]


def measure(setting: Setting) -> Arrays:
    """Return distances and errors, sharpness and variance, and how long each flow is valid.

    Values are nan past divergence, past the end of a flow, and at step sizes after an interrupt.
    A note states for each way in which a flow ceases to be valid at which η, when and why.
    """
    problem, descent = setting.problem, setting.descent
    if descent is None:
        return {}
    objective = Objective.of(problem.loss, problem.layers)
    start = np.asarray(flatten(problem.layers))
    columns = {
        spec.name: np.full(descent.iteration.shape[: len(spec.dims)], np.nan)
        for spec in DESCRIPTIONS.variables
    }
    columns |= {"step_size": descent.step_sizes, "time": descent.times}
    places: dict[tuple[str, str], list[str]] = {}
    count = len(descent.step_sizes)
    for k, eta in enumerate(descent.step_sizes.tolist()):
        monitor = setting.monitor.part(k / count, (k + 1) / count)
        with one_blas_thread:
            found = compare(objective, start, eta, descent.iteration[k], monitor)
        if found is None:
            break
        for name, values in found.columns.items():
            columns[name][k] = values
        for flow, end in found.valid_until.items():
            columns[f"{flow}_broken_at"][k] = end.time
            where = f"at η = {eta:g} from t = {end.time:.4g}"
            places.setdefault((flow, end.reason), []).append(where)
    notes = [
        f"the {APPROXIMATING[flow]} ceases to be valid {', '.join(where)}: {reason}."
        for (flow, reason), where in places.items()
    ]
    return {**columns, "note": notes}


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
        task = monitor.part(k / tasks, (k + 1) / tasks)
        task.report(0.0)
        paths[name] = solve_field(name, objective, start, eta, times, task)
        if monitor.stop_requested():
            return None
    found = _iterate(objective, paths["flow"], eta, counts, monitor.part(len(FIELDS) / tasks, 1.0))
    if found is None:
        return None
    iterates, paths["central"], (predicted, measured) = found
    lambdas = {
        name: sharpness(objective, theta, monitor)
        for name, theta in (
            ("principal", paths["principal"].theta),
            ("central", paths["central"].theta),
            ("iterates", iterates),
        )
    }
    if monitor.stop_requested():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(predicted > 0, predicted / measured, np.nan)
    columns = {
        **{name: np.linalg.norm(iterates - path.theta, axis=1) for name, path in paths.items()},
        **{f"{name}_error": path.error for name, path in paths.items()},
        "sharpness_over_limit": lambdas["iterates"] / (2 / eta),
        "central_sharpness_over_limit": lambdas["central"] / (2 / eta),
        "variance_predicted": predicted,
        "variance_measured": measured,
        "variance_ratio": ratio,
    }
    return Comparison(columns, _validity(paths, lambdas, times, eta))


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


def _in_chunks(
    program: Callable[[Objective, State, jax.Array, jax.Array], State],
    objective: Objective,
    eta: jax.Array,
    monitor: Monitor,
) -> Callable[[State, int], State]:
    """Return the function that iterates a program, in chunks of a fraction of a second each.

    After a stop request it returns the state that was reached.
    """

    def advance(state: State, count: int) -> State:
        chunk = ChunkSize(program.__name__, objective, state)
        if not chunk.known:  # compiled first, so that no chunk is timed with it
            wait_for(program(objective, state, eta, jnp.asarray(0)))
        while count > 0 and not monitor.stop_requested():
            started, steps = time.perf_counter(), min(chunk.steps, count)
            state = wait_for(program(objective, state, eta, jnp.asarray(steps)))
            chunk.update(steps, time.perf_counter() - started)
            count -= steps
        return state

    return advance


def _iterate(
    objective: Objective, flow: FlowSolution, eta: float, counts: np.ndarray, monitor: Monitor
) -> tuple[np.ndarray, FlowSolution, np.ndarray] | None:
    """Return the iterates `(sample, weight)`, the central flow, and its variances `(2, sample)`.

    The result is None after a stop request. The variances are averages since Σ of the central flow
    first was not 0: of tr Σ, and of the squared oscillation of the iterates.

    Up to the last recorded time before the sharpness of the gradient flow comes near 2/η, the
    central flow is the gradient flow, which is known at a much smaller error.
    """
    step, samples = jnp.asarray(eta), counts.size
    near = sharpness(objective, flow.theta, monitor) > NEAR * 2 / eta
    # one recorded time earlier, as the sharpness may reach the limit between two of them
    first = max(int(np.argmax(near)) - 1, 0) if near.any() else samples
    iterates, theta, error = flow.theta.copy(), flow.theta.copy(), flow.error.copy()
    variances = np.zeros((2, samples))
    ended, reason = (flow.valid_until, flow.reason) if first == samples else (float("nan"), "")
    at = JointState.start(jnp.asarray(iterates[0]), jnp.asarray(theta[0]))
    descend = _in_chunks(iterate_descent, objective, step, monitor)
    advance = _in_chunks(iterate_both, objective, step, monitor)
    for i in range(1, samples):
        monitor.report(i / samples)
        if monitor.stop_requested():
            return None
        count = int(counts[i] - counts[i - 1])
        if i <= first:
            at = at._replace(iterate=descend(at.iterate, count))
            if i == first:
                at = JointState.start(at.iterate, jnp.asarray(theta[i]))
        else:
            at = advance(at, count)
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
    return iterates, FlowSolution(theta, error, ended, reason), variances
