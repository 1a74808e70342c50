"""Where a flow is heading from its last state: to a minimum, to a saddle, away from one, slowly.

At layers θ the linearized flow δ̈ = -H δ̇, δ̇(0) = -g, g and H the gradient and the Hessian of the
objective, splits into modes: in an eigendirection v of H with curvature μ > 0 it decreases the
objective by ⟨g, v⟩²/2μ, and for μ < 0 it leaves. Lanczos' method with full reorthogonalization
yields the extreme μ and the components ⟨g, v⟩ from Hessian-vector products alone. The same in the
space of W, where most losses are convex, yields the Newton decrement ½ Gᵀ(∇²ℓ)⁺G: the distance of
the loss from its minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from flowsim.problem import network
from flowsim.problem.losses import Loss, Measurements, value_and_gradient
from flowsim.problem.problem import Problem
from flowsim.problem.types import Layers
from flowsim.solvers.curvature import (
    NEGATIVE,
    ROUNDING,
    Curvatures,
    curvatures_of_layers,
    curvatures_of_matrix,
)
from flowsim.solvers.verdict import Ending, Verdict

CONVERGED = 1e-6
"""Distance of the loss from its minimum at which it has converged, relative to its largest one."""
EXACT = 1e-13
"""The same where no saddle is looked for: a mode left out would have 3e-7 of the largest one."""
FLAT = 1e-2
"""A slope ‖g‖²/2L, L the curvature, below this fraction of what is left to decrease is flat."""
SLIGHT = 1e-5
"""Negative curvature that a minimum without certificate may have, relative to the largest one.

Where weight decay shrinks unbalanced layers it vanishes only as e^{-2λt}."""
ALIKE = 0.2
"""Change of the exponent from one half of the last decade to the other in a power law."""
FLATTEST, STEEPEST = 0.05, 6.0
"""Exponents of power laws; below is a plateau, above a decrease faster than a power of time."""
LEAST_TIMES = 4
"""Saved times in each half of the last decade that an exponent takes."""
NEWTON_STEPS = 4
"""Newton's steps that tell a loss that decreases for ever from one that has a minimum."""
STILL = "no direction of the layers decreases the loss"
LOCAL = "the gradient vanishes and no curvature is negative, a local minimum at least"


@dataclass(frozen=True)
class Minimum:
    """How far a loss is from its minimum, and why that is known.

    Attributes
    ----------
    distance
        ℓ(W) - ℓ*; nan if unknown.
    certificate
        Why ℓ* is the minimum.
    scale
        A decrease that is possible at least in the space of W, the Newton decrement; it sets the
        scale where the distance is unknown.

    """

    distance: float = nan
    certificate: str = ""
    scale: float = 0.0

    @property
    def known(self) -> bool:
        """Whether the distance is known."""
        return bool(np.isfinite(self.distance))


def heading(
    problem: Problem,
    layers: Layers,
    times: np.ndarray,
    losses: np.ndarray,
    *,
    growing: bool | None = None,
) -> Ending:
    """Return the verdict on layers at the end of a simulation with these losses.

    `growing` says whether a singular value is growing, where that is known more accurately than
    from the layers.
    """
    end = float(times[-1])
    W = np.asarray(network.end_to_end(layers))
    value = float(problem.loss.evaluate(layers))
    minimum = _minimum(problem, W, value)
    span, floor = _span(problem, losses, value, minimum)
    if minimum.distance <= max(EXACT * span, floor):
        return Ending(Verdict.CONVERGED, end, {"certificate": minimum.certificate})
    if problem.loss.separates(W):
        return Ending(Verdict.NO_FINITE_MINIMIZER, end)
    if _is_best_of_conserved_rank(problem, W, CONVERGED * span):
        return Ending(Verdict.SADDLE, end)
    if minimum.known and not problem.loss.quadratic and _decreases_for_ever(problem, W):
        return Ending(Verdict.NO_FINITE_MINIMIZER, end)
    near = curvatures_of_layers(problem, layers)
    rounding = np.abs(near.directions).T @ _rounding(problem, layers, near.largest)
    distance, descends = _descent_ahead(near, minimum, rounding)
    if descends:
        exponent = power_of_time(times, losses - value + distance)
        if exponent is not None:
            return Ending(Verdict.SLOW, end, {"exponent": exponent})
        if distance <= max(CONVERGED * span, floor):
            return Ending(Verdict.CONVERGED, end, {"certificate": minimum.certificate or STILL})
    elif _is_flat(near, minimum, span):
        if growing is None:
            growing = _leaves(problem, near, rounding, end)
        return Ending(Verdict.PLATEAU if growing else Verdict.SADDLE, end)
    return Ending(Verdict.REACHED_HORIZON, end)


