"""Invariants of the exact flow, checked along computed trajectories.

Without weight decay, for any loss (Arora, Cohen & Hazan 2018; Arora, Cohen, Golowich & Hu 2019):
- φ never increases; with weight decay λ, φ + (λ/2) Σ_j‖W_j‖²_F never does;
- each W_{j+1}ᵀW_{j+1} - W_jW_jᵀ is constant; with weight decay it decays as e^{-2λt};
- from a balanced initialization at N ≥ 2, the sign of det W never changes where W is square.

With a function of the layers added to the loss only the first holds.
"""

from __future__ import annotations

import numpy as np

from flowsim.problem.losses import gradients
from flowsim.problem.problem import Problem
from flowsim.solvers.curvature import curvatures_of_layers, largest_curvature
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.rounding import keeps_det_sign
from flowsim.solvers.storage import in_batches
from flowsim.solvers.trajectory import Trajectory
from flowsim.solvers.verdict import Invariant

ROUNDING = 1e3 * float(np.finfo(np.float64).eps)
"""Relative change attributed to rounding in a sum over all entries."""


def of_flow(trajectory: Trajectory) -> list[Invariant]:
    """Return the invariants of a flow, checked at its saved times.

    The loss may increase, and the imbalance change, by as much as the error estimate explains. They
    are not checked without an error estimate.
    """
    times, problem = trajectory.times, trajectory.problem
    watched = []
    # a determinant that underflows at the start has no sign to keep
    if trajectory.det_sign is not None and trajectory.det_sign[0] and keeps_det_sign(problem):
        watched.append(_det_sign(times, trajectory.det_sign))
    # an infinite error estimate, where rounding has decided, explains any change
    if not np.isnan(trajectory.loss_error).any():
        watched.append(_objective(trajectory, problem))
    conserves = trajectory.imbalance is not None and not problem.loss.on_layers
    if conserves and not np.isnan(trajectory.error_estimate).any():
        watched.append(_imbalance(trajectory, problem))
    return watched


def of_descent(descent: DescentTrajectory, problem: Problem) -> list[list[Invariant]]:
    """Return the invariants of gradient descent at each step size: the sign of det W.

    Large steps may change it. Nothing is checked for other update rules or noisy gradients, which
    do not approximate the flow.
    """
    differs = descent.noisy or not descent.follows_flow
    if descent.det_sign is None or differs or not keeps_det_sign(problem):
        return [[] for _ in descent.step_sizes]
    pairs = zip(descent.times, descent.det_sign, strict=True)
    return [[_det_sign(times, sign)] for times, sign in pairs]


def _det_sign(times: np.ndarray, sign: np.ndarray) -> Invariant:
    # 0 is a determinant that has underflowed; nan is not below 0 either
    return Invariant("det_sign", _first(times, sign * sign[0] < 0))


def _objective(trajectory: Trajectory, problem: Problem) -> Invariant:
    """Check the loss, with weight decay, for an increase over its lowest value so far."""
    objective = trajectory.loss + 0.5 * problem.weight_decay * _squared_norm(trajectory, problem)
    # against the lowest value so far: a slow increase over many saved times adds up
    lowest = np.minimum.accumulate(objective)
    error = np.maximum.accumulate(trajectory.loss_error) + ROUNDING * np.abs(objective).max()
    if problem.weight_decay:
        relative = _relative_error(trajectory)
        error += problem.weight_decay * _squared_norm(trajectory, problem) * relative
    rises = objective > lowest + error
    if rises.any():
        rises &= objective > lowest + error + _rise_by_error(trajectory)
    return Invariant("loss", _first(trajectory.times, rises))


def _rise_by_error(trajectory: Trajectory) -> np.ndarray:
    """Return by how much the error e of W may raise the loss, ‖∇ℓ(W)‖ e + ½ L e².

    L is the largest curvature at the last W. Near a minimum the estimated error of the loss is too
    small for this comparison, as it is the difference of two losses that both are above the exact
    one. Where W is not kept the gradient is that at the next one which is.
    """
    loss, series = trajectory.problem.loss, trajectory.end_to_end_series
    if loss.on_layers:
        return _rise_by_error_of_layers(trajectory)
    size = np.linalg.norm(trajectory.singular_values, axis=1)
    error = np.maximum.accumulate(trajectory.error_estimate) + ROUNDING * size
    slopes = in_batches(lambda W: np.linalg.norm(gradients(loss, W), axis=(1, 2)), series)
    following = np.searchsorted(trajectory.kept, np.arange(error.size))
    curvature = largest_curvature(loss, np.asarray(series[-1]))
    return np.asarray((slopes[following] + 0.5 * curvature * error) * error)


def _rise_by_error_of_layers(trajectory: Trajectory) -> np.ndarray:
    """Return the same bound for an error e of the layers, with the gradient ‖g‖ + L e of them.

    g and L are those at the last layers, near which a small error of the loss matters.
    """
    assert trajectory.squared_norm is not None
    size = np.sqrt(np.maximum.accumulate(trajectory.squared_norm))
    error = np.maximum.accumulate(_relative_error(trajectory)) * size
    near = curvatures_of_layers(trajectory.problem, trajectory.last_layers())
    return np.asarray((np.linalg.norm(near.slopes) + 1.5 * near.largest * error) * error)


def _imbalance(trajectory: Trajectory, problem: Problem) -> Invariant:
    """Check ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F e^{2λt} for a change from its initial value.

    A relative error ε of the layers changes it by 2ε(‖W_{j+1}‖² + ‖W_j‖²) at most.
    """
    assert trajectory.imbalance is not None and trajectory.squared_norm is not None
    expected = (
        trajectory.imbalance[0] * np.exp(-2 * problem.weight_decay * trajectory.times)[:, None]
    )
    drift = np.abs(trajectory.imbalance - expected).max(axis=1, initial=0.0)
    # errors made earlier remain, so the largest error and norm so far bound the drift
    largest = np.maximum.accumulate(trajectory.squared_norm)
    relative = np.maximum.accumulate(_relative_error(trajectory))
    return Invariant("imbalance", _first(trajectory.times, drift > 2 * largest * relative))


def _relative_error(trajectory: Trajectory) -> np.ndarray:
    """Return the estimated error of W relative to W, no less than the tolerance and roundoff."""
    size = np.linalg.norm(trajectory.singular_values, axis=1)
    relative = trajectory.error_estimate / np.where(size > 0, size, np.inf)
    return np.asarray(relative + 100 * trajectory.rtol + ROUNDING)


def _squared_norm(trajectory: Trajectory, problem: Problem) -> np.ndarray:
    """Return Σ_j‖W_j‖²_F, which for balanced layers is N Σ_r σ_r^{2/N}."""
    if trajectory.squared_norm is not None:
        return trajectory.squared_norm
    powers = trajectory.singular_values ** (2 / problem.depth)
    return np.asarray(problem.depth * powers.sum(axis=1))


def _first(times: np.ndarray, broken: np.ndarray) -> float | None:
    where = np.flatnonzero(broken)
    return float(times[where[0]]) if where.size else None
