"""Line integrals ∮ ⟨P_W[∇ℓ(W)], dW⟩ around closed loops: 0 if the field is a gradient.

Every piece of a loop keeps the rank of W, so that the field is smooth along it, and is integrated
by Gauss & Legendre's rule with twice and twice as many nodes, until rounding is all that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from flowsim.arrays import Matrix
from flowsim.losses import Loss
from flowsim.theory.explicit_loss import (
    Within,
    field_rounding,
    gradients,
    preconditioned,
    unit_roundoff,
)

NODES = (16, 32, 64, 128, 256)
BATCH = 32
"""Matrices that one compiled program takes at a time, the last batch filled up."""

Points = tuple[np.ndarray, np.ndarray]
"""Matrices W(s) and dW/ds, shapes (node, output, input), along a piece of a curve."""


@dataclass(frozen=True)
class Piece:
    """A smooth piece of a curve, 0 ≤ s ≤ 1, on which W has one rank."""

    at: Callable[[np.ndarray], Points]
    rank: int


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


def loop_integral(loss: Loss, depth: int, loop: Sequence[Piece]) -> Integral:
    """Return ∫ ⟨P_W[∇ℓ(W)], dW⟩ along pieces of a curve, one after the other.

    The error is the difference between the last two rules of each piece, and its rounding.
    """
    origin = float(np.linalg.norm(loss.gradient(jnp.zeros(_shape(loop[0])))))
    pieces = np.array([_along(loss, depth, piece, origin) for piece in loop])
    return Integral(*map(float, pieces.sum(axis=0)))


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


# --- pieces and loops ------------------------------------------------------------------------


def straight(A: Matrix, B: Matrix) -> Piece:
    """Return the straight line from A to B, of full rank where it does not meet a lower one."""
    start, step = np.asarray(A), np.asarray(B) - np.asarray(A)

    def at(s: np.ndarray) -> Points:
        return start + s[:, None, None] * step, np.broadcast_to(step, (len(s), *step.shape))

    return Piece(at, min(start.shape))


def circle(W: Matrix, A: Matrix, B: Matrix, radius: float) -> tuple[Piece, ...]:
    """Return W + radius (cos θ A + sin θ B), once around, for orthonormal A and B.

    It has full rank all along if the radius is below the smallest singular value of W.
    """

    def at(s: np.ndarray) -> Points:
        c, d = (radius * f(2 * np.pi * s)[:, None, None] for f in (np.cos, np.sin))
        return W + c * A + d * B, 2 * np.pi * (c * B - d * A)

    return (Piece(at, min(np.shape(W))),)


def random_circle(W: Matrix, rng: np.random.Generator) -> tuple[Piece, ...]:
    """Return the circle about W in a random plane, at half of W's distance from lower rank."""
    shape = np.shape(W)
    Q, _ = np.linalg.qr(rng.standard_normal((shape[0] * shape[1], 2)))
    A, B = Q.T.reshape(2, *shape)
    return circle(W, A, B, 0.5 * float(np.linalg.svd(np.asarray(W), compute_uv=False)[-1]))


def arora_cohen_hazan(E: Matrix, inner: float, outer: float) -> tuple[Piece, ...]:
    """Return the closed loop of Arora, Cohen & Hazan (2018), Theorem 2, along a matrix E.

    With E scaled to ‖E‖ = 1: from -R E straight to -r E, turned to r E on the sphere of radius r,
    straight to R E, and turned back on that of radius R. With one output E is ∇ℓ(0)/‖∇ℓ(0)‖, a row,
    and turning is by half a circle. With several outputs the singular vectors of E (right ones, or
    left if d_N > d_0) turn, in pairs, by half a circle each, while the singular values stay: so W
    keeps its rank. Where their number is odd and there is none to pair the last one with (square
    matrices), that one stays, and the straight pieces lead along E and what -E is turned to.

    For a constant gradient c E and one output the integral is
    2c (N²/(3N-2) - 1) (R^p - r^p), p = 3 - 2/N: 0 at N = 1 and N = 2.

    Raises
    ------
    ValueError
        If E is 0 or a single number, or not 0 < r < R.

    """
    E = np.asarray(E)
    if E.size < 2 or not E.any() or not 0 < inner < outer:
        raise ValueError(
            "A loop needs a matrix E of two entries or more, not all 0, and radii 0 < r < R, but "
            f"E is {E.tolist()}, r = {inner} and R = {outer}."
        )
    turn, rank = _turn(-E / np.linalg.norm(E))

    def ray(s: float, start: float, stop: float) -> Piece:
        A = turn(np.array([s]))[0][0]
        return Piece(straight(start * A, stop * A).at, rank)

    def arc(radius: float, back: bool) -> Piece:
        def at(s: np.ndarray) -> Points:
            W, dW = turn(1 - s if back else s)
            return radius * W, (-radius if back else radius) * dW

        return Piece(at, rank)

    return (
        ray(0, outer, inner),
        arc(inner, back=False),
        ray(1, inner, outer),
        arc(outer, back=True),
    )


def _turn(A: np.ndarray) -> tuple[Callable[[np.ndarray], Points], int]:
    """Return W(s) and dW/ds from W(0) = A with pairs of its singular vectors turned by π s."""
    if A.shape[0] > A.shape[1]:
        turned, rank = _turn(A.T)

        def flipped(s: np.ndarray) -> Points:
            W, dW = turned(s)
            return W.transpose(0, 2, 1), dW.transpose(0, 2, 1)

        return flipped, rank
    U, sigma, Vt = np.linalg.svd(A, full_matrices=True)
    rank = int(np.linalg.matrix_rank(A))
    core = (U[:, :rank] * sigma[:rank]) @ np.eye(rank, A.shape[1])
    paired = 2 * min((rank + 1) // 2, A.shape[1] // 2)
    J = np.zeros((A.shape[1], A.shape[1]))
    first = np.arange(0, paired, 2)
    J[first, first + 1], J[first + 1, first] = 1.0, -1.0
    still = np.eye(A.shape[1]) + J @ J

    def at(s: np.ndarray) -> Points:
        c, d = (f(np.pi * s)[:, None, None] for f in (np.cos, np.sin))
        # J² = -1 on what turns
        W = core @ (still - c * (J @ J) + d * J) @ Vt
        return W, np.pi * (core @ (d * (J @ J) + c * J) @ Vt)

    return at, rank