def _descent_ahead(near: Curvatures, minimum: Minimum, rounding: np.ndarray) -> tuple[float, bool]:
    """Return how far the loss can still decrease, and whether the layers head there."""
    if minimum.known:
        return minimum.distance, near.decrease >= minimum.distance / 2
    still = bool((np.abs(near.slopes) <= rounding).all())
    leaves = bool((near.mu < -SLIGHT * near.largest).any())
    return near.decrease, (near.bounded or still) and not leaves


def _is_flat(near: Curvatures, minimum: Minimum, span: float) -> bool:
    """Return whether the loss hardly changes although it can still decrease by far."""
    left = minimum.distance if minimum.known else max(span, near.decrease, minimum.scale)
    flat = bool(near.slopes @ near.slopes <= 2 * near.largest * FLAT * left)
    # without the minimum, only a strongly negative curvature is evidence of a saddle
    evident = minimum.known or (near.mu < -FLAT * near.largest).any() or near.largest == 0
    return flat and bool(evident)


def _leaves(problem: Problem, near: Curvatures, rounding: np.ndarray, end: float) -> bool:
    """Return whether the gradient has a component along negative curvature, above rounding.

    One that may have grown at this rate from rounding at the start does not count.
    """
    negative = near.mu < -NEGATIVE * near.largest
    early = np.linalg.norm(_rounding(problem, problem.layers, near.largest))
    grown = np.abs(near.slopes) * np.exp(np.minimum(near.mu * end, 0.0))
    return bool((grown > np.maximum(rounding, early))[negative].any())


def _is_best_of_conserved_rank(problem: Problem, W: np.ndarray, least: float) -> bool:
    """Return whether W is the best matrix of the rank that the flow conserves, of those possible.

    From balanced layers the exact flow conserves the rank of W; a higher one would do better.
    """
    rank, factors = network.rank_bound(problem.layers), problem.loss.factored()
    if problem.weight_decay or factors is None or rank >= min(problem.widths):
        return False
    return _of_least_squares(factors.R, factors.T, W, rank)[0] <= least


def _span(
    problem: Problem, losses: np.ndarray, value: float, minimum: Minimum
) -> tuple[float, float]:
    """Return the largest distance of the loss from its minimum, and the rounding of such."""
    highest = max(float(losses.max()), value)
    if not problem.weight_decay and not problem.loss.on_layers:
        highest = max(highest, float(value_and_gradient(problem.loss, 0 * problem.initial)[0]))
    span = highest - value + (minimum.distance if minimum.known else 0.0)
    return span, 1e3 * float(np.finfo(float).eps) * abs(value)


def power_of_time(times: np.ndarray, distance: np.ndarray) -> float | None:
    """Return p if a distance decreases as t^{-p} over the last decade of time, else None."""
    late = (times >= times[-1] / 10) & (times > 0)
    t, d = times[late], distance[late]
    first = t < t[-1] / np.sqrt(10) if t.size else np.zeros(0, dtype=bool)
    if min(np.count_nonzero(first), np.count_nonzero(~first)) < LEAST_TIMES or d.min() <= 0:
        return None
    early, p = (-float(np.polyfit(np.log(t[h]), np.log(d[h]), 1)[0]) for h in (first, ~first))
    if abs(early - p) > ALIKE * max(early, p) or not FLATTEST <= p <= STEEPEST:
        return None
    in_log, in_time = (np.polyfit(x, np.log(d), 1, full=True)[1] for x in (np.log(t), t))
    return p if in_log.sum() < in_time.sum() / 9 else None


