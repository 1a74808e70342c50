"""Semidefinite complementarity: X ⪰ 0 and Y = C + Q[X] ⪰ 0 with ⟨X, Y⟩ = 0, for small matrices.

For Q symmetric and positive semidefinite, X minimizes ½⟨X, Q[X]⟩ + ⟨C, X⟩ over X ⪰ 0; for single
numbers X = max(0, -C/Q). In general X = P(Z) and Y = P(Z) - Z with P the projection onto ⪰ 0, and
(Q - I) P(Z) + Z + C = 0. Newton's method solves that with P smoothed, (Z + (Z² + 4μI)^{1/2})/2,
which means XY = μI, while μ falls to 0 (Chen & Tseng 2003, SIAM J. Optim. 13).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array

SMALLEST = 1e-24
SHRINK = 1e-3
"""μ falls by this factor from 1 to the smallest, whenever the equation is met to √μ."""

MOST_ITERATIONS = 60
LENGTHS = 0.5 ** np.arange(4)
LEAST = 1e-11
"""This much of the identity in Q, relative to its trace, takes the least X where many solve it."""

TINY = float(np.finfo(float).tiny)


State: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]


class Solution(NamedTuple):
    """X ⪰ 0, and what is left of the equation relative to ‖C‖."""

    X: Array
    residual: Array


@cache
def basis(k: int) -> np.ndarray:
    """Return an orthonormal basis E_i of the symmetric k × k matrices, i = 1..k(k+1)/2."""
    found = []
    for a in range(k):
        for b in range(a, k):
            E = np.zeros((k, k))
            E[a, b] = E[b, a] = 1.0 if a == b else 0.5**0.5
            found.append(E)
    return np.array(found)


def solve(C: Array, Q: Array) -> Solution:
    """Return X for a symmetric k × k matrix C and Q in the coordinates ⟨E_i, X⟩ of `basis(k)`.

    Where there is no solution the residual says so.
    """
    k = C.shape[0]
    E = basis(k)
    size = jnp.linalg.norm(C) + TINY
    scale = jnp.trace(Q) / E.shape[0] + TINY
    c, q = jnp.einsum("iab,ab->i", E, C / size), Q / scale + LEAST * jnp.eye(E.shape[0])

    def parts(z: Array, mu: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Return F(z), P(Z)'s coordinates, V, v and (v² + 4μ)^{1/2} of Z = V diag(v) Vᵀ."""
        v, V = jnp.linalg.eigh(jnp.einsum("i,iab->ab", z, E))
        s = jnp.sqrt(v**2 + 4 * mu)
        smoothed = jnp.where(v > 0, (v + s) / 2, 2 * mu / (s - v + TINY))
        positive = (V * smoothed[None, :]) @ V.T
        x = jnp.einsum("iab,ab->i", E, positive)
        return jnp.asarray(q @ x - x + z + c), x, V, v, s

    def newton(z: Array, mu: Array) -> Array:
        F, _, V, v, s = parts(z, mu)
        share = (1 + (v[:, None] + v[None, :]) / (s[:, None] + s[None, :] + TINY)) / 2
        turned = jnp.einsum("ca,icd,db->iab", V, E, V)
        slope = jnp.einsum("iab,ab,jab->ij", turned, share, turned)
        return jnp.asarray(jnp.linalg.solve(q @ slope - slope + jnp.eye(z.size), F))

    def left(z: Array, mu: Array) -> Array:
        return jnp.asarray(jnp.linalg.norm(parts(z, mu)[0]))

    def body(state: State) -> State:
        z, mu, count = state
        tried = z[None, :] - LENGTHS[:, None] * newton(z, mu)[None, :]
        found = jax.vmap(left, (0, None))(tried, mu)
        best = jnp.nanargmin(found)
        near = found[best] <= jnp.sqrt(mu)
        return tried[best], jnp.where(near, SHRINK * mu, mu), count + 1

    def going(state: State) -> Array:
        return (state[1] > SMALLEST) & (state[2] < MOST_ITERATIONS) & jnp.isfinite(state[0]).all()

    start = (jnp.asarray(-c), jnp.asarray(1.0), jnp.asarray(0))
    z, *_ = jax.lax.while_loop(going, body, start)
    z = z - newton(z, jnp.asarray(SMALLEST))
    X = jnp.einsum("i,iab->ab", parts(z, jnp.asarray(0.0))[1], E) * size / scale
    known = jnp.isfinite(z).all() & jnp.isfinite(X).all()
    return Solution(jnp.where(known, X, 0.0), jnp.where(known, left(z, jnp.asarray(0.0)), jnp.inf))


def single(C: Array, Q: Array) -> Solution:
    """Return X = max(0, -C/Q) for 1 × 1 matrices; without one, where C < 0 = Q, the residual is 1.

    Q is taken as 0 where its X would not be finite.
    """
    X = jnp.maximum(0.0, -C) / jnp.where(Q > 0, Q, 1.0)
    solvable = (C >= 0) | ((Q > 0) & jnp.isfinite(X))
    return Solution(jnp.where(solvable, X, 0.0), jnp.where(solvable, 0.0, 1.0)[0, 0])
