"""Accumulators: quantities gathered over all steps of gradient descent, at every step size.

They run inside the compiled loop, so that statistics of all iterates need none of them stored.
"""

from __future__ import annotations

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

Accumulated: TypeAlias = Any
"""What an accumulator holds: a tree of arrays, each with a leading step-size axis."""


class Step(NamedTuple):
    """One step at every step size.

    Attributes
    ----------
    step_sizes
        η.
    before, after
        The layers that the step starts from and ends at.
    loss
        ℓ after the step.
    iteration
        The number k ≥ 1 of the iterate after the step.

    """

    step_sizes: StepSizes
    before: ManyLayers
    after: ManyLayers
    loss: Float[Array, " step_size"]
    iteration: Int[Array, " step_size"]


class Accumulator(eqx.Module):
    """A quantity that every step updates; this one holds no arrays.

    `Descent` discards the update of a step at which a step size diverges.
    """

    def initial(self, loss: Loss, layers: ManyLayers) -> Accumulated:  # noqa: ARG002
        """Return the quantity before the first step."""
        return ()

    def update(self, loss: Loss, step: Step, before: Accumulated) -> Accumulated:  # noqa: ARG002
        """Return the quantity after a step, given that before it."""
        return before


class Crossings(NamedTuple):
    """When the loss reached each target loss.

    Attributes
    ----------
    first
        The first iteration with ℓ ≤ target; -1 before there is one.
    since
        The iteration from which on ℓ ≤ target up to now; the next one while ℓ > target.

    """

    first: Int[Array, "step_size level"]
    since: Int[Array, "step_size level"]


class LossCrossings(Accumulator):
    """When the loss first reaches each of some target losses, and since when it is below them.

    The two differ where large steps let the loss oscillate about a target.
    """

    targets: Float[Array, " level"]

    def initial(self, loss: Loss, layers: ManyLayers) -> Crossings:
        """Return which targets the initial loss has reached."""
        reached = _losses(loss, layers)[:, None] <= self.targets[None, :]
        return Crossings(first=jnp.where(reached, 0, -1), since=jnp.where(reached, 0, 1))

    def update(self, loss: Loss, step: Step, before: Crossings) -> Crossings:  # noqa: ARG002
        """Return the crossings, those of this step included."""
        reached, k = step.loss[:, None] <= self.targets[None, :], step.iteration[:, None]
        return Crossings(
            first=jnp.where(reached & (before.first < 0), k, before.first),
            since=jnp.where(reached, before.since, k + 1),
        )


class HighestLoss(Accumulator):
    """The highest loss of all iterates so far."""

    def initial(self, loss: Loss, layers: ManyLayers) -> Float[Array, " step_size"]:
        """Return the initial loss."""
        return _losses(loss, layers)

    def update(
        self,
        loss: Loss,  # noqa: ARG002
        step: Step,
        before: Float[Array, " step_size"],
    ) -> Float[Array, " step_size"]:
        """Return the highest loss, that after this step included."""
        return jnp.maximum(before, step.loss)


def _losses(loss: Loss, layers: ManyLayers) -> Float[Array, " step_size"]:
    """Return ℓ at every step size."""
    return jax.vmap(lambda W: loss.at(W, network.end_to_end(W)))(layers)
