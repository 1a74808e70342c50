"""Losses and gradients at many matrices, compiled once for any number of them."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.losses.loss import Loss
from flowsim.problem.types import Array

PIECE, PIECE_BYTES = 256, 1 << 22
"""Most matrices, and most bytes of them, whose losses one call of a compiled program returns."""


def values(loss: Loss, matrices: Array | np.ndarray) -> np.ndarray:
    """Return ℓ of each of the matrices along the leading axis."""
    return _in_pieces(_values, loss, matrices)


def gradients(loss: Loss, matrices: Array | np.ndarray) -> np.ndarray:
    """Return ∇ℓ of each of the matrices along the leading axis."""
    return _in_pieces(_gradients, loss, matrices)


def _in_pieces(
    function: Callable[[Loss, np.ndarray, np.ndarray], Array],
    loss: Loss,
    matrices: Array | np.ndarray,
) -> np.ndarray:
    """Return a function of matrices along the leading axis, by pieces of one size.

    Their number depends on where a flow ends. A piece of another size would compile again.
    """
    row = np.zeros(matrices.shape[1:])
    size = max(1, min(PIECE, PIECE_BYTES // max(1, row.nbytes)))
    found = []
    for first in range(0, max(len(matrices), 1), size):
        piece = np.asarray(matrices[first : first + size])
        rows = np.concatenate([piece, np.broadcast_to(row, (size - len(piece), *row.shape))])
        found.append(np.asarray(function(loss, rows, np.asarray(len(piece))))[: len(piece)])
    return np.concatenate(found)


# one after the other: vmap of the products is slower on a CPU, and not bitwise the same
@eqx.filter_jit
def _values(loss: Loss, matrices: Array, count: Array) -> Array:
    found: Array = jax.lax.fori_loop(
        0, count, lambda i, x: x.at[i].set(loss.value(matrices[i])), jnp.zeros(len(matrices))
    )
    return found


@eqx.filter_jit
def _gradients(loss: Loss, matrices: Array, count: Array) -> Array:
    found: Array = jax.lax.fori_loop(
        0, count, lambda i, x: x.at[i].set(loss.gradient(matrices[i])), jnp.zeros(matrices.shape)
    )
    return found
