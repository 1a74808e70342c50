"""Losses, evaluated where a problem is made: their errors are raised before anything compiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from flowsim.problem.arguments import shown
from flowsim.problem.losses import custom
from flowsim.problem.losses.layered import Layered, value_and_layer_gradients
from flowsim.problem.losses.loss import Loss, value_and_gradient
from flowsim.problem.types import Layers, Matrix, Scalar

FAILURES = (TypeError, ValueError, LookupError, AttributeError)
"""What functions raise that are no losses."""


def checked_loss(loss: Loss | Callable[[Matrix], Scalar], W: Matrix) -> Loss:
    """Return a loss as it is now, for matrices like W.

    Raises
    ------
    ValueError
        If the loss does not accept W, or it or its gradient is not finite there.

    """
    if not (isinstance(loss, Loss) or callable(loss)):
        raise ValueError(
            f"loss must be one of flowsim.losses or a function of W, but is {shown(loss)}."
        )
    loss = loss if isinstance(loss, Loss) else custom.loss(loss)
    target = loss.target
    if target is not None and target.shape != W.shape:
        raise ValueError(
            f"The loss must accept an end-to-end matrix of shape {W.shape}, "
            f"but its target has shape {target.shape}."
        )
    try:
        loss = loss.traced(W.shape)
        value, gradient = value_and_gradient(loss, W)
    except FAILURES as error:
        raise ValueError(
            f"The loss must be a differentiable function from {loss.takes(W.shape)} to a single "
            f"number, but it failed: {error}"
        ) from error
    _require_finite("The loss", value, gradient)
    return loss.verified(W, float(value))


def checked_sum(
    loss: Loss | Callable[[Matrix], Scalar],
    on_layers: Callable[[Layers], Scalar] | None,
    layers: Layers,
    W: Matrix,
) -> Loss:
    """Return a loss of layers with the product W, and a function of the layers added to it if any.

    Raises
    ------
    ValueError
        If one of them does not accept the layers, or is not finite there.

    """
    if isinstance(loss, Layered):
        if on_layers is not None:
            raise ValueError(f"on_layers must be left out, as the loss has {loss.name} already.")
        build = partial(replace, loss)
    else:
        of_matrix = checked_loss(loss, W)
        if on_layers is None:
            return of_matrix
        if not callable(on_layers):
            raise ValueError(
                f"on_layers must be a function of the layers, but is {shown(on_layers)}."
            )
        build = partial(Layered.of, of_matrix, on_layers, layers)
    try:
        total = build()
        value, gradients = value_and_layer_gradients(total, layers)
    except FAILURES as error:
        shapes = ", ".join(str(A.shape) for A in layers)
        raise ValueError(
            "on_layers must be a differentiable function from a tuple of layers, of shapes "
            f"{shapes}, to a single number, but it failed: {error}"
        ) from error
    _require_finite("on_layers", value, gradients)
    return total


def _require_finite(name: str, value: Any, gradient: Any) -> None:
    if np.shape(value) != ():
        raise ValueError(f"{name} must be a single number, but has shape {np.shape(value)}.")
    if not np.isfinite(value):
        raise ValueError(f"{name} at the start must be finite, but is {float(value)}.")
    if not all(np.isfinite(part).all() for part in jax.tree.leaves(gradient)):
        raise ValueError(
            f"The gradient of {name[0].lower()}{name[1:]} at the start must be finite, but holds "
            "nan or inf; start where the loss is differentiable."
        )
