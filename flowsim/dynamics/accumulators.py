"""What is added up over the steps of descent, beside its layers: a tally, at every step size."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array

StepSizes: TypeAlias = Float[Array, " step_size"]
ManyLayers: TypeAlias = tuple[Float[Array, "step_size _ _"], ...]
"""W_1, …, W_N of every step size."""

Sums: TypeAlias = Any
"""A tree of arrays, each with a leading step-size axis."""


class Taken(NamedTuple):
    """A step at every step size: from which layers to which, the loss there, and its number."""

    step_sizes: StepSizes
    before: ManyLayers
    after: ManyLayers
    loss: Float[Array, " step_size"]
    iteration: Int[Array, " step_size"]


class Tally(eqx.Module):
    """What is added up. A step at which a step size diverges is not counted there."""

    @abc.abstractmethod
    def start(self, loss: Loss, layers: ManyLayers) -> Sums:
        """Return the sums before the first step."""

    @abc.abstractmethod
    def after(self, loss: Loss, step: Taken, sums: Sums) -> Sums:
        """Return the sums after one more step."""


class Nothing(Tally):
    """Adds up nothing."""

    def start(self, loss: Loss, layers: ManyLayers) -> Sums:  # noqa: ARG002
        """Return no sums."""
        return ()

    def after(self, loss: Loss, step: Taken, sums: Sums) -> Sums:  # noqa: ARG002
        """Return no sums."""
        return sums


class Below(NamedTuple):
    """When the loss came to be at most each wanted one.

    `first` is the first iteration with ℓ ≤ the wanted loss, -1 before that; `since` the one from
    which on it stayed there, the next iteration while it is above.
    """

    first: Int[Array, "step_size level"]
    since: Int[Array, "step_size level"]


class Watching(Tally):
    """Watches when the loss comes to be at most each of some wanted ones, and stays there."""

    wanted: Float[Array, " level"]

    def start(self, loss: Loss, layers: ManyLayers) -> Below:
        """Return which losses the start is below."""
        values = jax.vmap(lambda W: loss.value(network.end_to_end(W)))(layers)
        low = values[:, None] <= self.wanted[None, :]
        return Below(first=jnp.where(low, 0, -1), since=jnp.where(low, 0, 1))

    def after(self, loss: Loss, step: Taken, sums: Below) -> Below:  # noqa: ARG002
        """Return which losses are reached for the first time, and which are not kept."""
        low, k = step.loss[:, None] <= self.wanted[None, :], step.iteration[:, None]
        return Below(
            first=jnp.where(low & (sums.first < 0), k, sums.first),
            since=jnp.where(low, sums.since, k + 1),
        )


class Highest(Tally):
    """Keeps the highest loss of all iterates so far."""

    def start(self, loss: Loss, layers: ManyLayers) -> Float[Array, " step_size"]:
        """Return the loss of the start."""
        return jax.vmap(lambda W: loss.value(network.end_to_end(W)))(layers)

    def after(
        self,
        loss: Loss,  # noqa: ARG002
        step: Taken,
        sums: Float[Array, " step_size"],
    ) -> Float[Array, " step_size"]:
        """Return the highest loss, the step's own counted."""
        return jnp.maximum(sums, step.loss)
