"""Gradient descent W_j ← W_j - η (∂φ/∂W_j + λ W_j), without approximation, at many step sizes.

Other update rules (`flowsim.dynamics.update_rules`) receive the same gradients: weight decay λ is
always coupled, the gradient of (λ/2) Σ‖W_j‖²_F. With noise (`flowsim.problem.gradient_noise`) the
gradient of the loss is an estimate, drawn independently at every step, from the same ζ_k at every
step size.
"""

from __future__ import annotations

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from flowsim.dynamics.accumulators import (
    Accumulated,
    Accumulator,
    ManyLayers,
    Step,
    StepSizes,
)
from flowsim.dynamics.update_rules import Gradient, Memory, Rule
from flowsim.problem import network
from flowsim.problem.gradient_noise import Stream
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers, Scalar

Iterations: TypeAlias = Int[Array, " step_size"]


class Iterates(eqx.Module):
    """The state of descent at every step size; each array has a leading step-size axis.

    Attributes
    ----------
    layers
        W_1, …, W_N.
    iteration
        The number k of steps taken.
    memory
        What the update rule keeps of earlier gradients.
    accumulated
        What the accumulator holds.
    alive
        Whether the step size has not diverged; the others stay at their last finite iterate.

    """

    layers: ManyLayers
    iteration: Iterations
    memory: Memory
    accumulated: Accumulated
    alive: Bool[Array, " step_size"]


class Descent(eqx.Module):
    """Descent on φ(W_1..W_N) = ℓ(W_N⋯W_1) by one update rule at several step sizes at once.

    Attributes
    ----------
    loss
        ℓ.
    step_sizes
        η; their dtype is the precision of all iterates.
    rule
        The update rule.
    weight_decay
        λ.
    ceiling
        The loss above which a step size has diverged (`flowsim.solvers.iterate`).
    accumulator
        What is gathered over all steps.
    noise
        The noise of the gradient, or None.

    """

    loss: Loss
    step_sizes: StepSizes
    rule: Rule
    weight_decay: Array
    ceiling: Array
    accumulator: Accumulator
    noise: Stream | None = None

    @eqx.filter_jit
    def initial_iterates(self, layers: Layers) -> Iterates:
        """Return the same layers at every step size, at iteration 0 and with velocity 0."""
        count, dtype = self.step_sizes.shape[0], self.step_sizes.dtype
        stacked = tuple(
            jnp.broadcast_to(jnp.asarray(W, dtype=dtype), (count, *W.shape)) for W in layers
        )
        return Iterates(
            layers=stacked,
            iteration=jnp.zeros(count, dtype=int),
            memory=jax.vmap(self.rule.initial_memory)(stacked),
            accumulated=self.accumulator.initial(self.loss, stacked),
            alive=jnp.ones(count, dtype=bool),
        )

    @eqx.filter_jit
    def advance(self, iterates: Iterates, until: Iterations, budget: Array) -> Iterates:
        """Return the iterates at iteration `until` of each step size, or `budget` steps later.

        A step size that diverges stays at its last finite iterate with `alive` false, and does not
        affect the others.
        """
        # one loop for all step sizes, as long as the longest; those that are done stay as they are
        remaining = jnp.where(iterates.alive, until - iterates.iteration, 0)
        count = jnp.minimum(budget, remaining.max())
        advanced: Iterates = jax.lax.fori_loop(
            0, count, lambda _, current: self._advance_once(current, until), iterates
        )
        return advanced

    def _advance_once(self, current: Iterates, until: Iterations) -> Iterates:
        """Return the next iterates of the step sizes that are alive and not yet at `until`."""
        layers, memory, losses = jax.vmap(self._step)(
            self.step_sizes, current.layers, current.memory, current.iteration
        )
        step = Step(self.step_sizes, current.layers, layers, losses, current.iteration + 1)
        accumulated = self.accumulator.update(self.loss, step, current.accumulated)
        due = current.alive & (current.iteration < until)
        finite = jnp.isfinite(losses) & (losses <= self.ceiling)
        # a step that is not due is computed like the others but discarded, so it cannot diverge
        alive = current.alive & (finite | ~due)
        advanced = Iterates(layers, step.iteration, memory, accumulated, alive)
        return _where(due & finite, advanced, eqx.tree_at(lambda it: it.alive, current, alive))

    def _step(
        self, eta: Scalar, layers: Layers, memory: Memory, k: Int[Array, ""]
    ) -> tuple[Layers, Memory, Scalar]:
        """Return W_{k+1}, the rule's memory and the loss there, for one step size."""
        layers, memory = self.rule.step(layers, self._gradient(k), memory, eta)
        return layers, memory, self.loss.at(layers, network.end_to_end(layers))

    def _gradient(self, k: Int[Array, ""]) -> Gradient:
        """Return layers ↦ ∂φ/∂W_j + λ W_j of every layer, with the noise of step k if any."""
        noisy = None if self.noise is None else self.noise.gradient(k)

        def gradient(layers: Layers) -> Layers:
            gradients = self.loss.layer_gradients(layers, noisy)
            return tuple(g + self.weight_decay * W for g, W in zip(gradients, layers, strict=True))

        return gradient


def _where(keep: Bool[Array, " step_size"], new: Iterates, old: Iterates) -> Iterates:
    """Return the new arrays at the step sizes to keep, the old ones at the others."""

    def select(fresh: Array, stale: Array) -> Array:
        return jnp.where(keep.reshape(-1, *(1,) * (fresh.ndim - 1)), fresh, stale)

    selected: Iterates = jax.tree.map(select, new, old)
    return selected
