"""Which value of a scenario takes the loss at the start past the range of float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim.problem import network
from flowsim.problem.limits import LARGEST
from flowsim.problem.losses import Loss, value_and_gradient
from flowsim.scenario.spec.errors import Mistake, mistake_at
from flowsim.scenario.spec.init import Explicit
from flowsim.scenario.spec.loss import MatrixLoss

if TYPE_CHECKING:
    from flowsim.problem.initialization import NumpyLayers
    from flowsim.scenario.build.loss_data import Samples
    from flowsim.scenario.spec.scenario import Scenario
PAST = "at which the loss at the start is past the range of float64"


def overflows(loss: Loss, layers: NumpyLayers) -> bool:
    """Return whether the layers, their product, the loss or its gradient there are not finite."""
    W = network.end_to_end(layers)
    arrays = (*layers, W, *value_and_gradient(loss, W))
    return not all(np.isfinite(array).all() for array in arrays)


def overflow_at(
    scenario: Scenario, loss: Loss, samples: Samples | None, layers: NumpyLayers
) -> Mistake:
    """Return the mistake at the key with the largest value, or at p where only |·|^p overflows."""
    sizes = _sizes(scenario, loss, samples, layers)
    key = max(sizes, key=lambda key: sizes[key])
    power = getattr(scenario.loss, "p", None) or 2
    if power > 2 and sizes[key] <= LARGEST:
        return mistake_at("loss.p", f"is {power:g}, {PAST}; write a smaller one, or smaller data")
    found = f"holds {sizes[key]:.3g}" if np.isfinite(sizes[key]) else "overflows"
    return mistake_at(key, f"{found}, {PAST}; write smaller numbers")


def _sizes(
    scenario: Scenario, loss: Loss, samples: Samples | None, layers: NumpyLayers
) -> dict[str, float]:
    """Return the largest absolute value at each key that scales the loss at the start."""
    init = scenario.init
    options = {key: getattr(init, key, 0.0) for key in ("scale", "imbalance", "noise")}
    values: dict[str, Any] = {f"init.{key}": value for key, value in options.items() if value}
    if isinstance(init, Explicit):
        values["init.layers"] = np.concatenate([np.ravel(W) for W in layers])
    if isinstance(scenario.loss, MatrixLoss):
        values["loss.target"] = loss.directions
    if samples is not None:
        values |= {"data.inputs": samples.X, "data.targets": samples.Y}
    # what is no number any more was the largest
    return {
        key: float(np.nan_to_num(np.abs(v), nan=np.inf, posinf=np.inf).max())
        for key, v in values.items()
    }
