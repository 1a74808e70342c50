"""The critical step size 2/λ_max: at initialization, along the gradient flow, at its minimum.

The sharpness λ_max is the largest eigenvalue of the Hessian of the loss over the layers. On a
quadratic, gradient descent converges if and only if η < 2/λ_max; near a minimum of any loss it is
stable under the same condition (Cohen et al. 2021, arXiv:2103.00065).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers
from flowsim.scenario.spec.forms import Place
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.verdict import Verdict
from flowsim.theory.sharpness.measure import Extremes, extremes

MOST_TIMES = 101
"""Saved times along the flow at which the sharpness is computed, at most."""

FEW_TIMES = 11
"""Saved times whose sharpness is compared with that at the minimum, at most."""

DOUBLINGS = 12
"""The flow is followed towards a minimum for at most 2^12 times the final time."""

GRADIENT_AT_MINIMUM, CURVATURE_AT_MINIMUM, CHANGE_AT_MINIMUM = 1e-7, 1e-5, 1e-6
"""Tolerances of a minimum: of ‖∇‖ relative to λ_max‖θ‖, of -λ_min relative to λ_max, and of the
change of λ_max, relative to it, since half the time. A degenerate minimum has eigenvalues 0, which
ARPACK returns with errors of either sign, hence the second."""

LARGEST_RTOL = 1e-8
"""Largest rtol of the flow. At larger ones its error keeps the gradient above its tolerance."""


class NoCriticalStepSizeError(ValueError):
    """The sharpness is undefined, not positive, or not reached; the text states the reason."""


class Sharpest(NamedTuple):
    """The largest sharpness at saved times of a flow, and its time."""

    ends: Extremes
    time: float


class CriticalStepSize(NamedTuple):
    """2/λ_max, the upper bound on its error from that of λ_max, and the time of the flow.

    At a minimum, `horizon` is the final time and `sharpest` the largest sharpness up to there.
    """

    step_size: float
    error: float
    time: float
    horizon: float = float("nan")
    sharpest: Sharpest | None = None

    def record(self, place: str) -> dict[str, Any]:
        """Return the entry of `summary.json`."""
        found = {"place": place, "time": self.time, "sharpness": 2 / self.step_size}
        if self.sharpest is None:
            return found
        largest = {"largest_sharpness": self.sharpest.ends.largest}
        return found | largest | {"largest_sharpness_time": self.sharpest.time}

    def note(self) -> str:
        """Return where the minimum was found, and its sharpness beside that up to the horizon."""
        if self.sharpest is None:
            return ""
        beyond = self.time / self.horizon
        found = f"{beyond:g} times the final time" if beyond > 1 else "the final time"
        ratio = 2 / self.step_size / self.sharpest.ends.largest
        return (
            f"Step sizes are relative to the minimum found at t = {self.time:.4g}, {found}; its "
            f"sharpness {2 / self.step_size:.5g} is {ratio:.3g} times the largest up to the final "
            f"time, {self.sharpest.ends.largest:.5g} at t = {self.sharpest.time:.4g}."
        )


def critical_step_size(
    place: Place,
    problem: Problem,
    times: np.ndarray,
    *,
    monitor: Monitor = SILENT,
    **options: Any,
) -> CriticalStepSize | None:
    """Return 2/λ_max at a place of the layer flow, or None after a stop request.

    Parameters
    ----------
    place
        `"start"`: at initialization. `"flow"`: at the saved time with the largest λ_max, of at
        most 101 saved times. `"minimum"`: at the limit of the flow, followed beyond its final
        time if necessary.
    problem
        Loss, initial layers and weight decay.
    times
        Saved times of the flow.
    monitor
        Receives progress and issues stop requests.
    options
        The flow's method, tolerances and largest number of steps, as for `solve`.

    Raises
    ------
    NoCriticalStepSizeError
        If the flow fails or reaches no minimum, or if λ_max is not positive.

    """
    if place == "start":
        return _critical(_sharpness(problem, problem.layers), 0.0, "at initialization")
    first = monitor if place == "flow" else monitor.part(0.0, 0.5)
    options["rtol"] = min(options.get("rtol", LARGEST_RTOL), LARGEST_RTOL)
    flow = _layer_flow(problem, times, options, first)
    if flow is None:
        return None
    if place == "flow":
        return _along(problem, flow, monitor)
    return _at_minimum(problem, flow, options, monitor)


def _layer_flow(
    problem: Problem, times: np.ndarray, options: Mapping[str, Any], monitor: Monitor
) -> Trajectory | None:
    flow = solve(
        problem, times=times, keep_layers=True, estimate_error=False, monitor=monitor, **options
    )
    if flow.stopped is Verdict.INTERRUPTED:
        return None
    if flow.stopped is not Verdict.REACHED_HORIZON:
        raise NoCriticalStepSizeError(
            "the layer flow, along which sharpness is computed, ends at t = "
            f"{flow.stopped_at:.4g}: {flow.stopped.value}"
        )
    return flow


def _along(problem: Problem, flow: Trajectory, monitor: Monitor) -> CriticalStepSize | None:
    """Return the least 2/λ_max along a flow."""
    found = _sharpest(problem, flow, MOST_TIMES, monitor)
    return found and _critical(found.ends, found.time, "along the flow")


def _sharpest(problem: Problem, flow: Trajectory, most: int, monitor: Monitor) -> Sharpest | None:
    """Return the largest sharpness at up to `most` saved times of a flow; None after a stop."""
    count = flow.times.size
    picked = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
    found: list[Extremes] = []
    for i in picked:
        if monitor.stop_requested():
            return None
        found.append(_sharpness(problem, _layers(flow, i)))
    sharpest = int(np.argmax([each.largest for each in found]))
    return Sharpest(found[sharpest], float(flow.times[picked[sharpest]]))


def _at_minimum(
    problem: Problem, flow: Trajectory, options: Mapping[str, Any], monitor: Monitor
) -> CriticalStepSize | None:
    """Return 2/λ_max at the minimum a flow converges to, doubling the time until it is reached."""
    horizon = float(flow.times[-1])
    time, layers = horizon, _layers(flow, -1)
    # λ_max half way, to compare with that at the end: a first test for convergence
    here = _sharpness(problem, _layers(flow, flow.times.size // 2))
    for _ in range(DOUBLINGS):
        before, here = here, _sharpness(problem, layers)
        change = abs(here.largest - before.largest)
        if _is_minimum(problem, layers, here) and change <= CHANGE_AT_MINIMUM * here.largest:
            # λ_max still changes by that much, so it may differ from its limit by as much
            limit = here._replace(error=here.error + change)
            sharpest = _sharpest(problem, flow, FEW_TIMES, monitor)
            found = _critical(limit, time, "at the minimum")
            return sharpest and found._replace(horizon=horizon, sharpest=sharpest)
        # from the last layers for as long again, which doubles the time
        onward = Problem(problem.loss, layers, time, problem.weight_decay)
        more = _layer_flow(onward, np.array([0.0, time]), options, monitor.silent())
        if more is None:
            return None
        time, layers = 2 * time, _layers(more, -1)
    raise NoCriticalStepSizeError(
        f"the layer flow reaches no minimum by t = {time:.4g}, so there is no sharpness at one"
    )


def _is_minimum(problem: Problem, layers: Layers, ends: Extremes) -> bool:
    """Return whether the gradient vanishes and the Hessian has no direction of descent."""
    slope = _gradient(problem.loss, layers, problem.weight_decay)
    size = np.sqrt(sum(float(np.sum(np.square(W))) for W in layers))
    return bool(
        slope <= GRADIENT_AT_MINIMUM * ends.largest * size
        and ends.smallest >= -CURVATURE_AT_MINIMUM * ends.largest
    )


def _gradient(loss: Loss, layers: Layers, decay: float) -> float:
    slopes = loss.layer_gradients(tuple(layers))
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
        If the Lanczos iteration does not converge.

    """
    from scipy.sparse.linalg import ArpackError

    try:
        return extremes(problem.loss, layers, problem.weight_decay)
    except (ArpackError, np.linalg.LinAlgError) as error:
        raise NoCriticalStepSizeError(f"the sharpness could not be computed: {error}") from None


def _critical(ends: Extremes, time: float, where: str) -> CriticalStepSize:
    if not ends.largest > ends.error:
        raise NoCriticalStepSizeError(
            f"the sharpness {where} is {ends.largest:.4g}, but a positive one is required for "
            "2/λ_max"
        )
    value = 2 / ends.largest
    # to first order the relative errors of λ_max and of 2/λ_max are equal
    return CriticalStepSize(value, value * ends.error / ends.largest, time)
