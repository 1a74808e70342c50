"""The global minimum of a loss over end-to-end matrices, independent of any flow.

Quadratic losses are minimized by linear algebra; under a bound on the rank by the theorem of Eckart
& Young (1936), where that applies. ℓ_p regression with p < 2 is minimized by reweighted least
squares, other convex losses by Newton's method in a trust region (SciPy's "trust-ncg").
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import numpy as np

from flowsim.problem.losses import Loss, Measurements, PowerRegression, value_and_gradient
from flowsim.problem.types import Array
from flowsim.theory.power_minimum import power_minimum

LARGEST = 1000
"""Largest number of entries of W for a convex solve; the Hessian has the square of that."""

RESIDUAL, UNSETTLED = 1e-10, 1e-6
"""Gradient norms relative to that at W = 0: where a solve ends, and the largest accepted."""

FLAT = 1e-8
"""Smallest over largest eigenvalue of the Hessian above which a minimizer counts as unique."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minimum of a loss over matrices of given shape and bounded rank.

    Attributes
    ----------
    value
        ℓ*; nan if unknown.
    W
        A minimizer; None if none exists or is known.
    only
        Whether W is the unique minimizer.
    free
        Whether the bound on the rank is inactive, so that ∇ℓ(W) = 0.
    error
        Estimate of how much ℓ* is too large. It is 0 for linear algebra. For a solve it is half the
        squared Newton decrement, ½ gᵀH⁺g: the remaining decrease to leading order in the gradient
        g, and at most ℓ* itself, since no loss here is negative. For p < 2 it is the distance to a
        lower bound by duality.
    how
        The method, or the reason why the minimum is unknown.

    """

    value: float
    W: np.ndarray | None
    only: bool
    free: bool
    error: float
    how: str


def global_minimum(loss: Loss, shape: tuple[int, int], rank: int) -> Minimum:
    """Return the minimum of ℓ over d_N × d_0 matrices of rank at most `rank`."""
    if (factors := loss.factored()) is not None:
        return _regression(*factors, rank)
    if isinstance(loss, Measurements):
        return _interpolated(loss, rank)
    if isinstance(loss, PowerRegression) and loss.p < 2:
        return _of_powers(loss, rank)
    if reason := loss.why_not_smooth_convex:
        return _unknown(f"the minimum of {reason}")
    return _solved(loss, shape, rank)


def _unknown(what: str) -> Minimum:
    nan = float("nan")
    return Minimum(nan, None, only=False, free=False, error=nan, how=f"{what} is not computed")


def _exceeds(W: np.ndarray, rank: int) -> bool:
    """Return whether W has more than the admitted rank, which only a bound below full rank does."""
    return rank < min(W.shape) and bool(np.linalg.matrix_rank(W) > rank)


def _nearest(T: np.ndarray, R_inverse: np.ndarray, floor: float, rank: int) -> Minimum:
    """Return the minimum of ½‖WR - T‖² + floor over rank(W) ≤ r for an invertible R.

    WR is T truncated to its first r singular values, unique where these are larger than the next.
    """
    U, sigma, Vt = np.linalg.svd(T, full_matrices=False)
    rest = sigma[rank:]
    one = not rest.size or sigma[rank - 1] > rest[0] or rest[0] == 0
    W = (T if not rest.any() else (U[:, :rank] * sigma[:rank]) @ Vt[:rank]) @ R_inverse
    free = not rest.any()
    how = "linear algebra" if free else f"the first {rank} singular values"
    value = 0.5 * float(rest @ rest) + floor
    return Minimum(value, W, only=bool(one), free=free, error=0.0, how=how)


def _regression(R: np.ndarray, T: np.ndarray, floor: float, rank: int) -> Minimum:
    """Return the minimum of ½‖WR - T‖² + floor: TR⁺, and with full data that of bounded rank."""
    if np.linalg.matrix_rank(R) == len(R):
        return _nearest(T, np.linalg.pinv(R), floor, rank)
    W = T @ np.linalg.pinv(R)
    if np.linalg.matrix_rank(W) > rank:
        return _unknown("a minimum under a bound on the rank, on data that do not span the inputs,")
    value = floor + 0.5 * float(np.sum((W @ R - T) ** 2))
    return Minimum(value, W, only=False, free=True, error=0.0, how="linear algebra")


def _interpolated(loss: Measurements, rank: int) -> Minimum:
    """Return the minimum 0 at Φ, which is the only one where its measurements determine it."""
    Phi = np.asarray(loss.Phi)
    if _exceeds(Phi, rank):
        return _unknown("a minimum under a bound on the rank")
    one, how = loss.determines_target(), "the target fits exactly"
    return Minimum(0.0, Phi, only=one, free=True, error=0.0, how=how)


def _of_powers(loss: PowerRegression, rank: int) -> Minimum:
    """Return the minimum of ℓ_p regression, p < 2, with the distance to a lower bound as error."""
    X, Y = np.asarray(loss.X), np.asarray(loss.Y)
    W, value, bound, only = power_minimum(X, Y, loss.p)
    if not value - bound <= UNSETTLED * float(loss.value(np.zeros_like(W))):
        return _unknown(f"a minimum at p = {loss.p:g} with so many residuals near 0")
    if _exceeds(W, rank):
        return _unknown("a minimum under a bound on the rank")
    how = "a linear program" if loss.p == 1 else "reweighted least squares"
    return Minimum(value, W, only=only, free=True, error=max(value - bound, 0.0), how=how)


def _solved(loss: Loss, shape: tuple[int, int], rank: int) -> Minimum:
    """Return the minimum of a smooth convex loss, from W = 0.

    Where W separates the classes of a loss on classes its infimum is 0 and not attained.
    """
    from scipy.optimize import minimize

    size = shape[0] * shape[1]
    if size > LARGEST:
        return _unknown(f"the minimum over more than {LARGEST} entries of W")

    def value_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, G = value_and_gradient(loss, x.reshape(shape))
        return float(value), np.array(G).ravel()

    def curve(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.array(_curvature(loss, x.reshape(shape), v.reshape(1, *shape))).ravel()

    at_zero = float(np.linalg.norm(value_and_slope(np.zeros(size))[1]))
    options = {"gtol": RESIDUAL * at_zero}
    solution = minimize(
        value_and_slope, np.zeros(size), jac=True, hessp=curve, method="trust-ncg", options=options
    )
    W = solution.x.reshape(shape)
    if loss.separates(W):
        how = "the classes can be separated: the infimum 0 is not attained"
        return Minimum(0.0, None, only=False, free=True, error=0.0, how=how)
    g = value_and_slope(solution.x)[1]
    if not np.linalg.norm(g) <= UNSETTLED * at_zero:
        return _unknown("a minimum at which Newton's method does not settle")
    return _certified(loss, W, g, rank)


@eqx.filter_jit
def _curvature(loss: Loss, W: Array, directions: Array) -> Array:
    """Return ∇²ℓ(W) applied to each of the directions along the leading axis."""
    products: Array = jax.lax.map(lambda V: jax.jvp(loss.gradient, (W,), (V,))[1], directions)
    return products


def _certified(loss: Loss, W: np.ndarray, g: np.ndarray, rank: int) -> Minimum:
    """Return the final point of a solve as the minimum, with its Newton decrement as error."""
    W = loss.normalized(W)
    every = np.eye(W.size).reshape(-1, *W.shape)
    H = np.asarray(_curvature(loss, W, every)).reshape(W.size, W.size)
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    # eigenvalues at the level of rounding belong to flat directions, where g is rounding as well
    known = values > W.size * np.finfo(float).eps * values[-1]
    left = 0.5 * float(np.sum((vectors.T @ g)[known] ** 2 / values[known]))
    value = float(loss.value(W))
    if _exceeds(W, rank):
        return _unknown("a minimum under a bound on the rank")
    one = bool(values[0] > FLAT * values[-1])
    how = "Newton's method in a trust region"
    return Minimum(value, W, only=one, free=True, error=min(value, left), how=how)
