"""Gradient descent once more, for measures that need its layers or a sum over all its steps.

No layers of a run's descent are kept. They are computed again, W_j ← W_j - η(∂φ/∂W_j + λW_j) in
float64 from the same start, with the same test of divergence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from flowsim import network
from flowsim.arrays import Array, Layers, Scalar
from flowsim.descending import ceiling
from flowsim.dynamics.descent import ManyLayers, Remaining, StepSizes
from flowsim.integration import finished
from flowsim.losses import Loss
from flowsim.pacing import Pacing
from flowsim.problem import Problem
from flowsim.task import Interrupted, Watcher

Sums: TypeAlias = Any
"""A tree of arrays."""


class Tally(Protocol):
    """What is summed up over the steps."""

    def start(self, layers: Layers) -> Sums:
        """Return the sums before the first step."""

    def after(self, loss: Loss, eta: Scalar, layers: Layers, sums: Sums) -> Sums:
        """Return the sums after one more step, of size η from these layers."""


class Nothing(eqx.Module):
    """Sums up nothing."""

    def start(self, layers: Layers) -> Sums:  # noqa: ARG002
        """Return no sums."""
        return ()

    def after(self, loss: Loss, eta: Scalar, layers: Layers, sums: Sums) -> Sums:  # noqa: ARG002
        """Return no sums."""
        return sums


class Iterates(eqx.Module):
    """The layers and sums of every step size; each array has a leading step-size axis."""

    layers: ManyLayers
    sums: Sums
    alive: Bool[Array, " step_size"]


class Steps(eqx.Module):
    """Steps of gradient descent at several step sizes η, and a tally of them."""

    loss: Loss
    step_sizes: StepSizes
    weight_decay: Array
    ceiling: Array
    tally: Tally

    @classmethod
    def of(cls, problem: Problem, step_sizes: Sequence[float], tally: Tally) -> Steps:
        """Return the steps on a problem."""
        return cls(
            loss=problem.loss,
            step_sizes=np.asarray(step_sizes, dtype=float),
            weight_decay=np.asarray(problem.weight_decay),
            ceiling=ceiling(problem, np.dtype(float)),
            tally=tally,
        )

    def start(self, layers: Layers) -> Iterates:
        """Return every step size at the starting layers."""
        count = len(self.step_sizes)
        layers, sums = jax.tree.map(
            lambda A: jnp.broadcast_to(A, (count, *jnp.shape(A))),
            (tuple(layers), self.tally.start(layers)),
        )
        return Iterates(layers=layers, sums=sums, alive=jnp.ones(count, dtype=bool))

    @eqx.filter_jit
    def advance(self, iterates: Iterates, remaining: Remaining, budget: Array) -> Iterates:
        """Take min(`remaining`, `budget`) steps at each step size; freeze where one diverges."""

        def body(k: Array, current: Iterates) -> Iterates:
            state = current.layers, current.sums
            # one after the other: batched decompositions in a tally can deadlock on few cores
            *moved, good = jax.lax.map(lambda of: self._step(*of), (self.step_sizes, *state))
            wanted = current.alive & (k < remaining)
            layers, sums = jax.tree.map(
                lambda new, old: jnp.where(_along(wanted & good, new), new, old),
                tuple(moved),
                state,
            )
            return Iterates(layers=layers, sums=sums, alive=current.alive & (good | ~wanted))

        count = jnp.minimum(budget, remaining.max())
        advanced: Iterates = jax.lax.fori_loop(0, count, body, iterates)
        return advanced

    def _step(self, eta: Scalar, layers: Layers, sums: Sums) -> tuple[Layers, Sums, Array]:
        gradients = network.layer_gradients(layers, self.loss.gradient)
        moved = tuple(
            W - eta * (g + self.weight_decay * W) for g, W in zip(gradients, layers, strict=True)
        )
        value = self.loss.value(network.end_to_end(moved))
        sums = self.tally.after(self.loss, eta, layers, sums)
        return moved, sums, jnp.isfinite(value) & (value <= self.ceiling)


def _along(keep: Array, array: Array) -> Array:
    return keep.reshape(-1, *(1,) * (array.ndim - 1))


def walk(
    steps: Steps,
    layers: Layers,
    count: np.ndarray,
    visit: Callable[[int, int, Layers, Sums], None],
    *,
    watch: Watcher,
    interrupted: Interrupted,
) -> None:
    """Go to the iterations `count(step_size, sample)`, and `visit` every step size at each.

    `visit(k, sample, layers, sums)` is called with step size k's own layers and sums, unless it has
    diverged. Work is done in pieces of a fraction of a second, after which interrupts are heard.
    """
    iterates = steps.start(layers)
    finished(steps.advance(iterates, np.zeros(len(count), int), np.asarray(0)))
    pacing, samples = Pacing(steps, iterates), count.shape[1]
    before = np.zeros(len(count), int)
    for sample in range(samples):
        remaining = np.where(np.asarray(iterates.alive), count[:, sample] - before, 0)
        while remaining.any():
            if interrupted():
                return
            started, piece = time.perf_counter(), pacing.piece
            iterates = finished(steps.advance(iterates, remaining, np.asarray(piece)))
            pacing.learn(min(piece, int(remaining.max())), time.perf_counter() - started)
            remaining = np.where(np.asarray(iterates.alive), np.maximum(remaining - piece, 0), 0)
        before = count[:, sample]
        found = jax.tree.map(np.asarray, (iterates.layers, iterates.sums))
        for k in np.flatnonzero(np.asarray(iterates.alive)):
            visit(int(k), sample, *jax.tree.map(lambda A, k=k: A[k], found))
        watch((sample + 1) / samples)
