"""Line integrals ∫ ⟨P_W[∇ℓ(W)], dW⟩: 0 around every closed loop if the field is a gradient.

Every piece of a curve is integrated by Gauss & Legendre's rule with twice and twice as many nodes,
until rounding is all that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from flowsim.problem.losses import Loss, gradients
from flowsim.theory.explicit_loss.formulas import (
    Within,
    field_rounding,
    preconditioned,
    unit_roundoff,
)
from flowsim.theory.explicit_loss.loops import Piece

NODES = (16, 32, 64, 128, 256)
BATCH = 32
"""Matrices that one compiled program takes at a time, the last batch filled up."""


class Integral(NamedTuple):
    """∫ ⟨P_W[∇ℓ], dW⟩ give or take `error`, and ∫ ‖P_W[∇ℓ]‖ ‖dW‖, which it cannot exceed."""

    value: float
    error: float
    size: float

    @property
    def circulation(self) -> Within:
        """The integral as a share of the field times the length: between -1 and 1."""
        share = 1 / self.size if self.size else 0.0
        return Within(self.value * share, self.error * share)


def line_integral(loss: Loss, depth: int, pieces: Sequence[Piece]) -> Integral:
    """Return ∫ ⟨P_W[∇ℓ(W)], dW⟩ along pieces of a curve, one after the other.

    The error is the difference between the last two rules of each piece, and its rounding.
    """
    origin = float(np.linalg.norm(loss.gradient(jnp.zeros(_shape(pieces[0])))))
    parts = np.array([_along(loss, depth, piece, origin) for piece in pieces])
    return Integral(*map(float, parts.sum(axis=0)))


def _along(loss: Loss, depth: int, piece: Piece, origin: float) -> Integral:
    """Return the integral along one piece, by ever more nodes."""
    last = _by_rule(loss, depth, piece, origin, NODES[0])
    for count in NODES[1:]:
        found = _by_rule(loss, depth, piece, origin, count)
        apart = abs(found.value - last.value)
        last = found
        if apart <= found.error:
            break
    return Integral(last.value, apart + last.error, last.size)


def _by_rule(loss: Loss, depth: int, piece: Piece, origin: float, count: int) -> Integral:
    """Return the integral by one rule, its error being the rounding alone."""
    nodes, weights = _rule(count)
    W, dW = piece.at(nodes)
    G, field = _fields(loss, W, depth, piece.rank)
    # a gradient is a difference of terms as large as these two, and rounded as they are
    slopes = np.linalg.norm(G, axis=(1, 2)) + origin
    sigma = np.linalg.svd(W, compute_uv=False)[:, : piece.rank]
    rounded = unit_roundoff(W.shape[1:]) * field_rounding(sigma, slopes, depth)
    length = weights * np.linalg.norm(dW, axis=(1, 2))
    value = float(weights @ np.sum(field * dW, axis=(1, 2)))
    return Integral(
        value, float(length @ rounded), float(length @ np.linalg.norm(field, axis=(1, 2)))
    )


def _fields(loss: Loss, W: np.ndarray, depth: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ∇ℓ(W) and P_W[∇ℓ(W)] at every node, by batches of one shape."""
    found = []
    for k in range(0, len(W), BATCH):
        batch = W[k : k + BATCH]
        filled = jnp.asarray(np.concatenate([batch, batch[:1].repeat(BATCH - len(batch), axis=0)]))
        G = gradients(loss, filled)
        pair = (G, preconditioned(filled, G, depth, rank))
        found.append([np.asarray(values)[: len(batch)] for values in pair])
    G, field = (np.concatenate(values) for values in zip(*found, strict=True))
    return G, field


@cache
def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss & Legendre's rule on 0 ≤ s ≤ 1."""
    x, weights = np.polynomial.legendre.leggauss(count)
    return (x + 1) / 2, weights / 2


def _shape(piece: Piece) -> tuple[int, ...]:
    return piece.at(np.zeros(1))[0].shape[1:]
