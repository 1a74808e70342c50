"""Noise of the gradient: batches of samples, and noise on the labels, drawn anew at every step.

A step draws ζ, independent standard normal numbers, and goes by Ĝ(W; ζ) instead of ∇ℓ(W), where
E Ĝ = ∇ℓ(W). Gaussian noise of the same covariance is linear in ζ: B(W)ζ, Cov vec Ĝ = B Bᵀ.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key

from flowsim.arrays import Array, Matrix, Scalar
from flowsim.losses import (
    Completion,
    CrossEntropy,
    LeastSquares,
    Logistic,
    Loss,
    PowerRegression,
    Sensing,
    Squared,
)


class Noise(eqx.Module):
    """An estimate Ĝ of the gradient of a loss, without bias, and its Gaussian counterpart."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """How many numbers ζ are drawn at a step."""

    @abc.abstractmethod
    def gradient(self, W: Matrix, zeta: Array) -> Matrix:
        """Return Ĝ(W; ζ)."""

    @abc.abstractmethod
    def gaussian(self, W: Matrix, zeta: Array) -> Matrix:
        """Return B(W)ζ, which is linear in ζ and has the covariance of Ĝ."""

    @abc.abstractmethod
    def columns(self, W: Matrix) -> Float[Array, "draw output input"]:
        """Return B(W)e_a for every unit vector e_a."""

    def draw(self, key: Key[Array, ""], dtype: Any = float) -> Array:
        """Return ζ of a key."""
        return jax.random.normal(key, (self.dimension,), dtype)

    def covariance(self, W: Matrix) -> Float[Array, "entry entry"]:
        """Return Cov vec Ĝ(W) = B Bᵀ, vec stacking rows."""
        B = self.columns(W).reshape(self.dimension, -1)
        return B.T @ B


class Stream(eqx.Module):
    """Noise, and the key that what is drawn at each step derives from, by the step's number."""

    noise: Noise
    key: Key[Array, ""]

    def gradient(self, k: Int[Array, ""]) -> Callable[[Matrix], Matrix]:
        """Return W ↦ Ĝ(W; ζ_k) of step k: wherever in a step it is asked for, ζ_k is the same."""
        key = jax.random.fold_in(self.key, k)
        return lambda W: self.noise.gradient(W, self.noise.draw(key, W.dtype))


class LabelNoise(Noise):
    """Gaussian noise of standard deviation s on every label: on Φ, b or Y.

    Such losses, ½c‖𝒜(W) - b‖², have the gradient c𝒜*(𝒜(W) - b), so that Ĝ = ∇ℓ(W) - s c𝒜*(ζ) whatever
    W is. For `LeastSquares` of m samples, whose labels are T = Y V/√m, s is that of Y over √m.
    """

    loss: Loss
    deviation: Scalar

    @property
    def dimension(self) -> int:
        """The number of labels."""
        return label_count(self.loss)

    def gradient(self, W: Matrix, zeta: Array) -> Matrix:
        """Return ∇ℓ(W) - s c𝒜*(ζ)."""
        return self.loss.gradient(W) + self.gaussian(W, zeta)

    def gaussian(self, W: Matrix, zeta: Array) -> Matrix:  # noqa: ARG002
        """Return -s c𝒜*(ζ)."""
        return -self.deviation * from_labels(self.loss, zeta)

    def columns(self, W: Matrix) -> Float[Array, "draw output input"]:  # noqa: ARG002
        """Return -s c𝒜*(e_a) of every label."""
        return -self.deviation * of_each_label(self.loss)


class Batches(Noise):
    """Ĝ of n of the m samples, drawn without replacement, with label noise where s > 0.

    The batch is that of the n largest among the first m of ζ, all of which are equally likely:

        Ĝ = (1/n) Σ_{i ∈ batch} G_i,   Cov vec Ĝ = (m - n)/(n (m - 1)) · (1/m) Σ_i v_i v_iᵀ,

    G_i being the gradient on sample i alone, m ∇ℓ_i where the loss is a sum Σ ℓ_i, and
    v_i = vec(G_i - ∇ℓ). Noise on the labels of the batch adds m/n times its covariance on all.
    """

    loss: Loss
    size: int = eqx.field(static=True)
    deviation: Scalar | None = None

    @property
    def dimension(self) -> int:
        """The number m of samples, and that of their labels where they are noisy."""
        return self._samples + (0 if self.deviation is None else label_count(self.loss))

    @property
    def _samples(self) -> int:
        return sample_count(self.loss)

    def gradient(self, W: Matrix, zeta: Array) -> Matrix:
        """Return the gradient on the batch, its labels noisy where they are to be."""
        m, n = self._samples, self.size
        chosen = jax.lax.top_k(zeta[:m], n)[1]
        batch = subset(self.loss, chosen)
        scale = m / n if isinstance(self.loss, SUMS) else 1.0
        found = batch.gradient(W)
        if self.deviation is not None:
            labels = zeta[m:].reshape(m, -1)[chosen].ravel()
            found = found - self.deviation * from_labels(batch, labels)
        return scale * found

    def gaussian(self, W: Matrix, zeta: Array) -> Matrix:
        """Return √((m - n)/(n (m - 1) m)) Σ_i ζ_i (G_i - ∇ℓ), and -s √(m/n) c𝒜*(ζ) of labels."""
        m = self._samples
        weights = self._factor * (zeta[:m] - jnp.mean(zeta[:m]))
        _, combined = jax.vjp(self._each, W)
        found: Matrix = combined(weights)[0]
        if self.deviation is not None:
            found = found - self._label_factor * from_labels(self.loss, zeta[m:])
        return found

    def columns(self, W: Matrix) -> Float[Array, "draw output input"]:
        """Return √((m - n)/(n (m - 1) m)) (G_i - ∇ℓ) of every sample, and those of the labels."""
        m = self._samples
        scale = m if isinstance(self.loss, SUMS) else 1
        each = scale * jax.vmap(lambda i: subset(self.loss, i[None]).gradient(W))(jnp.arange(m))
        found = self._factor * (each - jnp.mean(each, axis=0, keepdims=True))
        if self.deviation is None:
            return found
        return jnp.concatenate([found, -self._label_factor * of_each_label(self.loss)])

    @property
    def _factor(self) -> float:
        """√((m - n)/(n (m - 1) m)), 0 where a batch is all there is."""
        m, n = self._samples, self.size
        return math.sqrt((m - n) / (n * max(m - 1, 1) * m))

    @property
    def _label_factor(self) -> Scalar:
        """s √(m/n)."""
        assert self.deviation is not None
        return self.deviation * math.sqrt(self._samples / self.size)

    def _each(self, W: Matrix) -> Float[Array, " sample"]:
        """Return the loss on each sample alone, whose gradient is G_i."""
        m = self._samples
        scale = m if isinstance(self.loss, SUMS) else 1
        values = jax.vmap(lambda i: subset(self.loss, i[None]).value(W))(jnp.arange(m))
        return scale * values


