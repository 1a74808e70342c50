"""Solutions of the flows in `flowsim.theory.descriptions`, at wanted times, with where they end."""

from __future__ import annotations

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.arrays import Array
from flowsim.dynamics.descent import DIVERGED_FACTOR
from flowsim.theory.descriptions import FIELDS, Objective, Weights

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


def described(name: str, objective: Objective, start: Array, eta: float, times: Any) -> Described:
    """Solve a flow of `FIELDS` for step size η from θ(0) = `start`."""
    given = (objective, jnp.asarray(start), jnp.asarray(eta), jnp.asarray(times))
    fine, end, stopped, failed = _solved(name, *given, jnp.asarray(RTOL))
    coarse, *_ = _solved(name, *given, jnp.asarray(10 * RTOL))
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
    name: str, objective: Objective, start: Weights, eta: Array, times: Array, rtol: Array
) -> tuple[Array, Array, Array, Array]:
    """Return θ at the times (not finite where there is none), the last time, and how it ended."""
    field, scale = FIELDS[name], jnp.linalg.norm(start)
    most = ceiling(objective, start)

    def blown(t: Any, y: Weights, args: Any, **_: Any) -> Array:  # noqa: ARG001
        return ~(jnp.abs(objective.value(y)) <= most)

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: field(objective, y, eta)),  # noqa: ARG005
        diffrax.Tsit5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(ts=jnp.asarray(times), t1=True),
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
