"""Sharpness: the extreme eigenvalues of the Hessian of φ(W_1..W_N) = ℓ(W_N⋯W_1) over the layers.

Gradient descent with step size η is locally stable at a minimum iff η < 2/λ_max (Cohen et al. 2021,
arXiv:2103.00065). |λ_min| for λ_min < 0 bounds the rate at which trajectories of the flow separate
(Elkabetz & Cohen 2021, Theorem 3). At a minimum of ½‖W - Φ‖² with loss 0 and balanced layers,
λ_max = N σ_1^{2-2/N}. Along descent with a larger step size the sharpness rises to 2/η and stays
about it, the edge of stability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from flowsim.dynamics.accumulators import Accumulated
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers
from flowsim.process.environment import one_blas_thread
from flowsim.solvers.curvature import hessian_product
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.monitor import Monitor
from flowsim.theory.setting import Arrays, Setting, replay_descent
from flowsim.theory.sharpness.lanczos import largest_eigenvalue

DENSE = 64
"""Largest number of weights for which the Hessian is formed, with all its eigenvalues."""

RESIDUAL = 1e-8
"""Tolerance of Lanczos' method: residual ‖Hv - λv‖ relative to the largest |λ|."""


NOTHING = 1e-13
"""An image below this fraction of the subtracted eigenvalue is rounding, not an eigenvalue."""


class Extremes(NamedTuple):
    """The smallest and the largest eigenvalue of a Hessian, each within `error`."""

    smallest: float
    largest: float
    error: float


def extremes(
    loss: Loss, layers: Sequence[Array], weight_decay: float = 0.0, seed: int = 0
) -> Extremes:
    """Return the extreme eigenvalues of the Hessian of φ + (λ/2) Σ‖W_j‖² at `layers`.

    Lanczos' method (ARPACK, through SciPy) is applied to Hessian-vector products, from a random
    direction drawn with `seed`. The error is the norm of the residual, which bounds the distance to
    an eigenvalue of a symmetric matrix.

    Raises
    ------
    ArpackError, LinAlgError
        If Lanczos' method does not converge, or the Hessian is not finite.

    """
    shape = (np.shape(layers[-1])[0], np.shape(layers[0])[1])
    product, size = _flattened(
        loss.traced(shape), tuple(np.asarray(W) for W in layers), weight_decay
    )
    if size <= DENSE:
        H = np.array([product(e) for e in np.eye(size)])
        values = np.linalg.eigvalsh((H + H.T) / 2)
        rounding = size * np.finfo(float).eps * np.abs(values).max()
        return Extremes(float(values[0]), float(values[-1]), float(rounding))
    start = np.random.default_rng(seed).standard_normal(size)
    one, one_error = _furthest(product, start)
    # shifted by the first, the other extreme is the furthest from 0; "SA" would search near 0, in
    # the large null space that saddles of deep networks have, where Lanczos' method is slow
    gap, gap_error = _furthest(lambda v: product(v) - one * v, start, rounding_of=one)
    smallest, largest = sorted((one, one + gap))
    return Extremes(smallest, largest, max(one_error, gap_error))


def extremes_or_nan(problem: Problem, layers: Sequence[Array]) -> Extremes:
    """Return the extreme eigenvalues, or nan where they do not converge or are not finite."""
    from scipy.sparse.linalg import ArpackError

    try:
        return extremes(problem.loss, layers, problem.weight_decay)
    except (ArpackError, np.linalg.LinAlgError):
        return Extremes(np.nan, np.nan, np.nan)


def _furthest(
    product: Callable[[np.ndarray], np.ndarray], start: np.ndarray, rounding_of: float = 0.0
) -> tuple[float, float]:
    """Return the eigenvalue furthest from 0 and the norm of its residual.

    An operator that is 0 up to the rounding of a shift `rounding_of` has the eigenvalue 0: ARPACK
    fails on it.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    image, rounding = np.linalg.norm(product(start)), NOTHING * abs(rounding_of)
    if image <= rounding * np.linalg.norm(start):
        return 0.0, rounding
    operator = LinearOperator((start.size, start.size), matvec=product, dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="LM", v0=start, tol=RESIDUAL)
    v = vectors[:, 0]
    return float(values[0]), float(np.linalg.norm(product(v) - values[0] * v))


def _flattened(
    loss: Loss, layers: Layers, weight_decay: float
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """Return the Hessian-vector product of all layers as one row, and its length."""
    shapes, cuts = [W.shape for W in layers], np.cumsum([W.size for W in layers])

    def product(x: np.ndarray) -> np.ndarray:
        parts = np.split(np.asarray(x).ravel(), cuts[:-1])
        directions = tuple(part.reshape(s) for part, s in zip(parts, shapes, strict=True))
        image = hessian_product(loss, layers, directions, weight_decay)
        return np.concatenate([np.ravel(W) for W in image])

    return product, int(cuts[-1])


def measure(setting: Setting) -> Arrays:
    """Return both extreme eigenvalues along the flow, and the largest along gradient descent.

    They are nan where Lanczos' method did not converge or the Hessian is not finite.
    """
    whole, descent = setting.monitor, setting.descent
    first = whole if descent is None else whole.part(0.0, 0.5)
    of_flow = replace(setting, monitor=first).at_saved_times(
        setting.layer_flow,
        lambda i: extremes_or_nan(setting.problem, setting.layers(i))._asdict(),
    )
    if descent is None:
        return of_flow
    return {**of_flow, **along(setting.problem, descent, whole.part(0.5, 1.0))}


def along(problem: Problem, descent: DescentTrajectory, monitor: Monitor) -> dict[str, np.ndarray]:
    """Return λ_max at the recorded iterates and bounds on its errors, `(step_size, sample)`.

    The iterates are computed again, by the same rule in the same precision. Values are nan past
    divergence, where no method converges, and from a stop request on.
    """
    assert descent.last is not None
    sharpness, error = np.full((2, *descent.iteration.shape), np.nan)
    size = sum(W.size for W in problem.layers)
    start = np.random.default_rng(0).standard_normal(size)
    decay = np.asarray(problem.weight_decay)

    def visit(k: int, sample: int, layers: Layers, _: Accumulated) -> None:
        if monitor.stop_requested() or not np.isfinite(descent.loss[k, sample]):
            return
        layers = tuple(np.asarray(W, dtype=np.float64) for W in layers)
        found = largest_eigenvalue(problem.loss, layers, decay, start)
        largest, bound, scale = (float(number) for number in found)
        if bound > RESIDUAL * scale:  # too few directions, which ARPACK restarts
            ends = extremes_or_nan(problem, layers)
            largest, bound = ends.largest, ends.error
        sharpness[k, sample], error[k, sample] = largest, bound

    with one_blas_thread:
        replay_descent(descent.last.descent, problem, descent.iteration, visit, monitor=monitor)
    return {
        "step_size": descent.step_sizes,
        "iterate_time": descent.times,
        "descent_sharpness": sharpness,
        "descent_error": error,
    }
