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
from flowsim.theory.modified_flows.objective import FIELDS, Objective, Weights

RTOL = 1e-10
"""Relative tolerance per step. A second solve at ten times this tolerance estimates the error."""

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
    name: str, objective: Objective, start: Array, eta: float, times: Any
) -> FlowSolution:
    """Return the solution of the flow `FIELDS[name]` from θ(times[0]) = `start`."""
    flow = FirstOrderFlow(objective=objective, name=name, eta=jnp.asarray(eta))
    return solve_flow(flow, jnp.asarray(start), times)


def solve_flow(flow: ApproximatingFlow, start: Any, times: np.ndarray) -> FlowSolution:
    """Return the solution from y(times[0]) = `start`; times ascend and may repeat.

    The solution ends where the loss exceeds the ceiling of divergence, or after `MOST_STEPS` steps.
    """
    different, place = np.unique(times, return_inverse=True)
    if different.size == 1:
        theta = np.repeat(np.asarray(flow.position(start))[None], times.size, axis=0)
        return FlowSolution(theta, np.zeros(times.size), float("nan"), "")
    # Repeated times would be steps of length 0. They are replaced by further times in the first
    # interval, so that the number of times, and with it the compiled program, stays the same.
    more = np.linspace(different[0], different[1], times.size - different.size + 2)[1:-1]
    grid = np.sort(np.concatenate([different, more]))
    fine, end, stopped, failed = _solve_once(flow, start, jnp.asarray(grid), jnp.asarray(RTOL))
    coarse, *_ = _solve_once(flow, start, jnp.asarray(grid), jnp.asarray(10 * RTOL))
    theta = np.where(np.isfinite(fine), fine, np.nan)
    error = np.linalg.norm(theta - np.where(np.isfinite(coarse), coarse, np.nan), axis=1)
    reason = ""
    if stopped:
        reason = f"its loss exceeds {DIVERGENCE_FACTOR:g} times the initial loss of descent"
    elif failed:
        reason = f"its solution takes more than {MOST_STEPS} steps"
    rows = np.searchsorted(grid, different)[place]
    return FlowSolution(theta[rows], error[rows], float(end) if reason else float("nan"), reason)


@eqx.filter_jit
def _solve_once(
    flow: ApproximatingFlow, start: Any, times: Array, rtol: Array
) -> tuple[Array, Array, Array, Array]:
    """Return θ at the times (not finite past the end), the end, and whether it diverged or failed.

    Steps end at the times, so that θ is a solution of the integrator there and no interpolant,
    whose error would dominate at this tolerance.
    """
    objective, position = flow.objective, flow.position
    scale = jnp.linalg.norm(position(start))
    highest = ceiling(objective, position(start))

    def diverged(t: Any, y: Any, args: Any, **_: Any) -> Array:  # noqa: ARG001
        return ~(jnp.abs(objective.value(position(y))) <= highest)  # nan counts as divergence

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: flow.derivative(jnp.asarray(t), y)),  # noqa: ARG005
        diffrax.Tsit5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(ts=jnp.asarray(times), t1=True, fn=lambda t, y, args: position(y)),  # noqa: ARG005
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=rtol, atol=rtol * scale), step_ts=times
        ),
        event=diffrax.Event(diverged),
        max_steps=MOST_STEPS,
        throw=False,
    )
    stopped = found.result == diffrax.RESULTS.event_occurred
    failed = (found.result != diffrax.RESULTS.successful) & ~stopped
    # diffrax stores the last state (t1=True) right behind the last time that was reached. Rows
    # whose time is not the one requested are therefore not solutions at the requested times.
    reached = jnp.where(jnp.isfinite(found.ts), found.ts, times[0])
    saved = (found.ts[:-1] == times)[:, None]
    return jnp.where(saved, found.ys[:-1], jnp.nan), reached.max(), stopped, failed


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


@eqx.filter_jit
def sharpness(objective: Objective, theta: Array) -> Array:
    """Return λ_max(H) per row of `theta`, nan where θ is not finite.

    The rows are processed one after the other: only one Hessian is in memory.
    """

    def one(at: Weights) -> Array:
        good = jnp.isfinite(at).all()
        H = objective.hessian(jnp.where(good, at, 0.0))
        return jnp.where(good, jnp.linalg.eigvalsh(H)[-1], jnp.nan)

    largest: Array = jax.lax.map(one, theta)
    return largest
