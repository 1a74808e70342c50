"""Gradient descent: W_j ← W_j - η ∂φ/∂W_j, exactly, for many step sizes at once.

With momentum μ (heavy ball, Polyak 1964): V_j ← μ V_j - η (∂φ/∂W_j + λ W_j), W_j ← W_j + V_j.
"""

from __future__ import annotations

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from flowsim import network
from flowsim.arrays import Array, Layers
from flowsim.losses import Loss

StepSizes: TypeAlias = Float[Array, " step_size"]
Remaining: TypeAlias = Int[Array, " step_size"]
ManyLayers: TypeAlias = tuple[Float[Array, "step_size _ _"], ...]
"""W_1, …, W_N of every step size."""

DIVERGED_FACTOR = 1e12
"""Descent has diverged once its loss is that many times max(|ℓ(W_0)|, |ℓ(0)|), or not finite."""


class Iterates(eqx.Module):
    """The layers and velocities of every step size; each array has a leading step-size axis."""

    layers: ManyLayers
    velocities: ManyLayers
    alive: Bool[Array, " step_size"]


class Descent(eqx.Module):
    """Gradient descent on φ(W_1..W_N) = ℓ(W_N⋯W_1) at several step sizes η."""

    loss: Loss
    step_sizes: StepSizes
    momentum: Array
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
            velocities=tuple(jnp.zeros_like(W) for W in stacked),
            alive=jnp.ones(count, dtype=bool),
        )

    @eqx.filter_jit
    def advance(self, iterates: Iterates, remaining: Remaining, budget: Array) -> Iterates:
        """Take min(`remaining`, `budget`) iterations at each step size.

        A step size that diverges is frozen at its last good iterate with `alive` false, and does
        not touch the others.
        """

        def body(k: Array, current: Iterates) -> Iterates:
            moved = jax.vmap(self._step)(self.step_sizes, current.layers, current.velocities)
            wanted = current.alive & (k < remaining)
            good = moved[2]
            keep = wanted & good
            return Iterates(
                layers=_where(keep, moved[0], current.layers),
                velocities=_where(keep, moved[1], current.velocities),
                alive=current.alive & (good | ~wanted),
            )

        count = jnp.minimum(budget, remaining.max())
        advanced: Iterates = jax.lax.fori_loop(0, count, body, iterates)
        return advanced

    def _step(self, eta: Array, layers: Layers, velocities: Layers) -> tuple[Layers, Layers, Array]:
        gradients = network.layer_gradients(layers, self.loss.gradient)
        velocities = tuple(
            self.momentum * V - eta * (g + self.weight_decay * W)
            for V, g, W in zip(velocities, gradients, layers, strict=True)
        )
        layers = tuple(W + V for W, V in zip(layers, velocities, strict=True))
        value = self.loss.value(network.end_to_end(layers))
        return layers, velocities, jnp.isfinite(value) & (value <= self.ceiling)


def _where(keep: Array, new: ManyLayers, old: ManyLayers) -> ManyLayers:
    return tuple(
        jnp.where(keep[:, None, None], fresh, stale) for fresh, stale in zip(new, old, strict=True)
    )
