"""Losses of linear classifiers, over samples x (columns of X) with their classes.

On separable data they have no minimum: ℓ(c W) → 0 as c → ∞ for any W that classifies every sample.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from flowsim.problem.losses.loss import Loss
from flowsim.problem.types import Array, Inputs, Matrix, Scalar


class Classifier(Loss):
    """A smooth convex loss over labelled samples, of the scores W x.

    Each sample has margins, linear in W, that are all positive where W x puts it in its class.
    """

    X: Inputs

    @abc.abstractmethod
    def margins(self, W: np.ndarray) -> np.ndarray:
        """Return the margins of every sample, shape (sample,) or (sample, other class)."""

    @abc.abstractmethod
    def margin_matrix(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return A with A vec(W) = all margins, for W of this shape: one row per margin."""

    @abc.abstractmethod
    def correct(self, scores: np.ndarray) -> np.ndarray:
        """Return which samples the scores (…, output, sample) put in their class."""

    @property
    def why_not_smooth_convex(self) -> str:
        """Return "": it is smooth and convex."""
        return ""

    def separates(self, W: np.ndarray) -> bool:
        """Return whether all margins of W are positive."""
        return bool((self.margins(np.asarray(W)) > 0).all())

    def accuracy(self, W: np.ndarray) -> np.ndarray:
        """Return the fraction of samples put in their class, nan where W is not finite.

        W may have leading axes.
        """
        right = self.correct(np.asarray(W) @ np.asarray(self.X))
        return np.where(np.isfinite(W).all(axis=(-2, -1)), right.mean(axis=-1), np.nan)


class Logistic(Classifier):
    """ℓ(w) = 1/m Σ log(1 + e^{-y w x}) for one output and labels y = ±1; the margin is y w x."""

    sample_axes: ClassVar[Mapping[str, int]] = {"X": 1, "y": 1}

    y: Float[Array, "1 sample"]

    def __post_init__(self) -> None:
        """Check the labels and the arrays."""
        super().__post_init__()
        if not (np.abs(self.y) == 1).all():
            raise ValueError("Logistic: y must be labels 1 and -1, but holds other numbers.")

    def value(self, W: Matrix) -> Scalar:
        """Return the mean softplus(-y w x), which does not overflow."""
        return jnp.mean(jax.nn.softplus(-self.y * (W @ self.X)))

    def gradient(self, W: Matrix) -> Matrix:
        """Return -(y sigmoid(-y w x)) Xᵀ / m."""
        margins = self.y * (W @ self.X)
        return -(self.y * jax.nn.sigmoid(-margins)) @ self.X.T / self.X.shape[1]

    def margins(self, W: np.ndarray) -> np.ndarray:
        """Return y w x, shape (sample,)."""
        return np.asarray((np.asarray(self.y) * (W @ np.asarray(self.X)))[0])

    def margin_matrix(self, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ARG002
        """Return the rows y x."""
        return np.asarray((np.asarray(self.y) * np.asarray(self.X)).T)

    def correct(self, scores: np.ndarray) -> np.ndarray:
        """Return where the sign of the score is the label."""
        return np.asarray(np.sign(scores[..., 0, :]) == np.asarray(self.y)[0])


class CrossEntropy(Classifier):
    """ℓ(W) = 1/m Σ -log softmax(W x)_class, classes counted from 0.

    Margins are (W x)_class - (W x)_k for every other class k.
    """

    sample_axes: ClassVar[Mapping[str, int]] = {"X": 1, "classes": 0}

    classes: Int[Array, " sample"]

    def __post_init__(self) -> None:
        """Check the classes and the arrays."""
        super().__post_init__()
        if self.classes.dtype.kind not in "iu" or (np.asarray(self.classes) < 0).any():
            raise ValueError(
                "CrossEntropy: classes must be integers from 0, but holds other numbers."
            )

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

    def margins(self, W: np.ndarray) -> np.ndarray:
        """Return the own score less every other one, shape (sample, class - 1)."""
        scores, own = W @ np.asarray(self.X), np.asarray(self.classes)
        others = np.arange(scores.shape[0])[:, None] != own[None, :]
        gaps = scores[own, np.arange(own.size)] - scores
        return np.asarray(gaps.T[others.T].reshape(own.size, -1))

    def margin_matrix(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the rows (e_class - e_k) xᵀ of every sample and other class k."""
        X, own, (outputs, inputs) = np.asarray(self.X), np.asarray(self.classes), shape
        rows = np.zeros((own.size, outputs, outputs, inputs))
        # indices (sample, k, output, input): e_class xᵀ in every row, then -e_k xᵀ in row k
        rows[np.arange(own.size), :, own, :] += X.T[:, None, :]
        every = np.arange(outputs)
        rows[:, every, every, :] -= X.T[:, None, :]
        # row k = class is 0, and is left out
        others = every[None, :] != own[:, None]
        return np.asarray(rows[others].reshape(-1, outputs * inputs))

    def correct(self, scores: np.ndarray) -> np.ndarray:
        """Return where the largest score is that of the class, the first one on ties."""
        return np.asarray(scores.argmax(axis=-2) == np.asarray(self.classes))
