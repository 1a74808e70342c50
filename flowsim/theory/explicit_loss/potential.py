"""The explicit loss F with ∇F(W) = P_W[∇ℓ(W)], where it exists: by integration and by formulas.

F is fixed up to a constant, which is set by F(0) = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Loss
from flowsim.problem.types import Matrix
from flowsim.theory.explicit_loss.line_integrals import line_integral
from flowsim.theory.explicit_loss.loops import from_zero, straight


class Difference(NamedTuple):
    """F(W) - F(base) by integration along one path, compared with another path.

    Attributes
    ----------
    value
        The integral along the straight path.
    error
        A bound on the errors of both integrals together.
    apart
        The absolute difference of the integrals along both paths. If it exceeds `error`, the
        integral depends on the path, and the field is not a gradient.

    """

    value: float
    error: float
    apart: float


def reconstruct(loss: Loss, depth: int, W: Matrix, base: Matrix | None = None) -> Difference:
    """Return F(W) - F(base) by integration along a straight line, and along a detour through V.

    V deviates from W in a fixed random direction, by half the distance from W to lower rank. The
    default base is 0. A straight line from another base may meet matrices of lower rank, where the
    field is not smooth; it then takes more nodes or has a larger error.
    """
    W = np.asarray(W)
    # half the distance to lower rank: the line from V to W then keeps full rank
    off = np.random.default_rng(0).standard_normal(W.shape)
    distance = 0.5 * float(np.linalg.svd(W, compute_uv=False)[-1])
    V = W + distance * off / np.linalg.norm(off)
    to_W, to_V = (from_zero(X, depth) if base is None else straight(base, X) for X in (W, V))
    one = line_integral(loss, depth, [to_W])
    other = line_integral(loss, depth, [to_V, straight(V, W)])
    return Difference(one.value, one.error + other.error, abs(one.value - other.value))


def closed_form(loss: Loss, depth: int, shape: tuple[int, ...]) -> Callable[[Matrix], float] | None:
    """Return W ↦ F(W) by a formula, with F(0) = 0, or None where no formula is known.

    N = 1: F = ℓ - ℓ(0). For ∇ℓ(W) = hW - B it is h N²/(4N-2) Σ_r σ_r^{4-2/N} if B = 0, less
    ‖w‖ ⟨B, w⟩ if N = 2 and there is one output or one input: ⅔‖w‖³ - ‖w‖ φᵀw for ½‖w - φ‖².
    """
    if depth == 1:
        return lambda W: float(loss.value(np.asarray(W)) - loss.value(np.zeros(shape)))
    pulled = _pulled(loss)
    if pulled is None:
        return None
    h, B = pulled
    if np.any(B) and not (depth == 2 and min(shape) == 1):
        return None

    def F(W: Matrix) -> float:
        sigma = np.linalg.svd(np.asarray(W), compute_uv=False)
        radial = h * depth**2 / (4 * depth - 2) * np.sum(sigma ** (4 - 2 / depth))
        return float(radial - sigma[0] * np.sum(B * np.asarray(W)))

    return F


def _pulled(loss: Loss) -> tuple[float, np.ndarray] | None:
    """Return h and B of a gradient ∇ℓ(W) = hW - B, or None if it has another form."""
    form = loss.diagonalized()
    if form is not None and not np.any(form.h):
        return 0.0, form.b
    try:
        white = loss.isotropic()
    except NotApplicable:
        return None
    return white.h, white.h * white.Phi
