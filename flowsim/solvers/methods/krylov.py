"""Preconditioned Krylov methods on tuples of matrices: the operator is applied, never formed.

Those of lineax (0.1.1) differ in three ways that matter here. Their inner product is the Euclidean
one, and J is symmetric under another where the state is scaled. They stop by the residual and the
last change of x, not by the preconditioned residual, which is the error. Their CG ends, unsolved,
when a preconditioner proves to be indefinite; here it is dropped and the iteration continues.
"""

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
    """Return the solution of B x = b for B symmetric and positive definite under an inner product.

    Preconditioned conjugate gradients (Hestenes & Stiefel 1952; Saad, Iterative Methods, algorithm
    9.1). The result is not `ok` if B is not positive along a search direction, or after `most`
    iterations.

    Parameters
    ----------
    B
        The operator.
    inverse
        An approximation of B⁻¹, symmetric under the same inner product. It is no longer used once
        it proves not to be positive definite.
    inner
        The inner product.
    enough
        Whether to stop, from the residual and the preconditioned residual.
    b
        The right-hand side.
    most
        The largest number of iterations.

    """

    def preconditioned(r: Vector, trusted: Array) -> tuple[Vector, Array, Array]:
        z = inverse(r)
        rho = inner(r, z)
        # ⟨r, inverse r⟩ ≤ 0 for r ≠ 0 proves that the preconditioner is not positive definite
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
        z, rho_next, now_trusted = preconditioned(r, trusted)
        # with another preconditioner the recurrence yields no conjugate direction: restart
        beta = jnp.where(now_trusted == trusted, rho_next / rho, 0.0)
        return x, r, z, plus(z, p, beta), rho_next, now_trusted, iterations + 1, positive

    z, rho, trusted = preconditioned(b, jnp.asarray(True))
    start = (_zero(b), b, z, z, rho, trusted, jnp.asarray(0), jnp.asarray(True))
    x, r, z, _, _, trusted, iterations, positive = jax.lax.while_loop(unfinished, improve, start)
    # z ≈ B⁻¹ r is computed anyway, and adding it is one more step of iterative refinement
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
    """Return the solution of B x = b for any B, with the parameters of `conjugate_gradients`.

    BiCGSTAB (van der Vorst 1992) on B·inverse, with two products per iteration. A breakdown, where
    a denominator vanishes, ends the iteration. As the preconditioner is applied on the right, r is
    the true residual.
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
