"""Losses ℓ(W) of the end-to-end matrix: a value and a gradient, one class a loss.

Any differentiable function of W is a loss: wrap it in `Differentiable`. Losses are JAX pytrees, so
their data are arguments of compiled programs, not constants within them.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from flowsim.problem.types import Array, Inputs, Matrix, Scalar, Targets


class Loss(eqx.Module):
    """A differentiable loss ℓ: R^{d_N × d_0} → R."""

    @abc.abstractmethod
    def value(self, W: Matrix) -> Scalar:
        """Return ℓ(W)."""

    @abc.abstractmethod
    def gradient(self, W: Matrix) -> Matrix:
        """Return G = ∇ℓ(W), of W's shape."""

    @property
    def target(self) -> Matrix | None:
        """Return the matrix Φ that minimizes the loss by construction, if there is one."""
        return None

    @property
    def directions(self) -> Matrix | None:
        """Return the matrix whose singular vectors an aligned initialization takes, if any."""
        return self.target

    def separates(self, W: Matrix) -> bool:  # noqa: ARG002
        """Say whether W classifies every sample strictly: then no finite W minimizes the loss."""
        return False


@eqx.filter_jit
def value_and_gradient(loss: Loss, W: Matrix) -> tuple[Scalar, Matrix]:
    """Return ℓ(W) and ∇ℓ(W)."""
    return loss.value(W), loss.gradient(W)


@eqx.filter_jit
def of_each(loss: Loss, matrices: Array) -> Array:
    """Return ℓ of each of the matrices along the leading axis."""
    values: Array = jax.lax.map(loss.value, matrices)
    return values


@eqx.filter_jit
def gradient_of_each(loss: Loss, matrices: Array) -> Array:
    """Return ∇ℓ of each of the matrices along the leading axis."""
    gradients: Array = jax.lax.map(loss.gradient, matrices)
    return gradients


class Differentiable(Loss):
    """Any differentiable `function` of the end-to-end matrix; its gradient comes from JAX."""

    function: Callable[[Matrix], Scalar]

    def value(self, W: Matrix) -> Scalar:
        """Return `function(W)`."""
        return jnp.asarray(self.function(W))

    def gradient(self, W: Matrix) -> Matrix:
        """Return ∇`function`(W)."""
        gradient: Matrix = jax.grad(self.function)(W)
        return gradient


class Linear(Loss):
    """ℓ(W) = -⟨Φ, W⟩ = -tr(ΦᵀW), whose gradient is the same everywhere; it has no minimum."""

    Phi: Matrix

    def value(self, W: Matrix) -> Scalar:
        """Return -⟨Φ, W⟩."""
        return -jnp.sum(self.Phi * W)

    def gradient(self, W: Matrix) -> Matrix:
        """Return -Φ, of W's shape."""
        return -self.Phi + jnp.zeros_like(W)

    @property
    def directions(self) -> Matrix:
        """Return Φ."""
        return self.Phi


