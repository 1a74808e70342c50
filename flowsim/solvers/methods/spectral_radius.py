"""The spectral radius of a Jacobian from differences of the field alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array

SAFETY = 1.2
"""Factor on the converged norm, since power iteration approaches the radius from below."""

SETTLED = 0.01
"""Relative change of the norm below which the iteration has converged."""

FEWEST, MOST = 2, 50
"""Smallest and largest number of iterations; fewer than two have no change to compare."""

MIXED_IN = 0.1
"""Fraction of noise added to the initial direction."""

DIFFERENCE = float(np.sqrt(np.finfo(np.float64).eps))
"""Relative length of a difference: truncation, O(ε), and rounding, O(eps/ε), balance at √eps."""


def spectral_radius(
    field: Callable[[Any], Any], y: Any, slope: Any, vector: Any
) -> tuple[Array, Any]:
    """Return an upper estimate of the largest |eigenvalue| of ∂f/∂y at y, and its eigenvector.

    Nonlinear power iteration: v ← (f(y + εv) - f(y))/ε, normalized, until its norm changes by less
    than 1 %. The estimate is 1.2 times that norm (as in Sommeijer, Shampine & Verwer 1998, §3). For
    a symmetric Jacobian the norms increase monotonically towards the radius.

    Parameters
    ----------
    field, y, slope
        f, the point, and f(y).
    vector
        The initial direction, of norm 1: the eigenvector at an earlier point. A tenth of noise is
        added, since an exact eigenvector would never leave its own, by now smaller, eigenvalue.

    """
    size = _norm(y)
    # relative to y, whose rounding is the error of f(y + εv) - f(y)
    epsilon = DIFFERENCE * jnp.where(size > 0, size, 1.0)
    noise = chirp(y)

    def unsettled(carry: Any) -> Any:
        _, radius, before, count = carry
        moving = jnp.abs(radius - before) > SETTLED * radius
        return (count < FEWEST) | (moving & (count < MOST))

    def improve(carry: Any) -> Any:
        v, radius, _, count = carry
        moved = field(jax.tree.map(lambda y_j, v_j: y_j + epsilon * v_j, y, v))
        image = jax.tree.map(lambda a, b: (a - b) / epsilon, moved, slope)
        norm = _norm(image)
        return _normed(image, norm), norm, radius, count + 1

    start = jax.tree.map(lambda v, n: v + MIXED_IN * n, vector, noise)
    zero = jnp.zeros(())
    v, radius, _, _ = jax.lax.while_loop(
        unsettled, improve, (_normed(start, _norm(start)), zero, zero, jnp.asarray(0))
    )
    return SAFETY * radius, v


def chirp(y: Any) -> Any:
    """Return the direction sin(i²) over the entries i, of norm 1 and without structure.

    It is deterministic, so that integrations are reproducible, and unlike a random direction needs
    no key.
    """
    noise = jax.tree.map(
        lambda y_j: jnp.sin(jnp.arange(1.0, y_j.size + 1) ** 2).reshape(y_j.shape), y
    )
    return _normed(noise, _norm(noise))


def _norm(y: Any) -> Array:
    return jnp.sqrt(sum((jnp.sum(y_j**2) for y_j in jax.tree.leaves(y)), start=jnp.zeros(())))


def _normed(y: Any, norm: Array) -> Any:
    inverse = 1 / jnp.where(norm > 0, norm, 1.0)
    return jax.tree.map(lambda y_j: y_j * inverse, y)
