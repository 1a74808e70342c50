"""Numerical solution of the flows that approximate descent: θ(t), its error, and its validity."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array
from flowsim.solvers.iterate import DIVERGENCE_FACTOR, divergence_threshold
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.modified_flows.objective import FIELDS, Objective, Weights

RTOL = 1e-10
"""Relative tolerance per step. A second solve at ten times this tolerance estimates the error."""

AT_ONCE, STEPS_AT_ONCE, WORK_AT_ONCE = 64, 8192, 2**27
"""Most weights n for which one call takes all steps, and the most steps and most n³ times steps
that it takes: about a second."""

STEPS = 32
"""Most steps per call of more weights, of which a step takes up to 30 ms."""

ROWS = 16
"""Hessians per call of the program that computes sharpness."""

MOST_STEPS = 50_000
"""Steps of the integrator after which a flow counts as too stiff to be solved."""


class FlowSolution(NamedTuple):
    """An approximating flow at given times.

    Attributes
    ----------
    theta
        θ(t), shape `(time, weight)`; nan from where the solution ends.
    error
        Estimated error ‖θ - θ(t)‖ at each time, from the difference of two tolerances.
    valid_until
        The time at which the solution ends; nan if it lasts.
    reason
        Why it ends, as the predicate of a sentence; "" if it lasts.

    """

    theta: np.ndarray
    error: np.ndarray
    valid_until: float
    reason: str


class ApproximatingFlow(eqx.Module):
    """A system ẏ = f(t, y). The state y is θ, or a tuple of vectors of which θ is the first."""

    objective: eqx.AbstractVar[Objective]

    @abc.abstractmethod
    def derivative(self, t: Array, y: Any) -> Any:
        """Return ẏ = f(t, y)."""

    def position(self, y: Any) -> Weights:
        """Return θ."""
        theta: Weights = y[0] if isinstance(y, tuple) else y
        return theta


class FirstOrderFlow(ApproximatingFlow):
    """The flow θ̇ = f(θ) whose vector field is `FIELDS[name]`, for the step size η."""

    objective: Objective
    name: str = eqx.field(static=True)
    eta: Array

    def derivative(self, t: Array, y: Weights) -> Weights:  # noqa: ARG002
        """Return θ̇."""
        return FIELDS[self.name](self.objective, y, self.eta)


def solve_field(
    name: str,
    objective: Objective,
    start: Array,
    eta: float,
    times: Any,
    monitor: Monitor = SILENT,
) -> FlowSolution:
    """Return the solution of the flow `FIELDS[name]` from θ(times[0]) = `start`."""
    flow = FirstOrderFlow(objective=objective, name=name, eta=jnp.asarray(eta))
    return solve_flow(flow, jnp.asarray(start), times, monitor)


def solve_flow(
    flow: ApproximatingFlow, start: Any, times: np.ndarray, monitor: Monitor = SILENT
) -> FlowSolution:
    """Return the solution from y(times[0]) = `start`; times ascend and may repeat.

    The solution ends where the loss exceeds the ceiling of divergence, or after `MOST_STEPS` steps.
    It is nan from a stop request on.
    """
    different, place = np.unique(times, return_inverse=True)
    if different.size == 1:
        theta = np.repeat(np.asarray(flow.position(start))[None], times.size, axis=0)
        return FlowSolution(theta, np.zeros(times.size), float("nan"), "")
    # Repeated times would be steps of length 0. They are replaced by further times in the first
    # interval, so that the number of times, and with it the compiled program, stays the same.
    more = np.linspace(different[0], different[1], times.size - different.size + 2)[1:-1]
    grid = np.sort(np.concatenate([different, more]))
    fine = _solved(flow, start, grid, RTOL, monitor.part(0.0, 0.5))
    coarse = _solved(flow, start, grid, 10 * RTOL, monitor.part(0.5, 1.0)).theta
    theta = np.where(np.isfinite(fine.theta), fine.theta, np.nan)
    error = np.linalg.norm(theta - np.where(np.isfinite(coarse), coarse, np.nan), axis=1)
    reason = ""
    if fine.stopped:
        reason = f"its loss exceeds {DIVERGENCE_FACTOR:g} times the initial loss of descent"
    elif fine.failed:
        reason = f"its solution takes more than {MOST_STEPS} steps"
    rows = np.searchsorted(grid, different)[place]
    return FlowSolution(
        theta[rows], error[rows], float(fine.end) if reason else float("nan"), reason
    )


class _Piece(NamedTuple):
    """θ at the times (not finite past the end), the end, y there, steps, and why it ended.

    `paused` is whether it may continue from the end, after the most steps of a call.
    """

    theta: Array
    end: Array | float
    state: Any
    steps: Array | int
    stopped: Array | bool
    failed: Array | bool
    paused: Array | bool


def _solved(
    flow: ApproximatingFlow, start: Any, times: np.ndarray, rtol: float, monitor: Monitor
) -> _Piece:
    """Return the solution at all times, in one call if it is short, else in calls of few steps.

    Between calls progress is reported and stop requests are answered.
    """
    tolerance, size, most = jnp.asarray(rtol), flow.position(start).size, STEPS
    if size <= AT_ONCE:
        most = min(STEPS_AT_ONCE, WORK_AT_ONCE // size**3)
        whole = _solve_once(flow, start, jnp.asarray(times), tolerance, start, most)
        if not whole.paused:
            return whole
    theta = np.full((times.size, flow.position(start).size), np.nan)
    theta[0] = flow.position(start)
    now = _Piece(theta, float(times[0]), start, 0, False, False, False)
    for i, until in enumerate(times[1:], start=1):
        while now.end < until and not (now.stopped or now.failed):
            if monitor.stop_requested():
                return now
            ends = jnp.asarray([now.end, until])
            piece = _solve_once(flow, now.state, ends, tolerance, start, most)
            theta[i], steps = piece.theta[1], int(now.steps + piece.steps)
            failed = bool(piece.failed) or steps > MOST_STEPS
            now = _Piece(
                theta, float(piece.end), piece.state, steps, bool(piece.stopped), failed, False
            )
        monitor.report(i / (times.size - 1))
    return now


@eqx.filter_jit
def _solve_once(
    flow: ApproximatingFlow, start: Any, times: Array, rtol: Array, origin: Any, most: int
) -> _Piece:
    """Return θ at the times, from y(times[0]) = `start` on the way from `origin`.

    It ends after at most `most` steps.

    Steps end at the times, so that θ is a solution of the integrator there and no interpolant,
    whose error would dominate at this tolerance.
    """
    objective, position = flow.objective, flow.position
    scale = jnp.linalg.norm(position(origin))
    highest = ceiling(objective, position(origin))

    def diverged(t: Any, y: Any, args: Any, **_: Any) -> Array:  # noqa: ARG001
        return ~(jnp.abs(objective.value(position(y))) <= highest)  # nan counts as divergence

    def at(t: Any, y: Any, args: Any) -> Array:  # noqa: ARG001
        return position(y)

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: flow.derivative(jnp.asarray(t), y)),  # noqa: ARG005
        diffrax.Tsit5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(
            subs=[
                diffrax.SubSaveAt(ts=jnp.asarray(times), t1=True, fn=at),
                diffrax.SubSaveAt(t1=True),
            ]
        ),
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=rtol, atol=rtol * scale), step_ts=times
        ),
        event=diffrax.Event(diverged),
        max_steps=most,
        throw=False,
    )
    stopped = found.result == diffrax.RESULTS.event_occurred
    paused = found.result == diffrax.RESULTS.max_steps_reached
    failed = (found.result != diffrax.RESULTS.successful) & ~stopped & ~paused
    # diffrax stores the last state (t1=True) right behind the last time that was reached. Rows
    # whose time is not the one requested are therefore not solutions at the requested times.
    assert found.ts is not None and found.ys is not None
    known, theta = found.ts[0], found.ys[0]
    reached = jnp.where(jnp.isfinite(known), known, times[0])
    saved = (known[:-1] == times)[:, None]
    state = jax.tree.map(lambda y: y[0], found.ys[1])
    theta = jnp.where(saved, theta[:-1], jnp.nan)
    end, steps = reached.max(), found.stats["num_steps"]
    return _Piece(theta, end, state, steps, stopped, failed, paused)


def ceiling(objective: Objective, start: Weights) -> Array:
    """Return the loss above which descent from θ_0 = `start` has diverged.

    It is `DIVERGENCE_FACTOR` times the larger of the losses at θ_0 and at θ = 0, so that it is not
    0 for a run that starts at a minimum.
    """
    return divergence_threshold(objective.value(start), objective.value(jnp.zeros_like(start)))


@eqx.filter_jit
def below_ceiling(objective: Objective, start: Weights, theta: Array) -> Array:
    """Return per row of `theta` whether descent from θ_0 = `start` has not diverged there."""
    highest = ceiling(objective, start)
    found: Array = jax.lax.map(lambda at: objective.value(at) <= highest, theta)
    return found


def sharpness(objective: Objective, theta: np.ndarray, monitor: Monitor = SILENT) -> np.ndarray:
    """Return λ_max(H) per row of `theta`, nan where θ is not finite and from a stop request on."""
    largest = np.full(len(theta), np.nan)
    for first in range(0, len(theta), ROWS):
        if monitor.stop_requested():
            break
        rows = np.full((ROWS, theta.shape[1]), np.nan)
        piece = theta[first : first + ROWS]
        rows[: len(piece)] = piece
        largest[first : first + ROWS] = _sharpness(objective, rows)[: len(piece)]
    return largest


@eqx.filter_jit
def _sharpness(objective: Objective, theta: Array) -> Array:
    """Return λ_max(H) per row of `theta`, one after the other: only one Hessian is in memory."""

    def one(at: Weights) -> Array:
        good = jnp.isfinite(at).all()
        H = objective.hessian(jnp.where(good, at, 0.0))
        return jnp.where(good, jnp.linalg.eigvalsh(H)[-1], jnp.nan)

    largest: Array = jax.lax.map(one, theta)
    return largest
