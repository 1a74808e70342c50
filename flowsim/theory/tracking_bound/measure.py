"""Bound on the discretization error of gradient descent to first order in the step size.

Let θ hold all layers, with θ̇ = -∇φ(θ). A step of descent is a step of Euler's method, with the
local error (η²/2) θ̈ + O(η³), θ̈ = ∇²φ ∇φ. Errors evolve as ė = -∇²φ e, so that

    ‖θ_k - θ(kη)‖ ≤ η ∫_0^{kη} ½‖∇²φ∇φ‖(s) exp(∫_s^{kη} m) ds + O(η²),   m = max(0, -λ_min(∇²φ)),

with all quantities along the flow. It is the leading order of Theorem 3 of Elkabetz & Cohen (2021,
arXiv:2107.06608). The theorem holds for every η below a limit, with ‖∇²φ‖‖∇φ‖ in place of
½‖∇²φ∇φ‖, and with suprema over a neighbourhood of the flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.accumulators import Accumulated
from flowsim.dynamics.layers import LayerFlow
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Layers
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import iterations
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.setting import Arrays, Setting, replay
from flowsim.theory.sharpness.measure import extremes_or_nan


class Derivatives(NamedTuple):
    """θ̇, θ̈ and the third derivative along the flow of the layers, each of the layers' shapes."""

    first: Layers
    second: Layers
    third: Layers


@eqx.filter_jit
def derivatives(loss: Loss, layers: Layers, weight_decay: Array | float = 0.0) -> Derivatives:
    """Return θ̇ = -∇φ, θ̈ = ∇²φ∇φ and θ⃛ at `layers`, φ with (λ/2) Σ‖W_j‖² added."""

    def velocity(at: Layers) -> Layers:
        return LayerFlow().velocity(at, loss, weight_decay)

    def acceleration(at: Layers) -> Layers:
        moved: Layers = jax.jvp(velocity, (at,), (velocity(at),))[1]
        return moved

    first = velocity(tuple(layers))
    second, third = jax.jvp(acceleration, (tuple(layers),), (first,))
    return Derivatives(first, second, third)


def norm(layers: Sequence[Array]) -> float:
    """Return ‖θ‖ = (Σ_j ‖W_j‖²_F)^{1/2}."""
    return float(jnp.sqrt(sum(jnp.sum(jnp.square(W)) for W in layers)))


def shortly_after(
    layers: Sequence[Array], moving: Derivatives, delay: float
) -> tuple[list[np.ndarray], float]:
    """Return θ + δθ̇ + (δ²/2)θ̈ for θ(t + δ), and |δ|³/3 ‖θ⃛‖: twice the first term it leaves out."""
    series = zip(layers, moving.first, moving.second, strict=True)
    moved = [np.asarray(W + delay * V + 0.5 * delay**2 * A) for W, V, A in series]
    return moved, abs(delay) ** 3 / 3 * norm(moving.third)


class Bound(NamedTuple):
    """The factor of η in the bound, from above and from below.

    Within an interval of saved times the local error density and m are replaced by the larger of
    their end values for `above`, and by the smaller for `below`. Where both are monotone in each
    interval, the exact integral is between the two.
    """

    above: np.ndarray
    below: np.ndarray


def bound(time: np.ndarray, density: np.ndarray, smallest: np.ndarray, at: np.ndarray) -> Bound:
    """Return ∫_0^t ½‖∇²φ∇φ‖ exp(∫_s^t m) ds at the times t in `at`, of any shape.

    `density` is ½‖∇²φ∇φ‖ and `smallest` is λ_min(∇²φ), both at the times `time`. After the last of
    these, its values are extrapolated as constants. inf means overflow.
    """
    m = np.maximum(0.0, -smallest)
    sides = []
    for pick in (np.maximum, np.minimum):
        d, rate = (np.append(pick(v[1:], v[:-1]), v[-1]) for v in (density, m))
        # with both constant in an interval, Ḃ = mB + density is solved exactly: no further error
        at_times = [0.0]
        for k, span in enumerate(np.diff(time)):
            at_times.append(grown(at_times[k], d[k], rate[k], span))
        before = np.searchsorted(time, at, side="right") - 1
        sides.append(
            [
                grown(at_times[k], d[k], rate[k], t - time[k])
                for k, t in zip(before.ravel(), at.ravel(), strict=True)
            ]
        )
    above, below = (np.reshape(values, at.shape) for values in sides)
    return Bound(above, below)