def _minimum(problem: Problem, W: np.ndarray, value: float) -> Minimum:
    """Return the distance of the loss at W from its minimum over what the network can express."""
    loss, narrowest = problem.loss, min(problem.widths)
    if loss.on_layers:
        return Minimum()
    if not problem.weight_decay:
        if (factors := loss.factored()) is not None:
            distance, reason = _of_least_squares(factors.R, factors.T, W, narrowest)
            return Minimum(distance, reason)
        if isinstance(loss, Measurements) and _has_rank(np.asarray(loss.Phi), narrowest):
            return Minimum(value, "all measurements are met")
    newton = curvatures_of_matrix(loss, W, np.array(value_and_gradient(loss, W)[1]))
    curved = not (newton.mu < -NEGATIVE * newton.largest).any()
    is_local = curved and newton.bounded
    distance = nan if problem.weight_decay else _above_stated(loss, W, value, narrowest)
    # far above the stated minimum the gradient may vanish at another one, which is local
    if not np.isnan(distance) and not (is_local and newton.decrease < FLAT * distance):
        return Minimum(distance, "the stated minimum is reached")
    if problem.weight_decay or narrowest < min(W.shape) or not is_local:
        return Minimum(scale=newton.decrease)
    convex = loss.why_not_smooth_convex == ""
    return Minimum(newton.decrease, "the gradient of a convex loss vanishes" if convex else LOCAL)


def _above_stated(loss: Loss, W: np.ndarray, value: float, narrowest: int) -> float:
    """Return the distance of the loss from its stated minimum; nan where no W may attain that."""
    if loss.minimum is None:
        return nan
    attained = loss.target is not None and _has_rank(np.asarray(loss.target), narrowest)
    return max(value - loss.minimum, 0.0) if attained or narrowest >= min(W.shape) else nan


def _has_rank(Phi: np.ndarray, rank: int) -> bool:
    return rank >= min(Phi.shape) or bool(np.linalg.matrix_rank(Phi) <= rank)


def _of_least_squares(R: np.ndarray, T: np.ndarray, W: np.ndarray, rank: int) -> tuple[float, str]:
    """Return the distance of ½‖WR - T‖² from its minimum over rank(W) ≤ r, and why that is so."""
    rows = np.linalg.svd(R, full_matrices=False)
    spans = R.shape[0] * np.finfo(float).eps * rows.S.max(initial=0.0) < rows.S
    Z = rows.Vh[spans]
    fit = (T @ Z.T) @ Z
    distance = 0.5 * float(np.sum((W @ R - fit) ** 2))
    rest = np.linalg.svd(fit, compute_uv=False)[rank:]
    if not rest.size or rest.max() <= np.finfo(float).eps * np.linalg.norm(fit):
        return distance, "the normal equations hold"
    if np.count_nonzero(spans) < len(R):
        return nan, ""
    distance = max(distance - 0.5 * float(rest @ rest), 0.0)
    return distance, f"the best approximation of rank {rank} (Eckart & Young 1936)"


def _rounding(problem: Problem, layers: Layers, curvature: float) -> np.ndarray:
    """Return the size of rounding errors in each entry of the gradients of layers."""
    W = np.asarray(network.end_to_end(layers))
    # the gradient itself is a difference of terms of about the size of its curvature times W
    size = np.abs(value_and_gradient(problem.loss.of_matrix, W)[1]) + curvature * np.abs(W)
    sizes = tuple(np.abs(layer) for layer in layers)
    slopes = network.layer_gradients(sizes, lambda _: size)
    if problem.loss.on_layers:  # and that of the function of the layers
        slopes = tuple(s + curvature * layer for s, layer in zip(slopes, sizes, strict=True))
    return ROUNDING * np.concatenate([np.ravel(s) for s in slopes])


def _decreases_for_ever(problem: Problem, W: np.ndarray) -> bool:
    """Return whether Newton's steps keep their length while each divides the decrement by about e².

    That is the tail of e^{-w}, which has no minimum: near a finite one the steps shrink
    quadratically.
    """
    steps, decrements = [], []
    for _ in range(NEWTON_STEPS):
        G = np.array(value_and_gradient(problem.loss, W)[1])
        newton = curvatures_of_matrix(problem.loss, W, G)
        decrements.append(newton.decrease)
        steps.append(float(np.linalg.norm(newton.step)))
        W = W + newton.step.reshape(W.shape)
    if not np.isfinite(decrements).all() or min(decrements) <= 0:
        return False
    falls = np.log(np.divide(decrements[:-1], decrements[1:]))
    return bool(((falls > 0.5) & (falls < 2.0)).all() and min(steps) > 0.5 * max(steps))
