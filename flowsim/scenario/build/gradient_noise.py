"""The noise that a scenario puts on descent's gradient, and the keys that it is drawn by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Key

from flowsim.problem.types import Array
from flowsim.problem.losses import Completion, LeastSquares, PowerRegression
from flowsim.problem.gradient_noise import Batches, LabelNoise, Noise, Stream
from flowsim.problem.samples import Entries
from flowsim.scenario.build.problem import training
from flowsim.scenario.build.randomness import generator

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def stream(scenario: Scenario) -> Stream | None:
    """Return the noise of descent as its first run draws it, or None where there is none."""
    noise = of(scenario)
    return None if noise is None else Stream(noise, keys(scenario, "noise", 1)[0])


def keys(scenario: Scenario, name: str, count: int) -> Key[Array, " run"]:
    """Return the keys of the draw called `name` for as many runs; more leave the first as it is."""
    root = jax.random.key(int(generator(scenario.seed, name).integers(2**63)))
    found: Key[Array, " run"] = jax.vmap(lambda r: jax.random.fold_in(root, r))(jnp.arange(count))
    return found


def of(scenario: Scenario) -> Noise | None:
    """Return the batches, the noise on labels, or both that `[descent]` asks for."""
    spec = scenario.descent
    if spec is None or not spec.noisy:
        return None
    loss, data = training(scenario)
    deviation = None if spec.label_noise is None else jnp.asarray(spec.label_noise)
    if spec.batch is None:
        assert deviation is not None
        compressed = isinstance(loss, LeastSquares) and data is not None
        count = data.X.shape[1] if compressed and data is not None else 1
        return LabelNoise(loss, deviation / math.sqrt(count))
    if isinstance(loss, LeastSquares) and data is not None:
        loss = PowerRegression(jnp.asarray(data.X), jnp.asarray(data.Y), 2.0)
    if isinstance(loss, Completion):
        loss = Entries.of(loss)
    return Batches(loss, spec.batch, deviation)
