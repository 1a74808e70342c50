"""The global minimum of a loss over end-to-end matrices, independent of any flow.

Quadratic losses are minimized by linear algebra; under a bound on the rank by the theorem of Eckart
& Young (1936), where that applies. ℓ_p regression with p < 2 is minimized by reweighted least
squares, other convex losses by Newton's method. The infimum of a loss on classes may not be
attained: where they can be separated, or some of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import numpy as np

from flowsim.problem.losses import (
    Classifier,
    Loss,
    Measurements,
    PowerRegression,
    value_and_gradient,
)
from flowsim.problem.types import Array
from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory import attainment
from flowsim.theory.convex_minimum import Bottom, newton
from flowsim.theory.power_minimum import power_minimum

LARGEST = 1000
"""Largest number of entries of W for a convex solve; the Hessian has the square of that."""

BATCH = 32
"""Columns of the Hessian that are computed at once."""

UNSETTLED = 1e-6
"""Largest duality gap relative to the loss at W = 0 that is accepted."""

METHOD = "Newton's method"


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minimum of a loss over matrices of given shape and bounded rank.

    Attributes
    ----------
    value
        ℓ*, the infimum where it is not attained; nan if unknown.
    W
        A minimizer of least norm; None if none exists or is known.
    only
        Whether W is the unique minimizer.
    free
        Whether the bound on the rank is inactive, so that ∇ℓ(W) = 0.
    error
        Estimate of how much ℓ* is too large. It is 0 for linear algebra. For a solve it is half the
        squared Newton decrement, ½ gᵀH⁺g: the remaining decrease to leading order in the gradient
        g, and at most ℓ* itself for losses that are never negative. For p < 2 it is the distance
        to a lower bound by duality.
    how
        The method, or the reason why the minimum is unknown.

    """

    value: float
    W: np.ndarray | None
    only: bool
    free: bool
    error: float
    how: str


def global_minimum(
    loss: Loss, shape: tuple[int, int], rank: int, monitor: Monitor = SILENT
) -> Minimum:
    """Return the minimum of ℓ over d_N × d_0 matrices of rank at most `rank`.

    It is unknown after a stop request.
    """
    if (factors := loss.factored()) is not None:
        return _regression(*factors, rank)
    if isinstance(loss, Measurements):
        return _interpolated(loss, rank)
    if isinstance(loss, PowerRegression) and loss.p < 2:
        return _of_powers(loss, rank, monitor)
    if loss.minimum is not None:
        return _stated(loss, loss.minimum, shape, rank)
    if reason := loss.why_not_smooth_convex:
        return _unknown(f"the minimum of {reason}")
    return _solved(loss, shape, rank, monitor)


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


def _stated(loss: Loss, least: float, shape: tuple[int, int], rank: int) -> Minimum:
    """Return the stated minimum, at the stated target if any, which may not be the only one."""
    Phi = None if loss.target is None else np.asarray(loss.target)
    if _exceeds(Phi, rank) if Phi is not None else rank < min(shape):
        return _unknown("a minimum under a bound on the rank")
    return Minimum(least, Phi, only=False, free=True, error=0.0, how="as stated")


def _of_powers(loss: PowerRegression, rank: int, monitor: Monitor) -> Minimum:
    """Return the minimum of ℓ_p regression, p < 2, with the distance to a lower bound as error."""
    X, Y = np.asarray(loss.X), np.asarray(loss.Y)
    W, value, bound, only = power_minimum(X, Y, loss.p, monitor)
    if monitor.stop_requested():
        return _unknown("a minimum whose search was interrupted")
    if not value - bound <= UNSETTLED * float(loss.value(np.zeros_like(W))):
        return _unknown(f"a minimum at p = {loss.p:g} with so many residuals near 0")
    if _exceeds(W, rank):
        return _unknown("a minimum under a bound on the rank")
    how = "a linear program" if loss.p == 1 else "reweighted least squares"
    return Minimum(value, W, only=only, free=True, error=max(value - bound, 0.0), how=how)


@dataclass(frozen=True)
class _Smooth:
    """A smooth loss as a function of the entries of W, row by row."""

    loss: Loss
    shape: tuple[int, int]

    def slope(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, G = value_and_gradient(self.loss, x.reshape(self.shape))
        return float(value), np.array(G).ravel()

    def curvature(self, x: np.ndarray) -> np.ndarray:
        every = np.eye(x.size).reshape(-1, *self.shape)
        return np.asarray(_curvature(self.loss, x.reshape(self.shape), every)).reshape(x.size, -1)


@eqx.filter_jit
def _curvature(loss: Loss, W: Array, directions: Array) -> Array:
    """Return ∇²ℓ(W) applied to each of the directions along the leading axis."""
    # in batches: products with matrices are faster than as many with vectors
    products: Array = jax.lax.map(
        lambda V: jax.jvp(loss.gradient, (W,), (V,))[1], directions, batch_size=BATCH
    )
    return products


def _solved(loss: Loss, shape: tuple[int, int], rank: int, monitor: Monitor) -> Minimum:
    """Return the minimum of a smooth convex loss, from W = 0."""
    size = shape[0] * shape[1]
    if size > LARGEST:
        return _unknown(f"the minimum over more than {LARGEST} entries of W")
    end = newton(
        _Smooth(loss, shape),
        size,
        done=lambda x: loss.separates(x.reshape(shape)),
        monitor=monitor,
    )
    if loss.separates(end.x.reshape(shape)):
        how = "the classes can be separated: the infimum 0 is not attained"
        return Minimum(0.0, None, only=False, free=True, error=0.0, how=how)
    if monitor.stop_requested():
        return _unknown("a minimum whose search was interrupted")
    if not end.settled:
        return _unknown("a minimum at which Newton's method does not settle")
    W = end.x.reshape(shape)
    if _exceeds(W, rank):
        return _unknown("a minimum under a bound on the rank")
    # a loss given by a function may be negative; the named ones are not
    left = _left(end, -np.inf if loss.convex else 0.0)
    found = Minimum(end.value, W, only=end.only, free=True, error=left, how=METHOD)
    return _of_classes(loss, found) if isinstance(loss, Classifier) else found


def _left(end: Bottom, least: float = 0.0) -> float:
    """Return what is left above a minimum, at most its distance from a lower bound."""
    return min(end.value - least, end.left)


def _of_classes(loss: Classifier, found: Minimum) -> Minimum:
    """Return the minimum if it is attained, else the infimum, without a minimizer."""
    assert found.W is not None
    if attainment.margin_count(loss, found.W.shape) > attainment.LARGEST:
        # where the infimum is not attained the decrement is half of what is left, not all of it
        error = min(found.value, 2 * found.error)
        how = "whether the infimum is attained is not decided for so many samples"
        return replace(found, W=None, only=False, error=error, how=how)
    margins = attainment.all_margins(loss, found.W.shape)
    if attainment.certainly_attained(margins, found.W.ravel()):
        return found
    part = attainment.attained_part(margins)
    if part.kept.all():
        return found
    end = newton(part, found.W.size)
    unbounded = np.count_nonzero(~part.kept)
    how = f"{unbounded} of {part.kept.size} margins grow without bound: the infimum is not attained"
    return replace(found, value=end.value, W=None, only=False, error=_left(end), how=how)
