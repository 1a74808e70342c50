"""Curves in the space of matrices, along which the end-to-end field is integrated.

Each piece keeps the rank of W, so that the field is smooth along it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flowsim.problem.types import Matrix

Points = tuple[np.ndarray, np.ndarray]
"""Matrices W(s) and dW/ds, shapes (node, output, input), along a piece of a curve."""


@dataclass(frozen=True)
class Piece:
    """A smooth piece of a curve, 0 ≤ s ≤ 1, on which W has one rank."""

    at: Callable[[np.ndarray], Points]
    rank: int


def straight(A: Matrix, B: Matrix) -> Piece:
    """Return the straight line from A to B, of full rank where it does not meet a lower one."""
    start, step = np.asarray(A), np.asarray(B) - np.asarray(A)

    def at(s: np.ndarray) -> Points:
        return start + s[:, None, None] * step, np.broadcast_to(step, (len(s), *step.shape))

    return Piece(at, min(start.shape))


def from_zero(W: Matrix, depth: int) -> Piece:
    """Return the straight line s^N W, along which the powers of P_W are powers of s that end."""
    W = np.asarray(W)

    def at(s: np.ndarray) -> Points:
        s = s[:, None, None]
        return s**depth * W, depth * s ** (depth - 1) * W

    return Piece(at, min(W.shape))


def circle(W: Matrix, A: Matrix, B: Matrix, radius: float) -> tuple[Piece, ...]:
    """Return W + radius (cos θ A + sin θ B), once around, for orthonormal A and B.

    It has full rank all along if the radius is below the smallest singular value of W.
    """
    centre, A, B = (np.asarray(matrix) for matrix in (W, A, B))

    def at(s: np.ndarray) -> Points:
        c, d = (radius * f(2 * np.pi * s)[:, None, None] for f in (np.cos, np.sin))
        return centre + c * A + d * B, 2 * np.pi * (c * B - d * A)

    return (Piece(at, min(centre.shape)),)


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