class Squared(Loss):
    """ℓ(W) = ½‖W - Φ‖²_F."""

    Phi: Matrix

    def value(self, W: Matrix) -> Scalar:
        """Return ½‖W - Φ‖²_F."""
        return 0.5 * jnp.sum((W - self.Phi) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return W - Φ."""
        return W - self.Phi

    @property
    def target(self) -> Matrix:
        """Return Φ."""
        return self.Phi


class Completion(Loss):
    """ℓ(W) = ½ Σ_observed (W_ij - Φ_ij)², `observed` being a matrix of 0 and 1."""

    Phi: Matrix
    observed: Matrix

    def value(self, W: Matrix) -> Scalar:
        """Return half the sum of squares over the observed entries."""
        return 0.5 * jnp.sum(self.observed * (W - self.Phi) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return observed ∘ (W - Φ)."""
        return self.observed * (W - self.Phi)

    @property
    def target(self) -> Matrix:
        """Return Φ."""
        return self.Phi


class Sensing(Loss):
    """ℓ(W) = ½ Σ_i (⟨A_i, W⟩ - ⟨A_i, Φ⟩)² for n measurement matrices A_i."""

    Phi: Matrix
    A: Float[Array, "measurement output input"]

    def _residuals(self, W: Matrix) -> Float[Array, " measurement"]:
        return jnp.tensordot(self.A, W - self.Phi, axes=2)

    def value(self, W: Matrix) -> Scalar:
        """Return half the sum of squared residuals."""
        return 0.5 * jnp.sum(self._residuals(W) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return Σ_i (⟨A_i, W⟩ - b_i) A_i."""
        return jnp.tensordot(self._residuals(W), self.A, axes=1)

    @property
    def target(self) -> Matrix:
        """Return Φ."""
        return self.Phi


class LeastSquares(Loss):
    """ℓ(W) = 1/(2m) ‖W X - Y‖²_F through its sufficient statistics.

    They are kept in square-root form, R Rᵀ = XXᵀ/m and T Rᵀ = YXᵀ/m, with the part of the loss
    that no W can reach as `floor`: ℓ(W) = ½‖W R - T‖²_F + floor. The cost does not grow with the
    number of samples m, and nothing cancels near the minimum.
    """

    R: Float[Array, "input rank"]
    T: Float[Array, "output rank"]
    floor: Scalar

    @classmethod
    def from_data(cls, X: Inputs, Y: Targets) -> LeastSquares:
        """Compress samples (columns of X and Y) by one thin SVD, X = U S Vᵀ."""
        m = X.shape[1]
        U, S, Vt = np.linalg.svd(X, full_matrices=False)
        T = Y @ Vt.T
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
        """Return T Rᵀ = Y Xᵀ/m."""
        return self.T @ self.R.T


class PowerRegression(Loss):
    """ℓ(W) = 1/(p·m) Σ |W X - Y|^p, p ≥ 1 (Arora, Cohen & Hazan 2018, §5 with p = 4)."""

    X: Inputs
    Y: Targets
    p: float = eqx.field(static=True)

    def value(self, W: Matrix) -> Scalar:
        """Return the mean over samples of Σ_outputs |e|^p / p, e = W X - Y."""
        m = self.X.shape[1]
        return jnp.sum(jnp.abs(W @ self.X - self.Y) ** self.p) / (self.p * m)

    def gradient(self, W: Matrix) -> Matrix:
        """Return (sign(e) |e|^{p-1}) Xᵀ / m; at p = 1 and e = 0 the subgradient 0."""
        e = W @ self.X - self.Y
        return (jnp.sign(e) * jnp.abs(e) ** (self.p - 1)) @ self.X.T / self.X.shape[1]


class Logistic(Loss):
    """ℓ(w) = 1/m Σ log(1 + e^{-y w x}) for one output and labels y = ±1."""

    X: Inputs
    y: Float[Array, "1 sample"]

    def value(self, W: Matrix) -> Scalar:
        """Return the mean softplus(-y w x), which does not overflow."""
        return jnp.mean(jax.nn.softplus(-self.y * (W @ self.X)))

    def gradient(self, W: Matrix) -> Matrix:
        """Return -(y sigmoid(-y w x)) Xᵀ / m."""
        margins = self.y * (W @ self.X)
        return -(self.y * jax.nn.sigmoid(-margins)) @ self.X.T / self.X.shape[1]

    def separates(self, W: Matrix) -> bool:
        """Say whether every margin y w x is positive: ℓ(c w) → 0 as c → ∞."""
        return bool((np.asarray(self.y) * (np.asarray(W) @ np.asarray(self.X)) > 0).all())


class CrossEntropy(Loss):
    """ℓ(W) = 1/m Σ -log softmax(W x)_class, classes counted from 0."""

    X: Inputs
    classes: Int[Array, " sample"]

    def value(self, W: Matrix) -> Scalar:
        """Return the mean of logsumexp(W x) - (W x)_class."""
        scores = W @ self.X
        chosen = jnp.take_along_axis(scores, self.classes[None, :], axis=0)[0]
        return jnp.mean(jax.nn.logsumexp(scores, axis=0) - chosen)

    def gradient(self, W: Matrix) -> Matrix:
        """Return (softmax(W X) - one_hot(classes)) Xᵀ / m."""
        scores = W @ self.X
        one_hot = jax.nn.one_hot(self.classes, scores.shape[0], axis=0, dtype=scores.dtype)
        return (jax.nn.softmax(scores, axis=0) - one_hot) @ self.X.T / self.X.shape[1]

    def separates(self, W: Matrix) -> bool:
        """Say whether each sample's own class has the strictly largest score."""
        scores, classes = np.asarray(W) @ np.asarray(self.X), np.asarray(self.classes)
        chosen = np.take_along_axis(scores, classes[None, :], axis=0)
        return bool(((scores >= chosen).sum(axis=0) == 1).all())


QUADRATIC = (Squared, Completion, Sensing, LeastSquares)
"""The losses with a minimum whose gradient is linear in W.

∇ℓ(W) = H[W] - B with a symmetric H ≥ 0, and B in the range of H: it is not so of `Linear`, H = 0.
"""
