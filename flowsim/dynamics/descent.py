"""Descent: W_j ← W_j - η (∂φ/∂W_j + λ W_j), exactly, for many step sizes at once.

Or by another rule (`flowsim.dynamics.update_rules`), which is given the same gradients: weight
decay λ is always coupled, the gradient of (λ/2) Σ‖W_j‖²_F. With noise
(`flowsim.problem.gradient_noise`) the loss's gradient is an estimate that is drawn anew at every
step, from the same ζ_k at every step size.
"""

from __future__ import annotations

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from flowsim.dynamics.accumulators import ManyLayers, StepSizes, Sums, Taken, Tally
from flowsim.dynamics.update_rules import Gradient, Memory, Rule
from flowsim.problem import network
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Scalar

Iterations: TypeAlias = Int[Array, " step_size"]

DIVERGED_FACTOR = 1e12
"""Descent has diverged once its loss is that many times max(|ℓ(W_0)|, |ℓ(0)|), or not finite."""


class Iterates(eqx.Module):
    """The layers of every step size, how many steps it has taken, and what is remembered of them.

    `memory` is the rule's, `sums` the tally's. Each array has a leading step-size axis.
    """

    layers: ManyLayers
    taken: Iterations
    memory: Memory
    sums: Sums
    alive: Bool[Array, " step_size"]


class Descent(eqx.Module):
    """Descent on φ(W_1..W_N) = ℓ(W_N⋯W_1) at several step sizes η, by one rule, with a tally."""

    loss: Loss
    step_sizes: StepSizes
    rule: Rule
    weight_decay: Array
    ceiling: Array
    tally: Tally
    noise: Stream | None = None

    @eqx.filter_jit
    def start(self, layers: Layers) -> Iterates:
        """Return every step size at the starting layers, at rest."""
        count, dtype = self.step_sizes.shape[0], self.step_sizes.dtype
        stacked = tuple(
            jnp.broadcast_to(jnp.asarray(W, dtype=dtype), (count, *W.shape)) for W in layers
        )
        return Iterates(
            layers=stacked,
            taken=jnp.zeros(count, dtype=int),
            memory=jax.vmap(self.rule.start)(stacked),
            sums=self.tally.start(self.loss, stacked),
            alive=jnp.ones(count, dtype=bool),
        )

    @eqx.filter_jit
    def advance(self, iterates: Iterates, until: Iterations, budget: Array) -> Iterates:
        """Go on to the iteration `until` at each step size, by `budget` steps at most.

        A step size that diverges is frozen at its last good iterate with `alive` false, and does
        not touch the others.
        """
        remaining = jnp.where(iterates.alive, until - iterates.taken, 0)
        count = jnp.minimum(budget, remaining.max())
        advanced: Iterates = jax.lax.fori_loop(
            0, count, lambda _, current: self._moved(current, until), iterates
        )
        return advanced

    def _moved(self, current: Iterates, until: Iterations) -> Iterates:
        """Return the next iterates, where they are wanted and good."""
        layers, memory, losses = jax.vmap(self._step)(
            self.step_sizes, current.layers, current.memory, current.taken
        )
        step = Taken(self.step_sizes, current.layers, layers, losses, current.taken + 1)
        sums = self.tally.after(self.loss, step, current.sums)
        wanted = current.alive & (current.taken < until)
        good = jnp.isfinite(losses) & (losses <= self.ceiling)
        alive = current.alive & (good | ~wanted)
        moved = Iterates(layers, step.iteration, memory, sums, alive)
        stayed = Iterates(current.layers, current.taken, current.memory, current.sums, alive)
        return _where(wanted & good, moved, stayed)

    def _step(
        self, eta: Scalar, layers: Layers, memory: Memory, k: Int[Array, ""]
    ) -> tuple[Layers, Memory, Scalar]:
        moves, memory = self.rule.moves(eta, self._gradient(k), memory, layers)
        layers = tuple(W + move for W, move in zip(layers, moves, strict=True))
        return layers, memory, self.loss.value(network.end_to_end(layers))

    def _gradient(self, k: Int[Array, ""]) -> Gradient:
        """Return the gradient that step k goes by, ∂φ/∂W_j + λ W_j of every layer."""
        of_loss = self.loss.gradient if self.noise is None else self.noise.gradient(k)

        def gradient(layers: Layers) -> Layers:
            gradients = network.layer_gradients(layers, of_loss)
            return tuple(g + self.weight_decay * W for g, W in zip(gradients, layers, strict=True))

        return gradient


def _where(keep: Bool[Array, " step_size"], new: Iterates, old: Iterates) -> Iterates:
    """Return the new arrays where a step size keeps them, along their leading axis."""

    def chosen(fresh: Array, stale: Array) -> Array:
        return jnp.where(keep.reshape(-1, *(1,) * (fresh.ndim - 1)), fresh, stale)

    found: Iterates = jax.tree.map(chosen, new, old)
    return found
