"""Solutions of flows that describe descent, at wanted times, with their errors and their ends."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.descent import DIVERGED_FACTOR
from flowsim.problem.types import Array
from flowsim.theory.modified_flows.descriptions import FIELDS, Objective, Weights

RTOL = 1e-10
"""Relative tolerance of a step; the error is estimated from a solution at a tenfold one."""

MOST_STEPS = 50_000
TINY = float(np.finfo(float).tiny)


class Described(NamedTuple):
    """A description at the wanted times: nan from where it ends, with the time and the reason.

    `error` bounds ‖θ - θ(t)‖ at each time, as far as two tolerances tell; `ended` is nan and
    `reason` "" where it lasts to the end.
    """

    theta: np.ndarray
    error: np.ndarray
    ended: float
    reason: str


class Motion(eqx.Module):
    """A right-hand side ẏ = velocity(t, y), y a row or a tuple of rows of which one is θ."""

    objective: eqx.AbstractVar[Objective]

    @abc.abstractmethod
    def velocity(self, t: Array, y: Any) -> Any:
        """Return ẏ."""

    @abc.abstractmethod
    def position(self, y: Any) -> Weights:
        """Return θ."""


class Flow(Motion):
    """A flow of `FIELDS` by name, for step size η: y = θ."""

    objective: Objective
    name: str = eqx.field(static=True)
    eta: Array

    def velocity(self, t: Array, y: Weights) -> Weights:  # noqa: ARG002
        """Return θ̇, which is the same at all times."""
        return FIELDS[self.name](self.objective, y, self.eta)

    def position(self, y: Weights) -> Weights:
        """Return θ itself."""
        return y


def described(name: str, objective: Objective, start: Array, eta: float, times: Any) -> Described:
    """Solve a flow of `FIELDS` for step size η from θ(0) = `start`, as `followed` does."""
    motion = Flow(objective=objective, name=name, eta=jnp.asarray(eta))
    return followed(motion, jnp.asarray(start), times)


def followed(motion: Motion, start: Any, times: np.ndarray) -> Described:
    """Solve from y = `start` at the first of the times, which increase but may repeat.

    One program serves as many times, whichever repeat: others are put in between.
    """
    different, place = np.unique(times, return_inverse=True)
    if different.size == 1:
        theta = np.repeat(np.asarray(motion.position(start))[None], times.size, axis=0)
        return Described(theta, np.zeros(times.size), float("nan"), "")
    more = np.linspace(different[0], different[1], times.size - different.size + 2)[1:-1]
    grid = np.sort(np.concatenate([different, more]))
    found = _followed(motion, start, grid)
    rows = np.searchsorted(grid, different)[place]
    return found._replace(theta=found.theta[rows], error=found.error[rows])


def _followed(motion: Motion, start: Any, times: np.ndarray) -> Described:
    """Solve at two tolerances, at times that differ."""
    fine, end, stopped, failed = _solved(motion, start, jnp.asarray(times), jnp.asarray(RTOL))
    coarse, *_ = _solved(motion, start, jnp.asarray(times), jnp.asarray(10 * RTOL))
    theta = np.where(np.isfinite(fine), fine, np.nan)
    reason = ""
    if stopped:
        reason = f"its loss grows beyond {DIVERGED_FACTOR:g} times what descent starts from"
    elif failed:
        reason = f"it cannot be followed in {MOST_STEPS} steps"
    error = np.linalg.norm(theta - np.where(np.isfinite(coarse), coarse, np.nan), axis=1)
    return Described(theta, error, float(end) if reason else float("nan"), reason)


@eqx.filter_jit
def _solved(
    motion: Motion, start: Any, times: Array, rtol: Array
) -> tuple[Array, Array, Array, Array]:
    """Return θ at the times (not finite where there is none), the last time, and how it ended."""
    objective, position = motion.objective, motion.position
    scale = jnp.linalg.norm(position(start))
    most = ceiling(objective, position(start))

    def blown(t: Any, y: Any, args: Any, **_: Any) -> Array:  # noqa: ARG001
        return ~(jnp.abs(objective.value(position(y))) <= most)

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: motion.velocity(jnp.asarray(t), y)),  # noqa: ARG005
        diffrax.Tsit5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(ts=jnp.asarray(times), t1=True, fn=lambda t, y, args: position(y)),  # noqa: ARG005
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=rtol, atol=rtol * scale), step_ts=times
        ),
        event=diffrax.Event(blown),
        max_steps=MOST_STEPS,
        throw=False,
    )
    stopped = found.result == diffrax.RESULTS.event_occurred
    failed = (found.result != diffrax.RESULTS.successful) & ~stopped
    # the last state stands right behind the saved ones, wherever those end
    reached = jnp.where(jnp.isfinite(found.ts), found.ts, times[0])
    saved = (found.ts[:-1] == times)[:, None]
    return jnp.where(saved, found.ys[:-1], jnp.nan), reached.max(), stopped, failed


def ceiling(objective: Objective, start: Weights) -> Array:
    """Return the loss beyond which descent from θ(0) = `start` has diverged."""
    usual = [jnp.abs(objective.value(theta)) for theta in (start, jnp.zeros_like(start))]
    return DIVERGED_FACTOR * jnp.maximum(jnp.maximum(*usual), TINY)


@eqx.filter_jit
def settled(objective: Objective, start: Weights, theta: Array) -> Array:
    """Say of each of many θ whether descent from θ(0) = `start` has not diverged there."""
    most = ceiling(objective, start)
    found: Array = jax.lax.map(lambda at: objective.value(at) <= most, theta)
    return found


@eqx.filter_jit
def sharpness(objective: Objective, theta: Array) -> Array:
    """Return the largest eigenvalue of the Hessian at each of many θ; nan where θ is not finite."""

    def one(at: Weights) -> Array:
        good = jnp.isfinite(at).all()
        H = objective.hessian(jnp.where(good, at, 0.0))
        return jnp.where(good, jnp.linalg.eigvalsh(H)[-1], jnp.nan)

    largest: Array = jax.lax.map(one, theta)
    return largest
