"""The critical step size 2/λ_max, λ_max the sharpness: at the start, along the flow, where it ends.

Gradient descent of a quadratic with largest eigenvalue λ_max converges iff η < 2/λ_max; near a
minimum it is stable under the same condition (Cohen et al. 2021, arXiv:2103.00065).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowsim.experiment.plan.footprint import refuse_if_impossible
from flowsim.scenario.build.problem import saved_times
from flowsim.scenario.spec.errors import Mistake, ScenarioError

if TYPE_CHECKING:
    from flowsim.scenario import Scenario


from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from flowsim.problem.losses import Loss
from flowsim.problem.network import layer_gradients
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers
from flowsim.scenario.build.problem import build_problem
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory, Verdict
from flowsim.theory.sharpness.formulas import Extremes, extremes

Place = Literal["start", "minimum", "flow"]

MOST_TIMES = 101
"""Along the flow the sharpness is taken at so many saved times at most."""

DOUBLINGS = 12
"""A minimum is looked for up to 2^12 times the horizon."""

SETTLED, CONVEX, STEADY = 1e-7, 1e-5, 1e-6
"""At a minimum the gradient is this small beside λ_max ‖θ‖, -λ_min is beside λ_max, and λ_max has
changed by less than this share since half the time."""

LARGEST_RTOL = 1e-8
"""The flow is followed at this rtol or less, or its errors would hide that it has settled."""


class NoCriticalStepSizeError(ValueError):
    """There is no sharpness to take 2/sharpness of, for the reason that is said."""


@dataclass(frozen=True)
class Following:
    """How to follow the layer flow."""

    times: np.ndarray
    method: str = "auto"
    rtol: float = 1e-8
    atol: float | None = None
    max_steps: int = 10_000_000


class Critical(NamedTuple):
    """2/λ_max, how far it may be off by the eigenvalue's error, and the time it is taken at."""

    step_size: float
    error: float
    time: float


def critical_step_size(
    place: Place,
    problem: Problem,
    following: Following,
    *,
    monitor: Monitor = SILENT,
) -> Critical | None:
    """Return 2/λ_max of the Hessian over the layers at a place, or None after an interrupt.

    Parameters
    ----------
    place
        `"start"`; `"flow"`, where λ_max is largest of the saved times of the layer flow, at most
        101 of them; `"minimum"`, which that flow is followed to, if need be beyond its horizon.
    problem, following
        What flows, saved when, and solved how.
    monitor
        Where progress is reported and stop requests come from.

    Raises
    ------
    NoCriticalStepSizeError
        If the flow fails or reaches no minimum, or if λ_max is not positive.

    """
    if place == "start":
        return _critical(_sharpness(problem, problem.layers), 0.0, "at the start")
    first = monitor if place == "flow" else monitor.part(0.0, 0.5)
    flow = _followed(problem, following, first)
    if flow is None:
        return None
    if place == "flow":
        return _along(problem, flow, monitor)
    return _at_minimum(problem, flow, following, monitor)


def _followed(problem: Problem, following: Following, monitor: Monitor) -> Trajectory | None:
    flow = solve(
        problem,
        times=following.times,
        method=following.method,
        rtol=min(following.rtol, LARGEST_RTOL),
        atol=following.atol,
        max_steps=following.max_steps,
        keep_layers=True,
        estimate_error=False,
        monitor=monitor,
    )
    if flow.verdict is Verdict.INTERRUPTED:
        return None
    if flow.verdict is not Verdict.REACHED_HORIZON:
        raise NoCriticalStepSizeError(
            f"the layer flow, along which sharpness is taken, ends at t = {flow.stopped_at:.4g}: "
            f"{flow.verdict.value}"
        )
    return flow


def _along(problem: Problem, flow: Trajectory, monitor: Monitor) -> Critical | None:
    """Return 2/λ_max where it is least along a flow."""
    count = flow.times.size
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST_TIMES)).round().astype(int))
    found: list[Extremes] = []
    for i in picked:
        if monitor.stop_requested():
            return None
        found.append(_sharpness(problem, _layers(flow, i)))
    sharpest = int(np.argmax([each.largest for each in found]))
    return _critical(found[sharpest], float(flow.times[picked[sharpest]]), "along the flow")


