"""Losses that are ½h‖W - Φ‖² up to a constant: the squared loss, in a time of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowsim.dynamics.fixed_basis import ALIGNED
from flowsim.problem.losses import Completion, LeastSquares, Loss, Squared


class Whitened(NamedTuple):
    """ℓ(W) = ½ h ‖W - Φ‖²_F + constant: its flow is that of ½‖W - Φ‖² at the times h·t."""

    Phi: np.ndarray
    h: float


def whitened(loss: Loss) -> Whitened | str:
    """Return Φ and h of a loss that draws all directions alike, or say that it does not."""
    if isinstance(loss, Squared) or (isinstance(loss, Completion) and np.all(loss.observed == 1)):
        return Whitened(np.asarray(loss.Phi), 1.0)
    if isinstance(loss, LeastSquares):
        C = np.asarray(loss.R @ loss.R.T)
        h = float(np.trace(C)) / len(C)
        if h > 0 and np.linalg.norm(C - h * np.eye(len(C))) <= ALIGNED * np.linalg.norm(C):
            return Whitened(np.asarray(loss.T @ loss.R.T) / h, h)
        return "the data must be white, XXᵀ/m a multiple of I, but they are not"
    return (
        "the loss must be ½‖W - Φ‖², or regression with p = 2 on white data, "
        f"but is {type(loss).__name__}"
    )
