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
    """A smooth piece of a curve, 0 ≤ s ≤ 1, along which the rank of W is constant."""

    at: Callable[[np.ndarray], Points]
    rank: int


def straight(A: Matrix, B: Matrix) -> Piece:
    """Return the straight line from A to B, assumed to have full rank."""
    start, step = np.asarray(A), np.asarray(B) - np.asarray(A)

    def at(s: np.ndarray) -> Points:
        return start + s[:, None, None] * step, np.broadcast_to(step, (len(s), *step.shape))

    return Piece(at, min(start.shape))


def from_zero(W: Matrix, depth: int) -> Piece:
    """Return the line s^N W from 0 to W.

    Along it the fractional powers σ^{2j/N} in P_W are integer powers of s. The integrand is smooth
    at s = 0, and a polynomial for a quadratic loss. Along s W it would have a singularity there.
    """
    W = np.asarray(W)

    def at(s: np.ndarray) -> Points:
        s = s[:, None, None]
        return s**depth * W, depth * s ** (depth - 1) * W

    return Piece(at, min(W.shape))


def circle(W: Matrix, A: Matrix, B: Matrix, radius: float) -> tuple[Piece, ...]:
    """Return the circle W + radius (cos θ A + sin θ B), θ from 0 to 2π, for orthonormal A and B.

    It has full rank everywhere if the radius is below the smallest singular value of W.
    """
    centre, A, B = (np.asarray(matrix) for matrix in (W, A, B))

    def at(s: np.ndarray) -> Points:
        c, d = (radius * f(2 * np.pi * s)[:, None, None] for f in (np.cos, np.sin))
        return centre + c * A + d * B, 2 * np.pi * (c * B - d * A)

    return (Piece(at, min(centre.shape)),)


def random_circle(W: Matrix, rng: np.random.Generator) -> tuple[Piece, ...]:
    """Return a circle around W in a random plane; half the distance to lower rank is its radius."""
    shape = np.shape(W)
    Q, _ = np.linalg.qr(rng.standard_normal((shape[0] * shape[1], 2)))
    A, B = Q.T.reshape(2, *shape)
    return circle(W, A, B, 0.5 * float(np.linalg.svd(np.asarray(W), compute_uv=False)[-1]))


def arora_cohen_hazan(E: Matrix, inner: float, outer: float) -> tuple[Piece, ...]:
    """Return the closed loop of Arora, Cohen & Hazan (2018), Theorem 2, along a matrix E.

    With E scaled to ‖E‖ = 1, it leads from -R E straight to -r E, rotates to r E on the sphere of
    radius r, leads straight to R E, and rotates back on the sphere of radius R. With one output E
    is ∇ℓ(0)/‖∇ℓ(0)‖, a row, and the rotation is half a circle.

    With several outputs the singular vectors of E (the right ones, or the left ones if d_N > d_0)
    rotate in pairs by half a circle each. The singular values stay, so W keeps its rank. For square
    matrices of odd rank the last vector has no partner and stays; the straight pieces then lead
    along E and along the rotated -E.

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
    rotation, rank = _rotation(-E / np.linalg.norm(E))

    def ray(s: float, start: float, stop: float) -> Piece:
        A = rotation(np.array([s]))[0][0]
        return Piece(straight(start * A, stop * A).at, rank)

    def arc(radius: float, back: bool) -> Piece:
        def at(s: np.ndarray) -> Points:
            W, dW = rotation(1 - s if back else s)
            return radius * W, (-radius if back else radius) * dW

        return Piece(at, rank)

    return (
        ray(0, outer, inner),
        arc(inner, back=False),
        ray(1, inner, outer),
        arc(outer, back=True),
    )


def _rotation(A: np.ndarray) -> tuple[Callable[[np.ndarray], Points], int]:
    """Return s ↦ (W(s), dW/ds) and the rank of W(s).

    W(0) = A, and pairs of right singular vectors of A are rotated by the angle π s.
    """
    if A.shape[0] > A.shape[1]:
        rotated, rank = _rotation(A.T)

        def transposed(s: np.ndarray) -> Points:
            W, dW = rotated(s)
            return W.transpose(0, 2, 1), dW.transpose(0, 2, 1)

        return transposed, rank
    U, sigma, Vt = np.linalg.svd(A, full_matrices=True)
    rank = int(np.linalg.matrix_rank(A))
    core = (U[:, :rank] * sigma[:rank]) @ np.eye(rank, A.shape[1])
    paired = 2 * min((rank + 1) // 2, A.shape[1] // 2)
    J = np.zeros((A.shape[1], A.shape[1]))
    first = np.arange(0, paired, 2)
    J[first, first + 1], J[first + 1, first] = 1.0, -1.0
    fixed = np.eye(A.shape[1]) + J @ J

    def at(s: np.ndarray) -> Points:
        c, d = (f(np.pi * s)[:, None, None] for f in (np.cos, np.sin))
        # J² = -1 on the rotated pairs and 0 elsewhere: exp(π s J) without a matrix exponential
        W = core @ (fixed - c * (J @ J) + d * J) @ Vt
        return W, np.pi * (core @ (d * (J @ J) + c * J) @ Vt)

    return at, rank