def _at_minimum(
    problem: Problem, flow: Trajectory, following: Following, monitor: Monitor
) -> Critical | None:
    """Return 2/λ_max at the minimum that a flow ends in, doubling the time until it is there."""
    horizon = float(flow.times[-1])
    time, layers = horizon, _layers(flow, -1)
    here = _sharpness(problem, _layers(flow, flow.times.size // 2))
    for _ in range(DOUBLINGS):
        before, here = here, _sharpness(problem, layers)
        change = abs(here.largest - before.largest)
        if _is_minimum(problem, layers, here) and change <= STEADY * here.largest:
            settled = here._replace(error=here.error + change)
            return _critical(settled, time, "at the minimum")
        onward = replace(following, times=np.array([0.0, time]))
        more = _followed(
            Problem(problem.loss, layers, time, problem.weight_decay),
            onward,
            monitor.silent(),
        )
        if more is None:
            return None
        time, layers = 2 * time, _layers(more, -1)
    raise NoCriticalStepSizeError(
        f"the layer flow reaches no minimum by t = {time:.4g}, whose sharpness would be the unit"
    )


def _is_minimum(problem: Problem, layers: Layers, ends: Extremes) -> bool:
    """Say whether the gradient has vanished, and no way leads down as from a saddle."""
    slope = _gradient(problem.loss, layers, problem.weight_decay)
    size = np.sqrt(sum(float(np.sum(np.square(W))) for W in layers))
    return bool(slope <= SETTLED * ends.largest * size and ends.smallest >= -CONVEX * ends.largest)


def _gradient(loss: Loss, layers: Layers, decay: float) -> float:
    slopes = layer_gradients(layers, loss.gradient)
    parts = [np.asarray(g) + decay * np.asarray(W) for g, W in zip(slopes, layers, strict=True)]
    return float(np.sqrt(sum(np.sum(part**2) for part in parts)))


def _layers(flow: Trajectory, i: int) -> tuple[Array, ...]:
    assert flow.layer_series is not None
    return tuple(history[i] for history in flow.layer_series)


def _sharpness(problem: Problem, layers: Layers) -> Extremes:
    """Return the extreme eigenvalues of the Hessian.

    Raises
    ------
    NoCriticalStepSizeError
        If they do not settle.

    """
    from scipy.sparse.linalg import ArpackError

    try:
        return extremes(problem.loss, layers, problem.weight_decay)
    except (ArpackError, np.linalg.LinAlgError) as error:
        raise NoCriticalStepSizeError(f"the sharpness is not found: {error}") from None


def _critical(ends: Extremes, time: float, where: str) -> Critical:
    if not ends.largest > ends.error:
        raise NoCriticalStepSizeError(
            f"the sharpness {where} is {ends.largest:.4g}, and 2/sharpness is a step size only "
            "where it is above 0"
        )
    value = 2 / ends.largest
    return Critical(value, value * ends.error / ends.largest, time)


@dataclass(frozen=True)
class Absolute:
    """A scenario as it was written, the same with step sizes η, and what their unit was.

    After an interrupt no descent is left in the second.
    """

    written: Scenario
    scenario: Scenario
    unit: Critical | None = None


def absolute(scenario: Scenario, monitor: Monitor) -> Absolute:
    """Find the sharpness that step sizes are relative to, if they are.

    Raises
    ------
    ScenarioError
        If there is none, or if such step sizes take longer than is sensible.

    """
    descent, flow = scenario.descent, scenario.flow
    if descent is None or descent.relative_to is None:
        return Absolute(scenario, scenario)
    following = Following(saved_times(scenario), flow.method, flow.rtol, flow.atol, flow.max_steps)
    problem = build_problem(scenario)
    try:
        unit = critical_step_size(descent.relative_to, problem, following, monitor=monitor)
    except NoCriticalStepSizeError as error:
        text = f"{error}; write step sizes that are relative to nothing, or to another place"
        raise ScenarioError([str(Mistake(("descent", "step_sizes"), text))]) from None
    if unit is None:
        return Absolute(scenario, scenario.model_copy(update={"descent": None}))
    sizes = tuple(unit.step_size * multiple for multiple in descent.written)
    found = scenario.model_copy(
        update={"descent": descent.model_copy(update={"step_sizes": sizes})}
    )
    refuse_if_impossible(found)
    return Absolute(scenario, found, unit)
