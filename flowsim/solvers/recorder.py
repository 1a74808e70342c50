"""Recording of integrated states, batch by batch, in the form that a trajectory keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array
from flowsim.solvers.options import SaveAt
from flowsim.solvers.storage import Series, Store
from flowsim.solvers.system import ScaledFlow

OF_LAYERS = ("imbalance", "squared_norm")
"""Measures that exist in layer space only."""


class Recorder:
    """A record of W, its loss and singular values, imbalance and layers, in order of time.

    Only requested quantities are kept, and matrices go to stores. Memory thus depends neither on
    the number of computed quantities nor on that of saved matrices.

    Parameters
    ----------
    system
        Evaluates W and the measures of scaled states.
    save
        The times and the quantities to save. At its times `between`, only W is saved.
    shape
        The shape of W.

    """

    def __init__(self, system: ScaledFlow, save: SaveAt, shape: tuple[int, ...]) -> None:
        self._system, self._measures = system, save.measures
        self._kept_of = dict(zip(save.saved.tolist(), save.keep.tolist(), strict=True))
        self._batches: dict[str, list[np.ndarray]] = {}
        stop = 1  # the time of a stop at a loss is saved besides
        between = save.times.size - save.saved.size
        self._matrices = Store(int(save.keep.sum()) + between + stop, shape)
        layers = system.shapes if save.layers and system.flow.space == "layers" else ()
        self._layers = tuple(Store(save.saved.size + stop, layer) for layer in layers)
        self.times: list[float] = []
        self.kept: list[int] = []
        self.between_times: list[float] = []
        self._kept_rows: list[int] = []
        self._between_rows: list[int] = []

    def take(self, times: np.ndarray, states: State) -> None:
        """Record the scaled states (leading axis: at least as long as `times`) at `times`."""
        if times.size == 0:
            return
        measured = jax.tree.map(
            lambda a: np.asarray(a)[: times.size], _measured(self._system, states)
        )
        saved = self._take_matrices(times, measured["W"])
        if self._measures and saved.any():
            for name, values in _measures(measured).items():
                self._batches.setdefault(name, []).append(values[saved])
        if self._layers:
            for store, layer in zip(self._layers, self._system.unscaled(states), strict=True):
                store.append(np.asarray(layer)[: times.size][saved])

    def _take_matrices(self, times: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Store W where it is kept, and return the mask of the times at which all is saved."""
        saved = np.array([time in self._kept_of for time in times.tolist()])
        kept = np.array([self._kept_of.get(time, True) for time in times.tolist()])
        rows = self._matrices.count + np.cumsum(kept) - 1
        places = len(self.times) + np.cumsum(saved) - 1
        self.times += times[saved].tolist()
        self.kept += places[saved & kept].tolist()
        self._kept_rows += rows[saved & kept].tolist()
        self.between_times += times[~saved].tolist()
        self._between_rows += rows[~saved].tolist()
        self._matrices.append(W[kept])
        return saved

    @property
    def end_to_end(self) -> Series:
        """Return W at the times of `kept`."""
        return Series(self._matrices, np.array(self._kept_rows, dtype=int))

    @property
    def between(self) -> Series:
        """Return W at `between_times`."""
        return Series(self._matrices, np.array(self._between_rows, dtype=int))

    @property
    def layers(self) -> tuple[Series, ...]:
        """Return W_1, …, W_N at `times`, or () if they are not kept."""
        return tuple(Series(store, np.arange(store.count)) for store in self._layers)

    def measures(self) -> dict[str, np.ndarray]:
        """Return the recorded measures by name, each at every time of `times`."""
        return {name: np.concatenate(batches) for name, batches in self._batches.items()}

    def expect(self, time: float) -> None:
        """Add one more saved time: the time of the stop at a loss."""
        self._kept_of[time] = True


def _measures(measured: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the measures of states along the leading axis, by name."""
    direct = {name: measured[name] for name in ("loss", "distance", *OF_LAYERS) if name in measured}
    return direct | _spectrum(measured["W"], measured["spectrum"]) | _det_sign(measured)


def _spectrum(W: np.ndarray, exact: tuple[np.ndarray, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return σ, and log σ where it is part of the state."""
    if exact is None:
        return {"singular_values": np.linalg.svd(W, compute_uv=False)}
    log_sigma, _ = exact
    return {"singular_values": np.exp(log_sigma), "log_singular_values": log_sigma}


def _det_sign(measured: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the sign of det W, -1, 0 or 1, of square W.

    From the state or the layers where possible: det W itself underflows for small W.
    """
    W = measured["W"]
    if W.shape[1] != W.shape[2]:
        return {}
    if "det_sign" in measured:
        return {"det_sign": measured["det_sign"]}
    exact = measured["spectrum"]
    return {"det_sign": np.linalg.slogdet(W).sign if exact is None else exact[1]}


@eqx.filter_jit
def _measured(system: ScaledFlow, states: State) -> Any:
    """Return W and its measures of each of the states along the leading axis."""

    def one(y: State) -> dict[str, Any]:
        state, W = system.unscaled(y), system.end_to_end(y)
        measured = {
            "W": W,
            "loss": system.loss.value(W),
            "distance": distance_to_target(system.loss, W),
            "spectrum": system.flow.exact_spectrum(state),
        }
        if system.flow.space != "layers":
            return measured
        measured |= {
            "imbalance": network.imbalance(state),
            "squared_norm": network.squared_norm(state),
        }
        square = W.shape[0] == W.shape[1]
        return measured | ({"det_sign": network.det_sign(state)} if square else {})

    # one after the other: vmap of the products is slower on a CPU, and not bitwise the same
    return jax.lax.map(one, states)


def distance_to_target(loss: Loss, W: Array) -> Array:
    """Return ‖W - Φ‖_F, or nan for a loss without a target Φ."""
    return jnp.asarray(jnp.nan) if loss.target is None else jnp.linalg.norm(W - loss.target)
