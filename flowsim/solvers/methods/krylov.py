"""Preconditioned Krylov methods on tuples of matrices: the operator is applied, never formed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from flowsim.problem.types import Array

Vector: TypeAlias = tuple[Array, ...]
Operator: TypeAlias = Callable[[Vector], Vector]


class Solved(NamedTuple):
    """An approximate solution, the iterations it took, and whether it is accurate enough."""

    x: Vector
    iterations: Array
    ok: Array


def plus(x: Vector, y: Vector, factor: Array | float = 1.0) -> Vector:
    """Return x + factor · y."""
    return tuple(x_j + factor * y_j for x_j, y_j in zip(x, y, strict=True))


def conjugate_gradients(
    B: Operator,
    inverse: Operator,
    inner: Callable[[Vector, Vector], Array],
    enough: Callable[[Vector, Vector], Array],
    b: Vector,
    most: int,
) -> Solved:
    """Solve B x = b for a B that is symmetric and positive definite under an inner product.

    `inverse` ≈ B⁻¹, as symmetric; `enough(residual, inverse(residual))` says when to stop. Where
    `inverse` proves not to be positive it goes on without; a direction in which B is not positive
    ends the solution, which is not ok (Hestenes & Stiefel 1952; Saad, Iterative Methods,
    algorithm 9.1).
    """

    def preconditioned(r: Vector, trusted: Array) -> tuple[Vector, Array, Array]:
        z = inverse(r)
        rho = inner(r, z)
        trusted = trusted & (rho > 0)
        z = tuple(jnp.where(trusted, z_j, r_j) for z_j, r_j in zip(z, r, strict=True))
        return z, jnp.where(trusted, rho, inner(r, r)), trusted

    def unfinished(state: Any) -> Array:
        _x, r, z, _p, _rho, _trusted, iterations, positive = state
        return jnp.asarray(positive & (iterations < most) & ~enough(r, z))

    def improve(state: Any) -> Any:
        x, r, _z, p, rho, trusted, iterations, _ = state
        Bp = B(p)
        curvature = inner(p, Bp)
        positive = curvature > 0
        alpha = jnp.where(positive, rho / curvature, 0.0)
        x, r = plus(x, p, alpha), plus(r, Bp, -alpha)
        z, rho_next, still = preconditioned(r, trusted)
        beta = jnp.where(still == trusted, rho_next / rho, 0.0)
        return x, r, z, plus(z, p, beta), rho_next, still, iterations + 1, positive

    z, rho, trusted = preconditioned(b, jnp.asarray(True))
    start = (_zero(b), b, z, z, rho, trusted, jnp.asarray(0), jnp.asarray(True))
    x, r, z, _, _, trusted, iterations, positive = jax.lax.while_loop(unfinished, improve, start)
    x = tuple(jnp.where(trusted, x_j + z_j, x_j) for x_j, z_j in zip(x, z, strict=True))
    return Solved(x, iterations, positive & enough(r, z))


def stabilized_biconjugate_gradients(
    B: Operator,
    inverse: Operator,
    inner: Callable[[Vector, Vector], Array],
    enough: Callable[[Vector, Vector], Array],
    b: Vector,
    most: int,
) -> Solved:
    """Solve B x = b for any B, as `conjugate_gradients` does (BiCGSTAB, van der Vorst 1992).

    It iterates on B·inverse, two products an iteration; a breakdown ends the solution.
    """

    def unfinished(state: Any) -> Array:
        _x, r, z, _p, _rho, iterations, going = state
        return jnp.asarray(going & (iterations < most) & ~enough(r, z))

    def improve(state: Any) -> Any:
        x, r, _z, p, rho, iterations, _ = state
        p_hat = inverse(p)
        v = B(p_hat)
        shadow = inner(b, v)
        alpha = rho / _nonzero(shadow)
        s = plus(r, v, -alpha)
        s_hat = inverse(s)
        t = B(s_hat)
        omega = inner(t, s) / _nonzero(inner(t, t))
        x = plus(plus(x, p_hat, alpha), s_hat, omega)
        r = plus(s, t, -omega)
        rho_next = inner(b, r)
        beta = rho_next / _nonzero(rho) * alpha / _nonzero(omega)
        p = plus(r, plus(p, v, -omega), beta)
        return x, r, inverse(r), p, rho_next, iterations + 1, (shadow != 0) & (omega != 0)

    start = (_zero(b), b, inverse(b), b, inner(b, b), jnp.asarray(0), jnp.asarray(True))
    x, r, z, _, _, iterations, _ = jax.lax.while_loop(unfinished, improve, start)
    return Solved(plus(x, z), iterations, enough(r, z))


def _zero(x: Vector) -> Vector:
    return tuple(jnp.zeros_like(x_j) for x_j in x)


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, 1.0, x)
