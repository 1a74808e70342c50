"""Line integrals ∫ ⟨P_W[∇ℓ(W)], dW⟩: 0 around every closed loop if the field is a gradient.

Every piece of a curve is integrated by Gauss–Legendre quadrature. The number of nodes is doubled
until two successive results differ by no more than rounding.

Where it exists, the explicit loss F with ∇F(W) = P_W[∇ℓ(W)] follows by integration, and in some
cases by formulas. F is fixed up to a constant, which is set by F(0) = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Loss, gradients
from flowsim.problem.types import Matrix
from flowsim.theory.explicit_loss.formulas import (
    Within,
    field_rounding,
    preconditioned,
    unit_roundoff,
)
from flowsim.theory.explicit_loss.loops import Piece, from_zero, straight

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


class Difference(NamedTuple):
    """F(W) - F(base) by integration along one path, compared with another path.

    Attributes
    ----------
    value
        The integral along the straight path.
    error
        A bound on the errors of both integrals together.
    apart
        The absolute difference of the integrals along both paths. If it exceeds `error`, the
        integral depends on the path, and the field is not a gradient.

    """

    value: float
    error: float
    apart: float


def reconstruct(loss: Loss, depth: int, W: Matrix, base: Matrix | None = None) -> Difference:
    """Return F(W) - F(base) by integration along a straight line, and along a detour through V.

    V deviates from W in a fixed random direction, by half the distance from W to lower rank. The
    default base is 0. A straight line from another base may meet matrices of lower rank, where the
    field is not smooth; it then takes more nodes or has a larger error.
    """
    W = np.asarray(W)
    # half the distance to lower rank: the line from V to W then keeps full rank
    off = np.random.default_rng(0).standard_normal(W.shape)
    distance = 0.5 * float(np.linalg.svd(W, compute_uv=False)[-1])
    V = W + distance * off / np.linalg.norm(off)
    to_W, to_V = (from_zero(X, depth) if base is None else straight(base, X) for X in (W, V))
    one = line_integral(loss, depth, [to_W])
    other = line_integral(loss, depth, [to_V, straight(V, W)])
    return Difference(one.value, one.error + other.error, abs(one.value - other.value))


def closed_form(loss: Loss, depth: int, shape: tuple[int, ...]) -> Callable[[Matrix], float] | None:
    """Return W ↦ F(W) by a formula, with F(0) = 0, or None where no formula is known.

    N = 1: F = ℓ - ℓ(0). For ∇ℓ(W) = hW - B it is h N²/(4N-2) Σ_r σ_r^{4-2/N} if B = 0, less
    ‖w‖ ⟨B, w⟩ if N = 2 and there is one output or one input: ⅔‖w‖³ - ‖w‖ φᵀw for ½‖w - φ‖².
    """
    if depth == 1:
        return lambda W: float(loss.value(np.asarray(W)) - loss.value(np.zeros(shape)))
    pulled = _pulled(loss)
    if pulled is None:
        return None
    h, B = pulled
    if np.any(B) and not (depth == 2 and min(shape) == 1):
        return None

    def F(W: Matrix) -> float:
        sigma = np.linalg.svd(np.asarray(W), compute_uv=False)
        radial = h * depth**2 / (4 * depth - 2) * np.sum(sigma ** (4 - 2 / depth))
        return float(radial - sigma[0] * np.sum(B * np.asarray(W)))

    return F


def _pulled(loss: Loss) -> tuple[float, np.ndarray] | None:
    """Return h and B of a gradient ∇ℓ(W) = hW - B, or None if it has another form."""
    form = loss.diagonalized()
    if form is not None and not np.any(form.h):
        return 0.0, form.b
    try:
        white = loss.isotropic()
    except NotApplicable:
        return None
    return white.h, white.h * white.Phi
