"""Solutions that rounding has decided, recognized by what the exact flow conserves.

A flow that converges to a saddle is left by its computed solution: rounding errors along the
directions that the exact flow never takes grow exponentially. Two solutions may leave in the same
direction, so that their difference misses the error. Conserved quantities do not: the rank of W,
and from balanced layers the sign of det W, depth N ≥ 2 (Arora, Cohen & Hazan 2018).
"""

from __future__ import annotations

import numpy as np

from flowsim.problem import network
from flowsim.problem.problem import Problem

DECISIVE = 0.01
"""Proven error, as a fraction of the largest ‖W‖, from which on the solution is another one.

Smaller ones are noise in singular values that are 0, which need not grow."""


def keeps_det_sign(problem: Problem, space: str = "layers") -> bool:
    """Return whether det W keeps its sign: N ≥ 2, W square of full rank, balanced layers.

    It need not where a function of the layers is added to the loss.

    The closed equation of W, in every other formulation, is the flow of balanced layers.
    """
    if problem.loss.on_layers:
        return False
    balanced = space != "layers" or network.is_balanced_to_rounding(problem.layers)
    rows, columns = problem.initial.shape
    return problem.depth > 1 and balanced and rows == columns == _rank(problem, space)


def proven_error(
    problem: Problem, space: str, singular_values: np.ndarray, det_sign: np.ndarray | None
) -> np.ndarray:
    """Return a lower bound on the Frobenius error of each W, shape (time,).

    A matrix of rank r is at least (Σ_{i>r} σ_i²)^½ away (Eckart & Young 1936), one with another
    sign of the determinant at least σ_min, with a singular matrix in between.
    """
    rank = _rank(problem, space) if problem.depth > 1 else singular_values.shape[1]
    error = np.linalg.norm(singular_values[:, rank:], axis=1)
    if det_sign is not None and keeps_det_sign(problem, space):
        error = np.where(det_sign * det_sign[0] < 0, singular_values[:, -1], error)
    return np.asarray(error)


def decided_from(times: np.ndarray, error: np.ndarray, singular_values: np.ndarray) -> float | None:
    """Return the first saved time at which a proven error is `DECISIVE`, or None."""
    size = float(np.linalg.norm(singular_values, axis=1).max())
    decisive = np.flatnonzero(error > DECISIVE * size)
    return float(times[decisive[0]]) if decisive.size else None


def _rank(problem: Problem, space: str) -> int:
    """Return the largest rank of W that the exact flow reaches."""
    if problem.loss.on_layers:
        return min(problem.widths)
    if network.is_balanced_to_rounding(problem.layers):
        return network.rank_bound(problem.layers)
    if space == "layers":
        return network.closed_width(problem.layers)
    return network.numerical_rank(problem.initial)
