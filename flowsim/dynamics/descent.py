"""Descent: W_j ← W_j - η (∂φ/∂W_j + λ W_j), exactly, for many step sizes at once.

Or by another rule (`flowsim.dynamics.rules`), which is given the same gradients: weight decay λ is
always coupled, the gradient of (λ/2) Σ‖W_j‖²_F.
"""

from __future__ import annotations

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from flowsim import network
from flowsim.arrays import Array, Layers
from flowsim.dynamics.rules import Memory, Rule
from flowsim.losses import Loss

StepSizes: TypeAlias = Float[Array, " step_size"]
Remaining: TypeAlias = Int[Array, " step_size"]
ManyLayers: TypeAlias = tuple[Float[Array, "step_size _ _"], ...]
"""W_1, …, W_N of every step size."""

DIVERGED_FACTOR = 1e12
"""Descent has diverged once its loss is that many times max(|ℓ(W_0)|, |ℓ(0)|), or not finite."""


class Iterates(eqx.Module):
    """The layers of every step size, and what its rule remembers.

    Each array has a leading step-size axis.
    """

    layers: ManyLayers
    memory: Memory
    alive: Bool[Array, " step_size"]


class Below(eqx.Module):
    """Iterates, how many there were, and when the loss came to be at most each wanted one.

    `first` is the first iteration with ℓ ≤ the wanted loss, -1 before that; `since` the one from
    which on it stayed there, the next iteration while it is above.
    """

    iterates: Iterates
    iteration: Int[Array, ""]
    first: Int[Array, "step_size level"]
    since: Int[Array, "step_size level"]


class Descent(eqx.Module):
    """Descent on φ(W_1..W_N) = ℓ(W_N⋯W_1) at several step sizes η, by one rule."""

    loss: Loss
    step_sizes: StepSizes
    rule: Rule
    weight_decay: Array
    ceiling: Array

    @eqx.filter_jit
    def start(self, layers: Layers) -> Iterates:
        """Return every step size at the starting layers, at rest."""
        count = self.step_sizes.shape[0]
        dtype = self.step_sizes.dtype
        stacked = tuple(
            jnp.broadcast_to(jnp.asarray(W, dtype=dtype), (count, *W.shape)) for W in layers
        )
        return Iterates(
            layers=stacked,
            memory=jax.vmap(self.rule.start)(stacked),
            alive=jnp.ones(count, dtype=bool),
        )

    @eqx.filter_jit
    def advance(self, iterates: Iterates, remaining: Remaining, budget: Array) -> Iterates:
        """Take min(`remaining`, `budget`) iterations at each step size.

        A step size that diverges is frozen at its last good iterate with `alive` false, and does
        not touch the others.
        """

        def body(k: Array, current: Iterates) -> Iterates:
            return self._moved(current, k < remaining)[0]

        count = jnp.minimum(budget, remaining.max())
        advanced: Iterates = jax.lax.fori_loop(0, count, body, iterates)
        return advanced

    @eqx.filter_jit
    def start_below(self, layers: Layers, losses: Float[Array, " level"]) -> Below:
        """Return every step size at the starting layers, for `watch_below`."""
        iterates = self.start(layers)
        values = jax.vmap(lambda W: self.loss.value(network.end_to_end(W)))(iterates.layers)
        low = values[:, None] <= losses[None, :]
        first, since = jnp.where(low, 0, -1), jnp.where(low, 0, 1)
        return Below(iterates=iterates, iteration=jnp.asarray(0), first=first, since=since)

    @eqx.filter_jit
    def watch_below(self, below: Below, losses: Float[Array, " level"], count: Array) -> Below:
        """Take `count` iterations at each step size, watching which losses they stay below."""

        def body(_: Array, current: Below) -> Below:
            k = current.iteration + 1
            iterates, values = self._moved(current.iterates, current.iterates.alive)
            low = iterates.alive[:, None] & (values[:, None] <= losses[None, :])
            first = jnp.where(low & (current.first < 0), k, current.first)
            since = jnp.where(low, current.since, k + 1)
            return Below(iterates=iterates, iteration=k, first=first, since=since)

        watched: Below = jax.lax.fori_loop(0, count, body, below)
        return watched

    def _moved(
        self, current: Iterates, wanted: Bool[Array, " step_size"]
    ) -> tuple[Iterates, Array]:
        """Return the next iterates where they are wanted and good, and the losses there."""
        moved = jax.vmap(self._step)(self.step_sizes, current.layers, current.memory)
        layers, memory, values = moved
        wanted = current.alive & wanted
        good = jnp.isfinite(values) & (values <= self.ceiling)
        keep = wanted & good
        return Iterates(
            layers=_where(keep, layers, current.layers),
            memory=_where(keep, memory, current.memory),
            alive=current.alive & (good | ~wanted),
        ), values

    def _step(self, eta: Array, layers: Layers, memory: Memory) -> tuple[Layers, Memory, Array]:
        gradients = network.layer_gradients(layers, self.loss.gradient)
        coupled = tuple(g + self.weight_decay * W for g, W in zip(gradients, layers, strict=True))
        moves, memory = self.rule.moves(eta, coupled, memory, layers)
        layers = tuple(W + move for W, move in zip(layers, moves, strict=True))
        return layers, memory, self.loss.value(network.end_to_end(layers))


def _where(keep: Bool[Array, " step_size"], new: Memory, old: Memory) -> Memory:
    """Return the new arrays where a step size keeps them, along their leading axis."""

    def chosen(fresh: Array, stale: Array) -> Array:
        return jnp.where(keep.reshape(-1, *(1,) * (fresh.ndim - 1)), fresh, stale)

    return jax.tree.map(chosen, new, old)
