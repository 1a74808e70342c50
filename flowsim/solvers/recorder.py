"""Turning integrated states into what a trajectory keeps, piece by piece as they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.problem import network
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array
from flowsim.solvers.stepper import Integrator
from flowsim.solvers.storage import Series, Store

LAYERED = ("imbalance", "squared_norm")


class Recorder:
    """Collects W, its loss and singular values, imbalance and layers, in order of time.

    Only what is asked for is kept, and matrices go to stores, so memory follows neither what is
    computed nor how many matrices are saved.
    """

    def __init__(
        self,
        measurer: Integrator,
        saved: np.ndarray,
        keep: np.ndarray,
        between: int,
        shape: tuple[int, ...],
        layers: Sequence[tuple[int, ...]],
        *,
        measures: bool,
    ) -> None:
        """Take what measures states, the saved times, which keep W, and how many others come.

        States at times outside `saved` keep their W alone, of this `shape`. `layers` are the shapes
        of those to keep, none if they are not. Without `measures` only W is taken.
        """
        self._measurer = measurer
        self._kept_of = dict(zip(saved.tolist(), keep.tolist(), strict=True))
        self._measures = measures
        self._pieces: dict[str, list[np.ndarray]] = {}
        stop = 1  # the time of a stop is saved besides
        self._matrices = Store(int(keep.sum()) + between + stop, shape)
        self._layers = tuple(Store(saved.size + stop, layer) for layer in layers)
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
            lambda a: np.asarray(a)[: times.size], _measured(self._measurer, states)
        )
        saved = self._take_matrices(times, measured["W"])
        if self._measures and saved.any():
            for name, values in _measures(measured).items():
                self._pieces.setdefault(name, []).append(values[saved])
        if self._layers:
            for store, layer in zip(self._layers, self._measurer.unscaled(states), strict=True):
                store.append(np.asarray(layer)[: times.size][saved])

    def _take_matrices(self, times: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Store W where it is wanted; return which of the times are saved ones."""
        saved = np.array([time in self._kept_of for time in times.tolist()])
        wanted = np.array([self._kept_of.get(time, True) for time in times.tolist()])
        rows = self._matrices.count + np.cumsum(wanted) - 1
        places = len(self.times) + np.cumsum(saved) - 1
        self.times += times[saved].tolist()
        self.kept += places[saved & wanted].tolist()
        self._kept_rows += rows[saved & wanted].tolist()
        self.between_times += times[~saved].tolist()
        self._between_rows += rows[~saved].tolist()
        self._matrices.append(W[wanted])
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
        """Return W_1, …, W_N at `times`, or nothing if they are not kept."""
        return tuple(Series(store, np.arange(store.count)) for store in self._layers)

    def measures(self) -> dict[str, np.ndarray]:
        """Return the measures that were taken, by name, each at every time of `times`."""
        return {name: np.concatenate(pieces) for name, pieces in self._pieces.items()}

    def expect(self, time: float) -> None:
        """Take one more time as a saved one: the one at which the flow was stopped."""
        self._kept_of[time] = True


def _measures(measured: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return by name what is kept of every saved state, along the leading axis."""
    found = {name: measured[name] for name in ("loss", "distance", *LAYERED) if name in measured}
    return found | _spectrum(measured["W"], measured["spectrum"]) | _det_sign(measured)


def _spectrum(W: np.ndarray, exact: tuple[np.ndarray, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Return σ, and log σ where the flow holds that itself."""
    if exact is None:
        return {"singular_values": np.linalg.svd(W, compute_uv=False)}
    log_sigma, _ = exact
    return {"singular_values": np.exp(log_sigma), "log_singular_values": log_sigma}


def _det_sign(measured: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the sign of det W, -1, 0 or 1, of square W: as the flow or the layers tell it."""
    W = measured["W"]
    if W.shape[1] != W.shape[2]:
        return {}
    if "det_sign" in measured:
        return {"det_sign": measured["det_sign"]}
    exact = measured["spectrum"]
    return {"det_sign": np.linalg.slogdet(W).sign if exact is None else exact[1]}


@eqx.filter_jit
def _measured(integrator: Integrator, states: State) -> Any:
    """Return W and its measures of each of the states along the leading axis."""

    def one(y: State) -> dict[str, Any]:
        state, W = integrator.unscaled(y), integrator.end_to_end(y)
        measured = {
            "W": W,
            "loss": integrator.loss.value(W),
            "distance": distance_to_target(integrator.loss, W),
            "spectrum": integrator.flow.exact_spectrum(state),
        }
        if integrator.flow.space != "layers":
            return measured
        measured |= {
            "imbalance": network.imbalance(state),
            "squared_norm": network.squared_norm(state),
        }
        square = W.shape[0] == W.shape[1]
        return measured | ({"det_sign": network.det_sign(state)} if square else {})

    return jax.lax.map(one, states)


def distance_to_target(loss: Loss, W: Array) -> Array:
    """Return ‖W - Φ‖_F, or nan for a loss without a target Φ."""
    return jnp.asarray(jnp.nan) if loss.target is None else jnp.linalg.norm(W - loss.target)
