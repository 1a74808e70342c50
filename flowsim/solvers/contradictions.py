"""Statements about a loss that a simulation contradicts: its minimum, and that it is convex.

A convex loss lies above its tangents, ℓ(W') ≥ ℓ(W) + ⟨∇ℓ(W), W' - W⟩ for all W and W'. That is
checked for every pair of some matrices along a trajectory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowsim.problem.losses import Loss, gradients
from flowsim.solvers.storage import Series

ROUNDING = 1e3 * float(np.finfo(np.float64).eps)
"""Rounding error of a loss relative to its largest value: log cosh has that of cosh, not of its own
size, near 0."""
MOST_MATRICES = 32
"""Matrices along a trajectory of which every pair is compared."""


def contradictions(
    loss: Loss, times: np.ndarray, losses: np.ndarray, kept: np.ndarray, matrices: Series
) -> Iterator[str]:
    """Yield a sentence per statement that the losses at some times, or W at `kept`, contradict."""
    if loss.minimum is not None and losses.size:
        lowest = int(np.argmin(losses))
        if losses[lowest] < loss.minimum - ROUNDING * max(np.abs(losses).max(), abs(loss.minimum)):
            yield (
                f"The loss {loss.label} is stated to have the minimum {loss.minimum:.6g}, but is "
                f"{losses[lowest]:.6g} at t = {times[lowest]:.4g}; the verdict does not use the "
                "statement."
            )
    if loss.convex and kept.size > 1:
        some = np.unique(np.linspace(0, kept.size - 1, MOST_MATRICES).astype(int))
        at, W = kept[some], np.asarray(matrices.take(some))
        below = _below_tangents(losses[at], W, np.asarray(gradients(loss, W)))
        touching, lower = np.unravel_index(int(np.argmax(below)), below.shape)
        if below[touching, lower] > 0:
            yield (
                f"The loss {loss.label} is stated to be convex, but at t = {times[at[lower]]:.4g} "
                f"is {below[touching, lower]:.2g} below its tangent at "
                f"t = {times[at[touching]]:.4g}; the verdict does not use the statement."
            )


def _below_tangents(values: np.ndarray, W: np.ndarray, G: np.ndarray) -> np.ndarray:
    """Return how far ℓ(W_j) is below the tangent at W_i, above rounding, for every i and j."""
    flat, slopes = W.reshape(len(W), -1), G.reshape(len(G), -1)
    rises = slopes @ flat.T - np.sum(slopes * flat, axis=1)[:, None]
    sizes = np.linalg.norm(slopes, axis=1)[:, None] * np.linalg.norm(flat, axis=1).max()
    rounding = ROUNDING * (np.abs(values).max() + sizes)
    below = values[:, None] + rises - values[None, :] - rounding
    return np.where(np.isfinite(below), below, -np.inf)
