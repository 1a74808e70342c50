"""The map of a single mode under gradient descent, and its period doublings.

Balanced layers that are aligned with Φ stay so under descent of ½‖W - Φ‖²_F: a mode with target φ
is N equal scalars, w ← w - ηw^{N-1}(w^N - φ). With u = w/φ^{1/N}, and x = η/η_c in units of the
critical step size η_c = 2/(Nφ^{2-2/N}), all modes of all targets follow the same map

    f(u) = u - (2x/N) u^{N-1}(u^N - 1),      f'(1) = 1 - 2x.

At x = 1, where f'(1) = -1, the fixed point u = 1 loses stability to a 2-cycle (Chen & Bruna 2023,
arXiv:2206.04172; Ghosh et al. 2025, arXiv:2502.20531), whose amplitude grows as √(x - 1).

Instability of the singular vectors: layers that are exactly aligned with the target stay so, and
their modes evolve independently. In a 2-cycle this state can be unstable: let mode r be in its
2-cycle, and mode q at its fixed point. The entries rq and qr of every layer, which are 0
if aligned, evolve to first order over two steps by

    M = (I - ηH_high)(I - ηH_low),

where H is the 2N × 2N block of the Hessian of φ(W_1, …, W_N) for these entries, at either point of
the cycle. Rotations of the hidden units leave W unchanged, which gives N - 1 multipliers of exactly
1. From the step size on at which another multiplier leaves the unit circle, any noise grows: the
singular vectors rotate, so that exactly aligned runs are misleading.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq, minimize_scalar

from flowsim.problem import network

EPS = float(np.finfo(float).eps)

GRID = 4000
"""Points between which a change of sign is searched."""

FARTHEST = 4.0
"""Multiple of the critical step size beyond which no 2-cycle is stable."""

STEPS = 120
"""Step sizes between which the onset of instability is searched."""


def critical_step_size(phi: np.ndarray, depth: int) -> np.ndarray:
    """Return η_c = 2/(N φ^{2-2/N}), below which w^N = φ is a stable fixed point; inf for φ = 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(2 / (depth * np.asarray(phi, dtype=float) ** (2 - 2 / depth)))


def step(u: np.ndarray | float, x: float, depth: int) -> np.ndarray:
    """Return f(u), one iteration of gradient descent."""
    u = np.asarray(u, dtype=float)
    return np.asarray(u - 2 * x / depth * u ** (depth - 1) * (u**depth - 1))


def multiplier(u: np.ndarray | float, x: float, depth: int) -> np.ndarray:
    """Return f'(u) = 1 - (2x/N)((2N-1)u^{2N-2} - (N-1)u^{N-2})."""
    N, u = depth, np.asarray(u, dtype=float)
    lower = 0.0 if N == 1 else (N - 1) * u ** (N - 2)
    return np.asarray(1 - 2 * x / N * ((2 * N - 1) * u ** (2 * N - 2) - lower))


class Cycle(NamedTuple):
    """A 2-cycle f(low) = high, f(high) = low, and its multiplier f'(low)f'(high).

    It is stable if |multiplier| < 1. All entries are nan if the cycle does not exist.
    """

    low: float
    high: float
    multiplier: float

    @property
    def stable(self) -> bool:
        """Whether nearby iterates converge to the cycle."""
        return abs(self.multiplier) < 1


NONE = Cycle(np.nan, np.nan, np.nan)


def two_cycle(x: float, depth: int) -> Cycle:
    """Return the 2-cycle that bifurcates from u = 1 at x = 1, in units of φ^{1/N}.

    It is the zero of f(f(u)) - u next to u = 1 from below. Just below 1, f(f(u)) < u, since
    f'(1)² > 1. The entries are nan for x ≤ 1, and for N = 1, whose map is linear.
    """
    if depth == 1 or x <= 1:
        return NONE

    def back(u: np.ndarray | float) -> np.ndarray:
        return step(step(u, x, depth), x, depth) - u

    # Near the bifurcation 1 - low ~ √(x - 1) is small: a logarithmic grid resolves it.
    grid = 1 - np.geomspace(1e-7, 1 - 1e-7, GRID)
    with np.errstate(over="ignore", invalid="ignore"):
        above = np.flatnonzero(back(grid) > 0)
    if not above.size or above[0] == 0:
        return NONE
    low = float(brentq(back, grid[above[0]], grid[above[0] - 1], xtol=4 * EPS, rtol=8 * EPS))
    high = float(step(low, x, depth))
    return Cycle(low, high, float(multiplier(low, x, depth) * multiplier(high, x, depth)))


def second_doubling(depth: int) -> float:
    """Return x at which the 2-cycle loses stability to a 4-cycle: its multiplier is -1 there.

    Raises
    ------
    ValueError
        For N = 1, where there is no 2-cycle.

    """
    if depth == 1:
        raise ValueError("One layer is a linear map, which has no 2-cycle.")

    def past(x: float) -> float:
        return two_cycle(x, depth).multiplier + 1

    steps = np.linspace(1.001, FARTHEST, 200)
    values = np.array([past(float(x)) for x in steps])
    first = int(np.flatnonzero(values < 0)[0])
    return float(brentq(past, steps[first - 1], steps[first], xtol=1e-12))


def amplitude_near(x: float, depth: int) -> float:
    """Return the amplitude of w^N/φ in the 2-cycle, to leading order in √(x - 1).

    At x = 1, f(1 + v) = 1 - v + Av² + Cv³ with A = -3(N-1), C = -(N-1)(7N-11)/3, so that the cycle
    is at v² = 2(x - 1)/(A² + C), A² + C = (4/3)(N-1)(5N-4) > 0. The bifurcation is supercritical,
    and the cycle stable, at every depth.
    """
    N = depth
    return float(N * np.sqrt(1.5 * (x - 1) / ((N - 1) * (5 * N - 4))))


def sign_change(depth: int) -> float:
    """Return x at which f maps its maximum over (0, 1) to 0.

    Up to there a mode keeps its sign. Beyond, an oscillation may reach values below 0. For odd N,
    where f(u) > u below 0 and 0 attracts from that side, the mode then collapses to 0 (x = 1.8305
    for N = 3). For even N, f being odd, it continues around either of ±φ.

    Raises
    ------
    ValueError
        For N = 1, whose map is linear.

    """
    if depth == 1:
        raise ValueError("One layer is a linear map, in which a mode changes sign past x = 1/2.")
    grid = np.linspace(0.0, 1.0, GRID)

    def after_largest(x: float) -> float:
        top = grid[int(np.argmax(step(grid, x, depth)))]
        near = minimize_scalar(
            lambda u: -float(step(u, x, depth)),
            bounds=(top - 1 / GRID, top + 1 / GRID),
            method="bounded",
            options={"xatol": 1e-10},
        )
        return float(step(-near.fun, x, depth))

    return float(brentq(after_largest, 1.0, FARTHEST, xtol=1e-12))


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
    low, high = sizes[out[0] - 1], sizes[out[0]]
    return float(brentq(grows, low, high, xtol=1e-12 * low, rtol=1e-10))
