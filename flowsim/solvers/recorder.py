"""Recording of integrated states, batch by batch, in the form that a trajectory keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from flowsim.dynamics.flow import State
from flowsim.problem import network
from flowsim.problem.losses import Completion
from flowsim.solvers.options import SaveAt
from flowsim.solvers.storage import Series, Store
from flowsim.solvers.system import ScaledFlow, distance_to_target, unobserved_error


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
        self._times: list[float] = []
        self._losses: list[np.ndarray] = []
        self._saved: list[bool] = []
        self._rows: list[int] = []

    def take(self, times: np.ndarray, states: State) -> None:
        """Record the scaled states (leading axis: at least as long as `times`) at `times`."""
        if times.size == 0:
            return
        measured = jax.tree.map(
            lambda a: np.asarray(a)[: times.size], _measured(self._system, states)
        )
        saved = np.array([time in self._kept_of for time in times.tolist()])
        kept = np.array([self._kept_of.get(time, True) for time in times.tolist()])
        self._times += times.tolist()
        self._saved += saved.tolist()
        self._rows += np.where(kept, self._matrices.count + np.cumsum(kept) - 1, -1).tolist()
        self._matrices.append(measured["W"][kept])
        self._losses.append(measured["loss"])
        if self._measures and saved.any():
            for name, values in _measures(measured).items():
                self._batches.setdefault(name, []).append(values[saved])
        if self._layers:
            for store, layer in zip(self._layers, self._system.unscaled(states), strict=True):
                store.append(np.asarray(layer)[: times.size][saved])

    def expect(self, time: float) -> None:
        """Add one more saved time: the time of the stop at a loss."""
        self._kept_of[time] = True

    def recorded(self) -> dict[str, Any]:
        """Return the recorded quantities by their names in a `Trajectory`."""
        times, saved = np.array(self._times), np.array(self._saved, dtype=bool)
        rows = np.array(self._rows, dtype=int)
        kept, losses = (
            np.flatnonzero(rows[saved] >= 0),
            np.concatenate([np.zeros(0), *self._losses]),
        )
        return {
            "times": times[saved],
            "kept": kept,
            "end_to_end_series": Series(self._matrices, rows[saved][kept]),
            "between": (times[~saved], Series(self._matrices, rows[~saved])),
            "between_loss": losses[~saved],
            "loss": losses[saved],
            "layer_series": tuple(Series(s, np.arange(s.count)) for s in self._layers) or None,
            **{name: np.concatenate(batches) for name, batches in self._batches.items()},
        }


def _measures(measured: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the measures of states along the leading axis, by name.

    σ, and log σ and the sign of det W, are taken from the state where it holds them, and the sign
    from the layers where possible: det W itself underflows for small W.
    """
    W, exact = measured["W"], measured["spectrum"]
    measures = {
        name: values for name, values in measured.items() if name not in ("W", "loss", "spectrum")
    }
    if exact is None:
        measures["singular_values"] = np.linalg.svd(W, compute_uv=False)
    else:
        measures["singular_values"] = np.exp(exact[0])
        measures["log_singular_values"] = exact[0]
    if W.shape[1] == W.shape[2] and "det_sign" not in measures:
        measures["det_sign"] = np.linalg.slogdet(W).sign if exact is None else exact[1]
    return measures


@eqx.filter_jit
def _measured(system: ScaledFlow, states: State) -> Any:
    """Return W and its measures of each of the states along the leading axis."""

    def one(y: State) -> dict[str, Any]:
        state, W = system.unscaled(y), system.end_to_end(y)
        measured = {
            "W": W,
            "loss": system.flow.loss(state, W, system.loss),
            "distance_to_target": distance_to_target(system.loss, W),
            "spectrum": system.flow.exact_spectrum(state),
        }
        if isinstance(system.loss, Completion):
            measured["unobserved_error"] = unobserved_error(system.loss, W)
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
