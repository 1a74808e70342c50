"""Whether a mode's 2-cycle is stable against turning: why exactly aligned runs mislead.

Exactly aligned layers stay so. Of a mode r in its 2-cycle and a mode q at rest, what lies between
them (entries rq and qr of every layer) is moved to first order by

    M = (I - ηH_high)(I - ηH_low),

H the block of the Hessian of φ(W_1..W_N) at the two points of the cycle, 2N × 2N. Turning the
hidden units, N - 1 ways, changes nothing, with a multiplier of 1; past the step size at which
another multiplier leaves the unit circle, any noise grows into a turning of the singular vectors.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from flowsim.problem import network
from flowsim.theory.oscillation.period_doubling import (
    critical_step_size,
    second_doubling,
    two_cycle,
)

STEPS = 120
"""So many step sizes are searched for a change."""


def multipliers(eta: float, phi: tuple[float, float], depth: int) -> np.ndarray:
    """Return the multipliers of M but those N - 1 nearest to 1, the largest first.

    Parameters
    ----------
    eta
        The step size of ½‖W - Φ‖²_F.
    phi
        The targets of the mode in its 2-cycle, and of the one at rest.
    depth
        The depth N.

    """
    cycle = two_cycle(eta / float(critical_step_size(np.array(phi[0]), depth)), depth)
    M = np.eye(2 * depth)
    for u in (cycle.low, cycle.high):
        diagonal = np.array([u * phi[0] ** (1 / depth), phi[1] ** (1 / depth)])
        H = np.asarray(_between(diagonal, np.array(phi), depth))
        M = (np.eye(2 * depth) - eta * H) @ M
    found = np.linalg.eigvals(M) if np.isfinite(M).all() else np.full(2 * depth, np.nan)
    others = found[np.argsort(np.abs(found - 1))][depth - 1 :]
    return np.asarray(others[np.argsort(-np.abs(others))])


@partial(jax.jit, static_argnums=2)
def _between(diagonal: jax.Array, phi: jax.Array, depth: int) -> jax.Array:
    """Return the Hessian over the off-diagonal entries of N layers that are diag(w_r, w_q)."""

    def loss(off: jax.Array) -> jax.Array:
        upper, lower = off.reshape(2, depth)
        layers = tuple(
            jnp.array([[diagonal[0], a], [b, diagonal[1]]])
            for a, b in zip(upper, lower, strict=True)
        )
        return 0.5 * jnp.sum((network.end_to_end(layers) - jnp.diag(phi)) ** 2)

    H: jax.Array = jax.hessian(loss)(jnp.zeros(2 * depth))
    return H


def turning_onset(phi: tuple[float, float], depth: int) -> float:
    """Return the step size at which the 2-cycle of the first mode begins to turn to the second.

    It is searched from the critical step size on, as long as the 2-cycle is stable and the second
    mode is at rest; nan where there is none.
    """
    if depth == 1:
        return float("nan")
    critical = critical_step_size(np.array(phi), depth)
    end = min(critical[0] * second_doubling(depth), critical[1])
    if not critical[0] < end:
        return float("nan")

    def grows(eta: float) -> float:
        return float(np.abs(multipliers(eta, phi, depth)[0]) - 1)

    sizes = critical[0] + (end - critical[0]) * np.linspace(1e-3, 1, STEPS)
    out = np.flatnonzero(np.array([grows(float(eta)) for eta in sizes]) > 0)
    if not out.size:
        return float("nan")
    if out[0] == 0:
        return float(sizes[0])
    return float(brentq(grows, sizes[out[0] - 1], sizes[out[0]], rtol=1e-10))
