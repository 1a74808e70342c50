"""Gradient descent and its central flow, iterated together."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from flowsim.problem.types import Array
from flowsim.theory.modified_flows.central_flow import central_step
from flowsim.theory.modified_flows.objective import Objective, Weights

STEPS = 4
"""Steps of the central flow per time η. A second solve with half as many estimates the error."""


class JointState(NamedTuple):
    """Gradient descent and the central flow after some iterations.

    Attributes
    ----------
    previous, iterate
        θ_{k-1} and θ_k.
    fine, coarse
        The central flow at t = kη, with `STEPS` and with half as many steps per time η.
    oscillations, variances
        Sums over the iterations since Σ first was not 0: of ‖(2θ_k - θ_{k-1} - θ_{k+1})/4‖², and of
        tr Σ. If θ_k = θ(kη) + (-1)^k δ, the former is ‖δ‖², up to what the smooth θ(t) adds.
    failure
        Code of the first failure of the central flow, which then remains at its last point.
    counted
        Number of iterations in the sums.

    """

    previous: Weights
    iterate: Weights
    fine: Weights
    coarse: Weights
    oscillations: Array
    variances: Array
    failure: Array
    counted: Array

    @classmethod
    def start(cls, iterate: Weights, central: Weights) -> JointState:
        """Return the state with these positions and empty sums."""
        none, zero = jnp.asarray(0.0), jnp.asarray(0)
        here = jnp.asarray(iterate)
        return cls(here, here, central, central, none, none, zero, zero)


def descent_step(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return θ - ηg(θ)."""
    return theta - eta * objective.gradient(theta)


@eqx.filter_jit
def iterate_descent(objective: Objective, theta: Weights, eta: Array, count: Array) -> Weights:
    """Return θ after `count` iterations of gradient descent."""
    after: Weights = jax.lax.fori_loop(
        0, count, lambda _, at: descent_step(objective, at, eta), theta
    )
    return after


@eqx.filter_jit
def iterate_both(objective: Objective, start: JointState, eta: Array, count: Array) -> JointState:
    """Return the state after `count` more iterations.

    After a failure of the central flow, only gradient descent continues.
    """

    def one(_: Array, at: JointState) -> JointState:
        after = descent_step(objective, at.iterate, eta)
        moved = at._replace(previous=at.iterate, iterate=after)
        found: JointState = jax.lax.cond(
            at.failure == 0, lambda: _with_central_flow(objective, at, moved, eta), lambda: moved
        )
        return found

    found: JointState = jax.lax.fori_loop(0, count, one, start)
    return found


def _with_central_flow(
    objective: Objective, at: JointState, moved: JointState, eta: Array
) -> JointState:
    """Return `moved`, one iteration of descent after `at`, with the central flow advanced as well.

    The steps of both solutions follow one another in one loop: `central_step` is a large program,
    and so is compiled once rather than per step length.
    """
    State: TypeAlias = tuple[Weights, Weights, Array, Array]

    def substep(i: Array, state: State) -> State:
        fine, coarse, variance, failure = state
        first = i < STEPS
        h = jnp.where(first, eta / STEPS, 2 * eta / STEPS)
        after, by = central_step(objective, jnp.where(first, fine, coarse), eta, h)
        return (
            jnp.where(first, after, fine),
            jnp.where(first, coarse, after),
            variance + jnp.where(first, by.variance / STEPS, 0.0),
            jnp.maximum(failure, by.failure),
        )

    begun = at.fine, at.coarse, jnp.asarray(0.0), jnp.asarray(0)
    steps = STEPS + STEPS // 2
    fine, coarse, variance, failure = jax.lax.fori_loop(0, steps, substep, begun)
    # The second difference removes the smooth path, known to O(η²) without the central flow.
    oscillation = (2 * at.iterate - at.previous - moved.iterate) / 4
    counted = (variance > 0) | (at.counted > 0)
    succeeded = moved._replace(
        fine=fine,
        coarse=coarse,
        oscillations=at.oscillations + jnp.where(counted, oscillation @ oscillation, 0.0),
        variances=at.variances + variance,
        counted=at.counted + jnp.where(counted, 1, 0),
    )
    failed = moved._replace(failure=failure)
    found: JointState = jax.tree.map(
        lambda new, old: jnp.where(failure == 0, new, old), succeeded, failed
    )
    return found