class Entries(Loss):
    """ℓ(W) = ½ Σ_i (W_{r_i c_i} - b_i)²: `Completion` entry by entry, so that entries can be drawn."""

    rows: Int[Array, " entry"]
    columns: Int[Array, " entry"]
    values: Float[Array, " entry"]
    shape: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, loss: Completion) -> Entries:
        """Return the loss over the entries that are observed."""
        rows, columns = np.nonzero(np.asarray(loss.observed))
        values = np.asarray(loss.Phi)[rows, columns]
        return cls(*map(jnp.asarray, (rows, columns, values)), loss.Phi.shape)

    def value(self, W: Matrix) -> Scalar:
        """Return half the sum of squares over the entries."""
        return 0.5 * jnp.sum((W[self.rows, self.columns] - self.values) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return W - Φ at the entries, 0 elsewhere."""
        return self.spread(W[self.rows, self.columns] - self.values)

    def spread(self, values: Float[Array, " entry"]) -> Matrix:
        """Return the matrix that has these values at the entries, 0 elsewhere."""
        return jnp.zeros(self.shape, values.dtype).at[self.rows, self.columns].add(values)


SAMPLED: Mapping[type[Loss], Mapping[str, int]] = {
    PowerRegression: {"X": 1, "Y": 1},
    Logistic: {"X": 1, "y": 1},
    CrossEntropy: {"X": 1, "classes": 0},
    Sensing: {"A": 0},
    Entries: {"rows": 0, "columns": 0, "values": 0},
}
"""The losses over samples: which arrays run over them, along which axis."""

SUMS = (Sensing, Entries)
"""Those that are sums over samples; the others are means."""


def sample_count(loss: Loss) -> int:
    """Return the number m of samples."""
    name, axis = next(iter(SAMPLED[type(loss)].items()))
    return int(getattr(loss, name).shape[axis])


def subset(loss: Loss, chosen: Int[Array, " chosen"]) -> Loss:
    """Return the loss on some of the samples, a sum or a mean as before."""
    arrays = SAMPLED[type(loss)]
    taken = [jnp.take(getattr(loss, name), chosen, axis=axis) for name, axis in arrays.items()]
    found: Loss = eqx.tree_at(lambda of: [getattr(of, name) for name in arrays], loss, taken)
    return found


def label_count(loss: Loss) -> int:
    """Return how many labels a loss ½c‖𝒜(W) - b‖² has."""
    match loss:
        case Squared() | Completion():
            return int(np.prod(loss.Phi.shape))
        case LeastSquares():
            return int(np.prod(loss.T.shape))
        case PowerRegression(p=2):
            return int(np.prod(loss.Y.shape))
        case _ if isinstance(loss, SUMS):
            return sample_count(loss)
    raise TypeError(f"A loss {type(loss).__name__} has no labels that noise could be added to.")


def from_labels(loss: Loss, zeta: Array) -> Matrix:
    """Return c𝒜*(ζ), by which the gradient falls when labels rise by ζ, sample by sample."""
    match loss:
        case Squared():
            return zeta.reshape(loss.Phi.shape)
        case Completion():
            return loss.observed * zeta.reshape(loss.Phi.shape)
        case Sensing():
            return jnp.tensordot(zeta, loss.A, axes=1)
        case Entries():
            return loss.spread(zeta)
        case LeastSquares():
            return zeta.reshape(loss.T.shape) @ loss.R.T
        case PowerRegression(p=2):
            return zeta.reshape(loss.X.shape[1], -1).T @ loss.X.T / loss.X.shape[1]
    raise TypeError(f"A loss {type(loss).__name__} has no labels that noise could be added to.")


def of_each_label(loss: Loss) -> Float[Array, "label output input"]:
    """Return c𝒜*(e) for every unit vector of labels."""
    found: Array = jax.vmap(lambda e: from_labels(loss, e))(jnp.eye(label_count(loss)))
    return found
