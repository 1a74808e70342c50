"""Noise of the gradient: minibatches and label noise, drawn independently at every step.

A step draws ζ, independent standard normal numbers, and uses Ĝ(W; ζ) in place of ∇ℓ(W), where
E Ĝ = ∇ℓ(W). Gaussian noise of the same covariance is linear in ζ: B(W)ζ, Cov vec Ĝ = B Bᵀ.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from flowsim.problem.arguments import checked, instance_of, whole_number
from flowsim.problem.losses import Loss
from flowsim.problem.types import Array, Matrix, Scalar


class Noise(eqx.Module):
    """An unbiased estimate Ĝ of the gradient of a loss, and Gaussian noise of its covariance."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """The length of ζ."""

    @abc.abstractmethod
    def gradient(self, W: Matrix, zeta: Array) -> Matrix:
        """Return Ĝ(W; ζ), of W's shape."""

    @abc.abstractmethod
    def gaussian(self, W: Matrix, zeta: Array) -> Matrix:
        """Return B(W)ζ, of W's shape: linear in ζ, with the covariance of Ĝ."""

    @abc.abstractmethod
    def columns(self, W: Matrix) -> Float[Array, "draw output input"]:
        """Return B(W)e_a for every unit vector e_a of ζ."""

    def draw(self, key: Key[Array, ""], dtype: Any = float) -> Array:
        """Return the ζ of a key."""
        return jax.random.normal(key, (self.dimension,), dtype)

    def covariance(self, W: Matrix) -> Float[Array, "entry entry"]:
        """Return Cov vec Ĝ(W) = B Bᵀ, where vec reads row by row."""
        B = self.columns(W).reshape(self.dimension, -1)
        return B.T @ B


class Stream(eqx.Module):
    """Noise with a key: step k draws ζ_k from the key and k, whatever ran before."""

    noise: Noise
    key: Key[Array, ""]

    def gradient(self, k: Int[Array, ""]) -> Callable[[Matrix], Matrix]:
        """Return W ↦ Ĝ(W; ζ_k) of step k, with the same ζ_k at every evaluation."""
        key = jax.random.fold_in(self.key, k)
        return lambda W: self.noise.gradient(W, self.noise.draw(key, W.dtype))


def _of_matrix(loss: Loss) -> Loss:
    """Return the part of a loss that is noisy: a function of the layers has no samples."""
    return loss.of_matrix


class LabelNoise(Noise):
    """Gaussian noise of standard deviation s on every label: on Φ, b or Y.

    Losses ½c‖𝒜(W) - b‖² have the gradient c𝒜*(𝒜(W) - b), so that Ĝ = ∇ℓ(W) - s c𝒜*(ζ),
    whatever W is. For `LeastSquares` of m samples, whose labels are T = Y V/√m, s is that of Y
    over √m.
    """

    loss: Loss = eqx.field(converter=_of_matrix)
    deviation: Scalar

    @property
    def dimension(self) -> int:
        """The number of labels."""
        return self.loss.label_count

    def gradient(self, W: Matrix, zeta: Array) -> Matrix:
        """Return ∇ℓ(W) - s c𝒜*(ζ)."""
        return self.loss.gradient(W) + self.gaussian(W, zeta)

    def gaussian(self, W: Matrix, zeta: Array) -> Matrix:  # noqa: ARG002
        """Return -s c𝒜*(ζ)."""
        return -self.deviation * self.loss.label_gradient(zeta)

    def columns(self, W: Matrix) -> Float[Array, "draw output input"]:  # noqa: ARG002
        """Return -s c𝒜*(e_a) of every label."""
        return -self.deviation * _label_columns(self.loss)


