"""Gradient descent and its central flow side by side, iteration by iteration."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from flowsim.problem.types import Array
from flowsim.theory.modified_flows.central_flow import step
from flowsim.theory.modified_flows.descriptions import Objective, Weights

STEPS = 4
"""Steps of the central flow in a time η; half as many estimate its error."""


class Walk(NamedTuple):
    """Where descent and the central flow are after `counted` iterations together.

    `before` is the iterate before `iterate`. `swings` and `variances` are sums over the iterations
    at which the central flow had a Σ: of ‖(2θ_k - θ_{k-1} - θ_{k+1})/4‖², which is ‖δ‖² where
    θ_k = θ(kη) + (-1)^k δ up to what changes slowly, and of tr Σ. After a failure, with its code,
    the central flow stays where it was, and the sums as they were.
    """

    before: Weights
    iterate: Weights
    fine: Weights
    coarse: Weights
    swings: Array
    variances: Array
    failure: Array
    counted: Array

    @classmethod
    def start(cls, iterate: Weights, central: Weights) -> Walk:
        """Return descent and the central flow at these places."""
        none, zero = jnp.asarray(0.0), jnp.asarray(0)
        here = jnp.asarray(iterate)
        return cls(here, here, central, central, none, none, zero, zero)


def descended(objective: Objective, theta: Weights, eta: Array) -> Weights:
    """Return θ - η g."""
    return theta - eta * objective.gradient(theta)


@eqx.filter_jit
def descend(objective: Objective, theta: Weights, eta: Array, count: Array) -> Weights:
    """Return θ after `count` iterations."""
    found: Weights = jax.lax.fori_loop(0, count, lambda _, at: descended(objective, at, eta), theta)
    return found


@eqx.filter_jit
def walk(objective: Objective, start: Walk, eta: Array, count: Array) -> Walk:
    """Return both after `count` more iterations; descent alone where the central flow fails."""

    def together(_: Array, at: Walk) -> Walk:
        after = descended(objective, at.iterate, eta)
        moved = at._replace(before=at.iterate, iterate=after)
        found: Walk = jax.lax.cond(
            at.failure == 0, lambda: _held(objective, at, moved, eta), lambda: moved
        )
        return found

    found: Walk = jax.lax.fori_loop(0, count, together, start)
    return found


def _held(objective: Objective, at: Walk, moved: Walk, eta: Array) -> Walk:
    """Return the walk `moved` from `at` with a time η more of the central flow.

    By both step lengths, one after the other in one loop, which compiles once.
    """
    State: TypeAlias = tuple[Weights, Weights, Array, Array]

    def substep(i: Array, state: State) -> State:
        fine, coarse, variance, failure = state
        first = i < STEPS
        h = jnp.where(first, eta / STEPS, 2 * eta / STEPS)
        after, by = step(objective, jnp.where(first, fine, coarse), eta, h)
        return (
            jnp.where(first, after, fine),
            jnp.where(first, coarse, after),
            variance + jnp.where(first, by.variance / STEPS, 0.0),
            jnp.maximum(failure, by.failure),
        )

    begun = at.fine, at.coarse, jnp.asarray(0.0), jnp.asarray(0)
    steps = STEPS + STEPS // 2
    fine, coarse, variance, failure = jax.lax.fori_loop(0, steps, substep, begun)
    swing = (2 * at.iterate - at.before - moved.iterate) / 4
    counted = (variance > 0) | (at.counted > 0)
    going = moved._replace(
        fine=fine,
        coarse=coarse,
        swings=at.swings + jnp.where(counted, swing @ swing, 0.0),
        variances=at.variances + variance,
        counted=at.counted + jnp.where(counted, 1, 0),
    )
    stuck = moved._replace(failure=failure)
    found: Walk = jax.tree.map(lambda new, old: jnp.where(failure == 0, new, old), going, stuck)
    return found
