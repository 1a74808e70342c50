"""Losses of linear regression on samples (x, y), the columns of X and Y."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flowsim.problem.arguments import finite_number, matrix
from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses.loss import (
    Diagonalized,
    Factored,
    Isotropic,
    Loss,
    smallest_positive_eigenvalue,
)
from flowsim.problem.types import Array, Inputs, Matrix, Scalar, Targets
from flowsim.process.environment import isolated

WHITE = 1e-12
"""Largest part of XXᵀ/m beside a multiple of I, relative to the whole, that counts as rounding."""


class LeastSquares(Loss):
    """ℓ(W) = 1/(2m) ‖W X - Y‖²_F through its sufficient statistics.

    They are kept in square-root form, R Rᵀ = XXᵀ/m and T Rᵀ = YXᵀ/m, with the part of the loss
    that no W can reach as `floor`: ℓ(W) = ½‖W R - T‖²_F + floor. The cost does not grow with the
    number of samples m, and nothing cancels near the minimum.
    """

    quadratic: ClassVar[bool] = True

    R: Float[Array, "input rank"]
    T: Float[Array, "output rank"]
    floor: Scalar

    @classmethod
    @isolated()
    def from_data(cls, X: Inputs, Y: Targets) -> LeastSquares:
        """Return the loss of samples (columns of X and Y), by one thin SVD, X = U S Vᵀ."""
        X, Y = (matrix(f"LeastSquares: {name}", Z) for name, Z in (("X", X), ("Y", Y)))
        m = X.shape[1]
        if Y.shape[1] != m:
            raise ValueError(
                f"LeastSquares: Y must have a column per sample, {m} as X, but has {Y.shape[1]}."
            )
        U, S, Vt = np.linalg.svd(X, full_matrices=False)
        T = Y @ Vt.T
        # from the residual Y - T Vᵀ itself: ‖Y‖² - ‖T‖² would cancel for data that are fitted well
        floor = 0.5 * np.sum((Y - T @ Vt) ** 2) / m
        return cls(
            R=jnp.asarray(U * S / np.sqrt(m)),
            T=jnp.asarray(T / np.sqrt(m)),
            floor=jnp.asarray(floor),
        )

    def value(self, W: Matrix) -> Scalar:
        """Return ½‖W R - T‖²_F + floor."""
        return 0.5 * jnp.sum((W @ self.R - self.T) ** 2) + self.floor

    def gradient(self, W: Matrix) -> Matrix:
        """Return (W R - T) Rᵀ = (W X - Y) Xᵀ / m."""
        return (W @ self.R - self.T) @ self.R.T

    @property
    def directions(self) -> Matrix:
        """T Rᵀ = YXᵀ/m, the correlation of outputs with inputs."""
        return self.T @ self.R.T

    def isotropic(self) -> Isotropic:
        """Return Φ = YXᵀ/(mh) and h where XXᵀ/m = hI, up to rounding."""
        C = np.asarray(self.R @ self.R.T)
        h = float(np.trace(C)) / len(C)
        if h > 0 and np.linalg.norm(C - h * np.eye(len(C))) <= WHITE * np.linalg.norm(C):
            return Isotropic(np.asarray(self.T @ self.R.T) / h, h)
        raise NotApplicable("the data must be white, XXᵀ/m a multiple of I, but they are not")

    def diagonalized(self) -> Diagonalized:
        """Return H[W] = W RRᵀ and B = T Rᵀ, with R = V diag(r) Zᵀ, in the coordinates W V."""
        V, r, Zt = np.linalg.svd(np.asarray(self.R), full_matrices=False)
        b = np.asarray(self.T) @ Zt.T * r
        h = np.broadcast_to(r**2, b.shape)
        return Diagonalized(h, b, lambda W: W @ V, lambda w: w @ V.T)

    def factored(self) -> Factored:
        """Return R, T and floor."""
        return Factored(np.asarray(self.R), np.asarray(self.T), float(self.floor))

    def polyak_lojasiewicz(self) -> float:
        """Return the smallest positive eigenvalue of XXᵀ/m."""
        return smallest_positive_eigenvalue(np.asarray(self.R))

    @property
    def label_count(self) -> int:
        """The number of entries of T: noise on Y acts on W through Y V/√m alone."""
        return int(np.prod(self.T.shape))

    def label_gradient(self, zeta: Array) -> Matrix:
        """Return ζ Rᵀ, ζ of the shape of T."""
        return zeta.reshape(self.T.shape) @ self.R.T


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _signed_power(q: float, e: Array, rounding: Scalar) -> Array:  # noqa: ARG001
    """Return sign(e) |e|^q, 0 ≤ q < 1, whose derivative is that at |e| ≥ `rounding`.

    The true derivative is infinite at e = 0, and 0·∞ at q = 0, with which implicit methods cannot
    take a step.
    """
    return jnp.sign(e) * jnp.abs(e) ** q


@_signed_power.defjvp
def _(q: float, at: tuple[Array, Scalar], directions: tuple[Array, Scalar]) -> tuple[Array, Array]:
    e, rounding = at
    # a target of 0 throughout leaves no scale: then the smallest normal number
    resolved = jnp.maximum(jnp.abs(e), jnp.maximum(rounding, np.finfo(float).tiny))
    return _signed_power(q, e, rounding), q * resolved ** (q - 1) * directions[0]


class PowerRegression(Loss):
    """ℓ(W) = 1/(p·m) Σ |W X - Y|^p, p ≥ 1 (Arora, Cohen & Hazan 2018, §5 with p = 4)."""

    sample_axes: ClassVar[Mapping[str, int]] = {"X": 1, "Y": 1}

    X: Inputs
    Y: Targets
    p: float = eqx.field(static=True)

    def __post_init__(self) -> None:
        """Check p and the arrays."""
        super().__post_init__()
        finite_number("PowerRegression: p", self.p, least=1.0)

    def value(self, W: Matrix) -> Scalar:
        """Return the mean over samples of Σ_outputs |e|^p / p, e = W X - Y."""
        m = self.X.shape[1]
        return jnp.sum(jnp.abs(W @ self.X - self.Y) ** self.p) / (self.p * m)

    def gradient(self, W: Matrix) -> Matrix:
        """Return (sign(e) |e|^{p-1}) Xᵀ / m; at p = 1 and e = 0 the subgradient 0."""
        e = W @ self.X - self.Y
        if self.p >= 2:
            return (jnp.sign(e) * jnp.abs(e) ** (self.p - 1)) @ self.X.T / self.X.shape[1]
        # a blank sample has no part in the gradient, nor, where its e = 0, in its derivative
        e = jnp.where(jnp.any(self.X != 0, axis=0), e, 1.0)
        rounding = np.finfo(float).eps * jnp.max(jnp.abs(self.Y), initial=0.0)
        return _signed_power(self.p - 1, e, rounding) @ self.X.T / self.X.shape[1]

    @property
    def why_not_smooth_convex(self) -> str:
        """Empty for p ≥ 2; below, the curvature |e|^{p-2} is infinite where a residual is 0."""
        return "" if self.p >= 2 else f"a loss that is not smooth, p = {self.p:g},"

    @property
    def label_count(self) -> int:
        """The number of entries of Y, at p = 2."""
        return int(np.prod(self.Y.shape)) if self.p == 2 else super().label_count

    def label_gradient(self, zeta: Array) -> Matrix:
        """Return ζ Xᵀ/m, ζ of the shape of Yᵀ, at p = 2."""
        if self.p != 2:
            return super().label_gradient(zeta)
        return zeta.reshape(self.X.shape[1], -1).T @ self.X.T / self.X.shape[1]