class Batches(Noise):
    """Ĝ on n of the m samples, drawn without replacement, with label noise of deviation s, if any.

    The batch consists of the samples with the n largest of the first m numbers of ζ, so that all
    batches are equally likely:

        Ĝ = (1/n) Σ_{i ∈ batch} G_i,   Cov vec Ĝ = (m - n)/(n (m - 1)) · (1/m) Σ_i v_i v_iᵀ,

    G_i being the gradient on sample i alone, m ∇ℓ_i where the loss is a sum Σ ℓ_i, and
    v_i = vec(G_i - ∇ℓ). Label noise on the batch adds m/n times its covariance on all samples.
    """

    loss: Loss = eqx.field(converter=_of_matrix)
    size: int = eqx.field(static=True)
    deviation: Scalar | None = None

    @property
    def dimension(self) -> int:
        """The number m of samples, plus that of their labels with label noise."""
        return self._samples + (0 if self.deviation is None else self.loss.label_count)

    @property
    def _samples(self) -> int:
        return self.loss.sample_count

    def gradient(self, W: Matrix, zeta: Array) -> Matrix:
        """Return the gradient on the batch, with label noise if any."""
        m, n = self._samples, self.size
        # ranks of i.i.d. numbers are a uniform permutation: a draw without replacement
        chosen = jax.lax.top_k(zeta[:m], n)[1]
        batch = self.loss.subset(chosen)
        scale = m / n if self.loss.summed else 1.0
        estimate = batch.gradient(W)
        if self.deviation is not None:
            labels = zeta[m:].reshape(m, -1)[chosen].ravel()
            estimate = estimate - self.deviation * batch.label_gradient(labels)
        # a sum over n of m samples is on average n/m of the full gradient
        return scale * estimate

    def gaussian(self, W: Matrix, zeta: Array) -> Matrix:
        """Return √((m - n)/(n (m - 1) m)) Σ_i ζ_i (G_i - ∇ℓ), and -s √(m/n) c𝒜*(ζ) of labels."""
        m = self._samples
        # Σ_i (ζ_i - mean) G_i = Σ_i ζ_i (G_i - ∇ℓ): one vector-Jacobian product, no G_i is formed
        weights = self._factor * (zeta[:m] - jnp.mean(zeta[:m]))
        _, combined = jax.vjp(self._each, W)
        found: Matrix = combined(weights)[0]
        if self.deviation is not None:
            found = found - self._label_factor * self.loss.label_gradient(zeta[m:])
        return found

    def columns(self, W: Matrix) -> Float[Array, "draw output input"]:
        """Return √((m - n)/(n (m - 1) m)) (G_i - ∇ℓ) of every sample, and those of the labels."""
        m = self._samples
        scale = m if self.loss.summed else 1
        each = scale * jax.vmap(lambda i: self.loss.subset(i[None]).gradient(W))(jnp.arange(m))
        found = self._factor * (each - jnp.mean(each, axis=0, keepdims=True))
        if self.deviation is None:
            return found
        return jnp.concatenate([found, -self._label_factor * _label_columns(self.loss)])

    @property
    def _factor(self) -> float:
        """√((m - n)/(n (m - 1) m)): 0 for n = m."""
        m, n = self._samples, self.size
        return math.sqrt((m - n) / (n * max(m - 1, 1) * m))

    @property
    def _label_factor(self) -> Scalar:
        """The deviation s √(m/n)."""
        assert self.deviation is not None
        return self.deviation * math.sqrt(self._samples / self.size)

    def _each(self, W: Matrix) -> Float[Array, " sample"]:
        """Return the loss on each sample alone, whose gradient is G_i."""
        m = self._samples
        scale = m if self.loss.summed else 1
        values = jax.vmap(lambda i: self.loss.subset(i[None]).value(W))(jnp.arange(m))
        return scale * values


@checked(
    loss=instance_of(Loss, required="a loss over samples"),
    size=partial(whole_number, least=1),
    seed=partial(whole_number, least=0),
)
def batches(loss: Loss, size: int, *, seed: int = 0) -> Stream:
    """Return draws of mini-batches of `size` samples, without replacement, for `flowsim.descend`.

    >>> draws = flowsim.noise.batches(problem.loss, 32, seed=1)
    >>> flowsim.descend(problem, [0.1], noise=draws)

    Raises
    ------
    ValueError
        If the loss is not over samples, or has fewer than `size`.

    """
    sampled = loss.of_matrix
    if not sampled.sample_axes:
        raise ValueError(f"loss must be over samples, but {sampled.label} is not.")
    if size > sampled.sample_count:
        raise ValueError(
            f"size must be at most the number of samples, {sampled.sample_count}, but is {size}."
        )
    return Stream(Batches(sampled, size), jax.random.key(seed, impl="threefry2x32"))


def _label_columns(loss: Loss) -> Float[Array, "label output input"]:
    """Return c𝒜*(e) for every unit vector e of labels."""
    found: Array = jax.vmap(loss.label_gradient)(jnp.eye(loss.label_count))
    return found
