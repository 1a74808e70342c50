"""Curvatures of the loss over layers and over W, and the gradient along their directions.

Lanczos' method with full reorthogonalization finds the extreme eigenvalues of a Hessian from
Hessian-vector products alone, and all of them where there are few weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import numpy as np

from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers

BOUNDED = 1e-6
"""Part of a gradient along directions without curvature that counts as rounding."""
ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Rounding of a product of layers, relative to the product of their absolute values."""
MOST_DIRECTIONS = 80
"""Steps of Lanczos' method at most; networks with fewer weights are resolved exactly."""
MOST_NUMBERS = 2**20
"""Numbers that all directions together hold at most, 8 MiB."""
NEGATIVE = 1e-7
"""Negative curvature relative to the largest one, above the rounding of Hessian-vector products."""


@eqx.filter_jit
def hessian_product(
    loss: Loss, layers: Layers, directions: Layers, weight_decay: Array | float = 0.0
) -> Layers:
    """Return ∇²(φ + (λ/2) Σ‖W_j‖²) applied to one direction per layer, of the layers' shapes.

    Forward mode over the layers' gradients: no matrix larger than a layer or W is formed.
    """
    at = partial(_gradients, loss, weight_decay)
    product: Layers = jax.jvp(at, (tuple(layers),), (tuple(directions),))[1]
    return product


def _gradients(loss: Loss, weight_decay: Array | float, layers: Layers) -> Layers:
    """Return ∂φ/∂W_j + λ W_j."""
    slopes = loss.layer_gradients(layers)
    return tuple(g + weight_decay * W for g, W in zip(slopes, layers, strict=True))


@eqx.filter_jit
def _matrix_product(loss: Loss, W: Array, towards: Array) -> Array:
    product: Array = jax.jvp(loss.gradient, (W,), (towards,))[1]
    return product


@dataclass(frozen=True)
class Curvatures:
    """Curvatures μ of an objective, their unit directions, and the gradient along them."""

    mu: np.ndarray
    directions: np.ndarray
    slopes: np.ndarray

    @property
    def largest(self) -> float:
        """Return the largest |μ|."""
        return float(np.abs(self.mu).max(initial=0.0))

    @property
    def curved(self) -> np.ndarray:
        """Return where the curvature is positive, above rounding."""
        return np.asarray(self.mu > NEGATIVE * self.largest)

    @property
    def decrease(self) -> float:
        """Return Σ ⟨g, v⟩²/2μ over positive curvatures, to which they let the objective fall."""
        curved = self.curved
        return 0.5 * float(np.sum(self.slopes[curved] ** 2 / self.mu[curved]))

    @property
    def bounded(self) -> bool:
        """Return whether the gradient has components along positive curvatures alone."""
        rest = np.linalg.norm(self.slopes[~self.curved])
        return bool(rest <= BOUNDED * np.linalg.norm(self.slopes))

    @property
    def step(self) -> np.ndarray:
        """Return Newton's step -Σ v ⟨g, v⟩/μ over positive curvatures."""
        curved = self.curved
        return np.asarray(-self.directions[:, curved] @ (self.slopes[curved] / self.mu[curved]))


def curvatures(
    product: Callable[[np.ndarray], np.ndarray], g: np.ndarray, start: np.ndarray
) -> Curvatures:
    """Return the curvatures that Lanczos' method finds from a start, given v ↦ Hv."""
    from scipy.linalg import eigh_tridiagonal

    most = min(start.size, MOST_DIRECTIONS, max(MOST_NUMBERS // start.size, 2))
    basis = np.zeros((most, start.size))
    alpha: list[float] = []
    beta: list[float] = []
    vector, size, scale = start, float(np.linalg.norm(start)), 0.0
    while len(alpha) < most and size > 0:
        count = len(alpha) + 1
        basis[count - 1] = vector / size
        vector = product(basis[count - 1])
        alpha.append(float(basis[count - 1] @ vector))
        scale = max(scale, float(np.linalg.norm(vector)))
        for _ in range(2):  # once leaves rounding that a second time removes
            vector = vector - basis[:count].T @ (basis[:count] @ vector)
        size = float(np.linalg.norm(vector))
        size = size if size > ROUNDING * scale else 0.0
        beta.append(size)
    if not alpha:
        return Curvatures(np.zeros(0), np.zeros((start.size, 0)), np.zeros(0))
    mu, inner = eigh_tridiagonal(alpha, beta[:-1])
    directions = basis[: len(alpha)].T @ inner
    return Curvatures(mu, directions, directions.T @ g)


def curvatures_of_matrix(loss: Loss, W: np.ndarray, G: np.ndarray) -> Curvatures:
    """Return the curvatures of ℓ in the space of W, from its gradient."""

    def product(v: np.ndarray) -> np.ndarray:
        return np.array(_matrix_product(loss, W, v.reshape(W.shape))).ravel()

    return curvatures(product, G.ravel(), G.ravel())


def largest_curvature(loss: Loss, W: np.ndarray) -> float:
    """Return the largest |curvature| of ℓ at W, at a minimum too, from a random direction."""
    random = np.random.default_rng(0).standard_normal(W.shape)
    return curvatures_of_matrix(loss, W, random).largest


def curvatures_of_layers(problem: Problem, layers: Layers) -> Curvatures:
    """Return the curvatures of the objective in the space of the layers.

    The start mixes the gradient with a fixed random direction: by symmetry a saddle's gradient may
    have no component where the layers could leave.
    """
    ends = np.cumsum([W.size for W in layers])[:-1]
    decay = np.asarray(problem.weight_decay)

    def joined(parts: Layers) -> np.ndarray:
        return np.concatenate([np.ravel(part) for part in parts])

    def product(v: np.ndarray) -> np.ndarray:
        towards = tuple(
            part.reshape(W.shape) for part, W in zip(np.split(v, ends), layers, strict=True)
        )
        return joined(hessian_product(problem.loss, layers, towards, decay))

    g = joined(_gradients(problem.loss, decay, layers))
    random = np.random.default_rng(0).standard_normal(g.size)
    size = float(np.linalg.norm(g))
    start = random / np.linalg.norm(random) + (2 * g / size if size else 0.0)
    return curvatures(product, g, start)
