"""Instability of the singular vectors beyond the edge of stability.

Layers that are exactly aligned with the target stay so, and their modes evolve independently. In a
2-cycle this state can be unstable: let mode r be in its 2-cycle, and mode q at its fixed point. The
entries rq and qr of every layer, which are 0 if aligned, evolve to first order over two steps by

    M = (I - ηH_high)(I - ηH_low),

where H is the 2N × 2N block of the Hessian of φ(W_1, …, W_N) for these entries, at either point of
the cycle. Rotations of the hidden units leave W unchanged, which gives N - 1 multipliers of exactly
1. From the step size on at which another multiplier leaves the unit circle, any noise grows: the
singular vectors rotate, so that exactly aligned runs are misleading.
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
"""Step sizes between which a change of sign is searched."""


def multipliers(eta: float, phi: tuple[float, float], depth: int) -> np.ndarray:
    """Return the N + 1 multipliers of M without the N - 1 nearest to 1, largest modulus first.

    They are nan where the cycle does not exist.

    Parameters
    ----------
    eta
        The step size of ½‖W - Φ‖²_F.
    phi
        The targets of the mode in its 2-cycle, and of the one at its fixed point.
    depth
        The depth N.

    """
    cycle = two_cycle(eta / float(critical_step_size(np.array(phi[0]), depth)), depth)
    M = np.eye(2 * depth)
    for u in (cycle.low, cycle.high):
        diagonal = np.array([u * phi[0] ** (1 / depth), phi[1] ** (1 / depth)])
        H = np.asarray(_between(diagonal, np.array(phi), depth))
        M = (np.eye(2 * depth) - eta * H) @ M
    every = np.linalg.eigvals(M) if np.isfinite(M).all() else np.full(2 * depth, np.nan)
    others = every[np.argsort(np.abs(every - 1))][depth - 1 :]
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


def instability_onset(phi: tuple[float, float], depth: int) -> float:
    """Return the step size at which the 2-cycle of the first mode becomes unstable to rotations.

    The search covers step sizes at which the 2-cycle exists and is stable within its mode, and the
    second mode is below its own critical step size; nan if it stays stable there. One layer has no
    2-cycle.
    """
    if depth == 1:
        return float("nan")
    critical = critical_step_size(np.array(phi), depth)
    end = min(critical[0] * second_doubling(depth), critical[1])
    if not critical[0] < end:
        return float("nan")

    def grows(eta: float) -> float:
        return float(np.abs(multipliers(eta, phi, depth)[0]) - 1)

    # The cycle has amplitude 0 at the critical step size itself, where the root is degenerate.
    sizes = critical[0] + (end - critical[0]) * np.linspace(1e-3, 1, STEPS)
    out = np.flatnonzero(np.array([grows(float(eta)) for eta in sizes]) > 0)
    if not out.size:
        return float("nan")
    if out[0] == 0:
        return float(sizes[0])
    return float(brentq(grows, sizes[out[0] - 1], sizes[out[0]], rtol=1e-10))