def amplification(time: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """Return an upper bound on exp ∫_0^t m, m = max(0, -λ_min); inf means overflow.

    It is the upper Riemann sum of m at the saved times, an upper bound where m is monotone between
    them.
    """
    m = np.maximum(0.0, -smallest)
    exponent = np.cumsum(np.diff(time) * np.maximum(m[1:], m[:-1]))
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(np.concatenate([[0.0], exponent])))


def grown(B: float, density: float, m: float, span: float) -> float:
    """Return B e^{mh} + density (e^{mh} - 1)/m, the solution of Ḃ = mB + density after a time h.

    `expm1` keeps the digits that e^{mh} - 1 loses for small mh; inf means overflow.
    """
    with np.errstate(over="ignore"):
        gain = float(np.expm1(m * span))
    made = density * (gain / m if m > 0 else span)
    return float((B * (1 + gain) if B else 0.0) + made)  # and not 0 · inf


HALF, EPS = 0.5, float(np.finfo(float).eps)
SAME_TIME = 1e-13
"""Relative difference below which two times are equal."""


def measure(setting: Setting) -> Arrays:
    """Return local error density and λ_min along the flow, and distance and bound by step size.

    Values are nan where the flow was not reached, where descent has diverged, and after an
    interrupt.
    """
    flow = setting.layer_flow
    first = replace(setting, monitor=setting.monitor.part(0.0, HALF))
    over_time = first.at_saved_times(flow, lambda i: _at_time(setting, i))
    density, lowest = over_time["density"], over_time["smallest"] - over_time["error"]
    assert setting.scenario.descent is not None
    sizes = np.asarray(setting.scenario.descent.sizes)
    saved = saved_times(setting.scenario)
    count = iterations(saved, sizes.tolist())
    times = count * sizes[:, None]
    distance, distance_error = _distances(setting, flow, sizes, count)
    limit = bound(flow.times, density, lowest, times)
    reached = np.arange(saved.size) < flow.times.size
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = np.where(reached, sizes[:, None] * limit.above, np.nan)
        width = np.where(reached, sizes[:, None] * (limit.above - limit.below), np.nan)
        ratio = np.where(distance > distance_error, upper / distance, np.nan)
    return {
        **over_time,
        "amplification": amplification(flow.times, lowest),
        "step_size": sizes,
        "iterate_time": times,
        "distance": distance,
        "distance_error": distance_error,
        "bound": upper,
        "bound_error": width,
        "ratio": ratio,
    }


def _at_time(setting: Setting, i: int) -> dict[str, float]:
    """Return ½‖∇²φ∇φ‖, λ_min and its error at one saved time."""
    problem, layers = setting.problem, setting.layers(i)
    moving = derivatives(problem.loss, layers, problem.weight_decay)
    ends = extremes_or_nan(problem, layers)
    return {"density": 0.5 * norm(moving.second), "smallest": ends.smallest, "error": ends.error}


def _distances(
    setting: Setting, flow: Trajectory, sizes: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return ‖θ_k - θ(kη)‖ and its error, by step size and recorded iterate.

    Where kη differs from the saved time, a Taylor polynomial takes the flow to kη. The error is the
    sum of its remainder, the error of the flow, and rounding. The relative error of the flow is
    assumed to be the same in the layers as in W.
    """
    problem = setting.problem
    distance, error = np.full((2, *count.shape), np.nan)
    sigma = np.linalg.norm(flow.singular_values, axis=1)
    relative = flow.error_estimate / np.where(sigma > 0, sigma, np.nan)

    def visit(k: int, sample: int, layers: Layers, sums: Accumulated) -> None:  # noqa: ARG001
        if sample >= flow.times.size:
            return
        there, remainder = setting.layers(sample), 0.0
        own = float(relative[sample] + EPS) * norm(there)
        delay = float(count[k, sample] * sizes[k] - flow.times[sample])
        if abs(delay) > SAME_TIME * flow.times[sample]:
            moving = derivatives(problem.loss, there, problem.weight_decay)
            moved, remainder = shortly_after(there, moving, delay)
            there = tuple(moved)
        apart = [np.asarray(W) - V for W, V in zip(layers, there, strict=True)]
        distance[k, sample], error[k, sample] = norm(apart), remainder + own

    replay(
        problem,
        sizes.tolist(),
        count,
        visit,
        monitor=setting.monitor.part(HALF, 1.0),
    )
    return distance, error
