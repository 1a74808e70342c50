"""The gradient noise of a scenario's descent, and the random keys that it is drawn with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Key

from flowsim.problem.gradient_noise import Batches, LabelNoise, Noise, Stream
from flowsim.problem.types import Array
from flowsim.scenario.build.loss_data import generator
from flowsim.scenario.build.problem import loss_data, training

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def stream(scenario: Scenario) -> Stream | None:
    """Return the gradient noise of the first run, or None without noise."""
    noise = of(scenario)
    return None if noise is None else Stream(noise, keys(scenario, "noise", 1)[0])


def keys(scenario: Scenario, name: str, count: int) -> Key[Array, " run"]:
    """Return the keys of the draw called `name` for `count` runs; key i depends on no other."""
    root = jax.random.key(int(generator(scenario.seed, name).integers(2**63)))
    drawn: Key[Array, " run"] = jax.vmap(lambda r: jax.random.fold_in(root, r))(jnp.arange(count))
    return drawn


def of(scenario: Scenario) -> Noise | None:
    """Return the batches, the label noise, or both of `[descent]`."""
    spec = scenario.descent
    if spec is None or not spec.noisy:
        return None
    deviation = None if spec.label_noise is None else jnp.asarray(spec.label_noise)
    loss, samples = training(scenario)
    if spec.batch is None:
        assert deviation is not None
        # noise of deviation s on m samples is noise of s/√m on the compressed least squares
        count = 1 if samples is None else samples.X.shape[1]
        return LabelNoise(loss, deviation / math.sqrt(count))
    sampled = scenario.loss.build_sampled(loss_data(scenario, samples))
    return Batches(sampled, spec.batch, deviation)
