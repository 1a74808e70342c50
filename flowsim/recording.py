"""Turning integrated states into what a trajectory keeps, piece by piece as they arrive."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim import network
from flowsim.arrays import Array
from flowsim.dynamics import State
from flowsim.integrator import Integrator
from flowsim.losses import Loss


class Recorder:
    """Collects W, its loss and singular values, imbalance and layers, in order of time.

    Only what is asked for is kept, so memory follows what is saved, not what is computed.
    """

    def __init__(
        self, saved: np.ndarray, keep: np.ndarray, *, layers: bool, measures: bool
    ) -> None:
        """Take the saved times, which of them keep their W, and whether to keep layers.

        States at times outside `saved` keep their W alone. Without `measures` only W is taken.
        """
        self._kept_of = dict(zip(saved.tolist(), keep.tolist(), strict=True))
        self._layers_wanted, self._measures = layers, measures
        self.times: list[float] = []
        self.kept: list[int] = []
        self.matrices: list[np.ndarray] = []
        self.loss: list[float] = []
        self.singular_values: list[np.ndarray] = []
        self.distance: list[float] = []
        self.imbalance: list[np.ndarray] = []
        self.layers: list[tuple[np.ndarray, ...]] = []
        self.between_times: list[float] = []
        self.between: list[np.ndarray] = []

    def take(self, integrator: Integrator, times: np.ndarray, states: State) -> None:
        """Record the scaled states (leading axis: at least as long as `times`) at `times`."""
        if times.size == 0:
            return
        W, loss, distance, imbalance = (np.asarray(a) for a in _measured(integrator, states))
        sigma = np.linalg.svd(W[: times.size], compute_uv=False) if self._measures else W
        layers = integrator.unscaled(states) if self._layers_wanted else ()
        for i, time in enumerate(times.tolist()):
            if time not in self._kept_of:
                self.between_times.append(time)
                self.between.append(W[i].copy())
                continue
            if self._kept_of[time]:
                self.kept.append(len(self.times))
                self.matrices.append(W[i].copy())
            self.times.append(time)
            if self._measures:
                self.loss.append(float(loss[i]))
                self.singular_values.append(sigma[i])
                self.distance.append(float(distance[i]))
                self.imbalance.append(imbalance[i])
            if self._layers_wanted:
                self.layers.append(tuple(np.asarray(layer[i]) for layer in layers))

    def expect(self, time: float) -> None:
        """Take one more time as a saved one: the one at which the flow was stopped."""
        self._kept_of[time] = True


@eqx.filter_jit
def _measured(integrator: Integrator, states: State) -> Any:
    """Return W, ℓ(W), ‖W - Φ‖_F and, for layers, the imbalance, along the leading axis."""

    def one(y: State) -> tuple[Array, Array, Array, Array]:
        W = integrator.end_to_end(y)
        layered = integrator.flow.space == "layers"
        imbalance = network.imbalance(integrator.unscaled(y)) if layered else jnp.zeros(0)
        return W, integrator.loss.value(W), distance_to_target(integrator.loss, W), imbalance

    return jax.lax.map(one, states)


def distance_to_target(loss: Loss, W: Array) -> Array:
    """Return ‖W - Φ‖_F, or nan for a loss without a target Φ."""
    return jnp.asarray(jnp.nan) if loss.target is None else jnp.linalg.norm(W - loss.target)
