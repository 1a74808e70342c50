"""Line integrals ∫ ⟨P_W[∇ℓ(W)], dW⟩: 0 around every closed loop if the field is a gradient.

Every piece of a curve is integrated by Gauss–Legendre quadrature. The number of nodes is doubled
until two successive results differ by no more than rounding.
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
"""Numbers of nodes tried on a piece; on a smooth field the error falls exponentially with them."""

BATCH = 32
"""Matrices per call of the compiled program; the last batch is padded to this size."""


class Integral(NamedTuple):
    """A line integral ∫ ⟨P_W[∇ℓ], dW⟩ with a bound on its error, and its largest possible size.

    `size` is ∫ ‖P_W[∇ℓ]‖ ‖dW‖, which bounds the integral by the Cauchy–Schwarz inequality.
    """

    value: float
    error: float
    size: float

    @property
    def circulation(self) -> Within:
        """The integral as a fraction of `size`, between -1 and 1; 0 for a field that is 0."""
        unit = 1 / self.size if self.size else 0.0
        return Within(self.value * unit, self.error * unit)


def line_integral(loss: Loss, depth: int, pieces: Sequence[Piece]) -> Integral:
    """Return ∫ ⟨P_W[∇ℓ(W)], dW⟩ along pieces of a curve, one after the other.

    The error bound of each piece is the difference between its last two quadrature rules, plus the
    rounding error. Errors of the pieces are added.
    """
    origin = float(np.linalg.norm(loss.gradient(jnp.zeros(_shape(pieces[0])))))
    parts = np.array([_along(loss, depth, piece, origin) for piece in pieces])
    return Integral(*map(float, parts.sum(axis=0)))


def _along(loss: Loss, depth: int, piece: Piece, origin: float) -> Integral:
    """Return the integral along one piece, with as many nodes as rounding makes worthwhile."""
    last = _by_rule(loss, depth, piece, origin, NODES[0])
    for count in NODES[1:]:
        finer = _by_rule(loss, depth, piece, origin, count)
        change = abs(finer.value - last.value)
        last = finer
        if change <= finer.error:
            break
    return Integral(last.value, change + last.error, last.size)


def _by_rule(loss: Loss, depth: int, piece: Piece, origin: float, count: int) -> Integral:
    """Return the integral by the rule of `count` nodes; its error is the rounding error alone."""
    nodes, weights = _rule(count)
    W, dW = piece.at(nodes)
    G, field = _fields(loss, W, depth, piece.rank)
    # ∇ℓ(W) may be a small difference of terms as large as ∇ℓ(0), whose rounding error it keeps
    slopes = np.linalg.norm(G, axis=(1, 2)) + origin
    # singular values past the rank are 0 all along the piece and contribute no rounding error
    sigma = np.linalg.svd(W, compute_uv=False)[:, : piece.rank]
    rounded = unit_roundoff(W.shape[1:]) * field_rounding(sigma, slopes, depth)
    length = weights * np.linalg.norm(dW, axis=(1, 2))
    value = float(weights @ np.sum(field * dW, axis=(1, 2)))
    return Integral(
        value, float(length @ rounded), float(length @ np.linalg.norm(field, axis=(1, 2)))
    )


def _fields(loss: Loss, W: np.ndarray, depth: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ∇ℓ(W) and P_W[∇ℓ(W)] at every node, by batches of one shape."""
    batches = []
    for k in range(0, len(W), BATCH):
        batch = W[k : k + BATCH]
        filled = jnp.asarray(np.concatenate([batch, batch[:1].repeat(BATCH - len(batch), axis=0)]))
        G = gradients(loss, filled)
        pair = (G, preconditioned(filled, G, depth, rank))
        batches.append([np.asarray(values)[: len(batch)] for values in pair])
    G, field = (np.concatenate(values) for values in zip(*batches, strict=True))
    return G, field


@cache
def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss–Legendre quadrature on 0 ≤ s ≤ 1."""
    x, weights = np.polynomial.legendre.leggauss(count)
    return (x + 1) / 2, weights / 2


def _shape(piece: Piece) -> tuple[int, ...]:
    return piece.at(np.zeros(1))[0].shape[1:]
