"""Semidefinite linear complementarity problems for small matrices.

Find X ⪰ 0 such that Y = C + Q[X] ⪰ 0 and ⟨X, Y⟩ = 0, with C symmetric and Q a symmetric positive
semidefinite map of symmetric matrices. These are the optimality conditions of

    min ½⟨X, Q[X]⟩ + ⟨C, X⟩   over X ⪰ 0,

and for numbers X = max(0, -C/Q).

Method: with the projection P onto the matrices ⪰ 0, every solution is X = P(Z), Y = P(Z) - Z, for a
zero Z of F(Z) = (Q - I)P(Z) + Z + C. P is not differentiable where Z is singular. Newton's method
is therefore applied with the smoothed projection P_μ(Z) = (Z + (Z² + 4μI)^{1/2})/2, for which
XY = μI, while μ → 0 (Chen & Tseng 2003, SIAM J. Optim. 13, Non-interior continuation methods for
solving semidefinite complementarity problems).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array

SMALLEST = 1e-24
"""Final μ. P_μ differs from P by at most √μ = 1e-12, in units in which ‖C‖ = 1."""

SHRINK = 1e-3
"""Factor by which μ is reduced, from 1 on, whenever ‖F‖ ≤ √μ."""

MOST_ITERATIONS = 60
"""Bound on Newton iterations; eight reductions of μ are required."""

LENGTHS = 0.5 ** np.arange(4)
"""Step lengths of the line search; the one with the smallest ‖F‖ is chosen."""

LEAST = 1e-11
"""Multiple of the identity added to Q, relative to its mean eigenvalue.

Where Q is singular many X may solve the problem; this regularization selects the least.
"""

TINY = float(np.finfo(float).tiny)


State: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
"""The coordinates of Z, μ, and the number of iterations."""


class Solution(NamedTuple):
    """X ⪰ 0, and the residual ‖F(Z)‖/‖C‖; inf where the iteration is not finite, with X = 0."""

    X: Array
    residual: Array


@cache
def basis(k: int) -> np.ndarray:
    """Return an orthonormal basis E_i of the symmetric k × k matrices, i = 1, …, k(k+1)/2."""
    matrices = []
    for a in range(k):
        for b in range(a, k):
            E = np.zeros((k, k))
            E[a, b] = E[b, a] = 1.0 if a == b else 0.5**0.5
            matrices.append(E)
    return np.array(matrices)


def solve(C: Array, Q: Array) -> Solution:
    """Return the solution for a symmetric k × k matrix C, and Q in the coordinates of `basis(k)`.

    The entries of Q are ⟨E_i, Q[E_j]⟩. A problem without a solution has a residual that is not
    small.
    """
    E = basis(C.shape[0])
    # C and Q may be of any size: in these units both are of size 1, as the constants assume.
    size = jnp.linalg.norm(C) + TINY
    scale = jnp.trace(Q) / E.shape[0] + TINY
    c, q = jnp.einsum("iab,ab->i", E, C / size), Q / scale + LEAST * jnp.eye(E.shape[0])

    def residual(z: Array, mu: Array) -> Array:
        return jnp.asarray(jnp.linalg.norm(_equation(E, c, q, z, mu)[0]))

    def body(state: State) -> State:
        z, mu, count = state
        tried = z[None, :] - LENGTHS[:, None] * _newton_step(E, c, q, z, mu)[None, :]
        residuals = jax.vmap(residual, (0, None))(tried, mu)
        best = jnp.nanargmin(residuals)
        near = residuals[best] <= jnp.sqrt(mu)
        return tried[best], jnp.where(near, SHRINK * mu, mu), count + 1

    def unfinished(state: State) -> Array:
        return (state[1] > SMALLEST) & (state[2] < MOST_ITERATIONS) & jnp.isfinite(state[0]).all()

    start = (jnp.asarray(-c), jnp.asarray(1.0), jnp.asarray(0))  # the solution for Q = I, μ = 0
    z, *_ = jax.lax.while_loop(unfinished, body, start)
    z = z - _newton_step(E, c, q, z, jnp.asarray(SMALLEST))
    exact = jnp.asarray(0.0)  # without smoothing, so that X ⪰ 0 and ⟨X, Y⟩ = 0 hold to rounding
    X = jnp.einsum("i,iab->ab", _equation(E, c, q, z, exact)[1], E) * size / scale
    known = jnp.isfinite(z).all() & jnp.isfinite(X).all()
    return Solution(jnp.where(known, X, 0.0), jnp.where(known, residual(z, exact), jnp.inf))


def _equation(
    E: np.ndarray, c: Array, q: Array, z: Array, mu: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Return F(z), the coordinates of P_μ(Z), V, v and (v² + 4μ)^{1/2} for Z = V diag(v) Vᵀ."""
    v, V = jnp.linalg.eigh(jnp.einsum("i,iab->ab", z, E))
    s = jnp.sqrt(v**2 + 4 * mu)
    # For v < 0 the sum v + s cancels; (v + s)/2 = 2μ/(s - v) does not.
    smoothed = jnp.where(v > 0, (v + s) / 2, 2 * mu / (s - v + TINY))
    positive = (V * smoothed[None, :]) @ V.T
    x = jnp.einsum("iab,ab->i", E, positive)
    return jnp.asarray(q @ x - x + z + c), x, V, v, s


def _newton_step(E: np.ndarray, c: Array, q: Array, z: Array, mu: Array) -> Array:
    """Return F'(z)^{-1} F(z).

    In the eigenbasis of Z the derivative of P_μ multiplies entry (a, b) by the divided difference
    ½(1 + (v_a + v_b)/(s_a + s_b)) of (v + (v² + 4μ)^{1/2})/2, which also holds for v_a = v_b.
    """
    F, _, V, v, s = _equation(E, c, q, z, mu)
    difference = (1 + (v[:, None] + v[None, :]) / (s[:, None] + s[None, :] + TINY)) / 2
    rotated = jnp.einsum("ca,icd,db->iab", V, E, V)
    slope = jnp.einsum("iab,ab,jab->ij", rotated, difference, rotated)
    return jnp.asarray(jnp.linalg.solve(q @ slope - slope + jnp.eye(z.size), F))


def solve_scalar(C: Array, Q: Array) -> Solution:
    """Return X = max(0, -C/Q) for 1 × 1 matrices.

    Without a solution, where C < 0 = Q, X is 0 and the residual 1. Q counts as 0 where X would
    overflow.
    """
    X = jnp.maximum(0.0, -C) / jnp.where(Q > 0, Q, 1.0)
    solvable = (C >= 0) | ((Q > 0) & jnp.isfinite(X))
    return Solution(jnp.where(solvable, X, 0.0), jnp.where(solvable, 0.0, 1.0)[0, 0])
