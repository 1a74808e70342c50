"""What losses are over: samples, of which some can be taken, and labels, which can be off."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from flowsim.problem.losses import (
    Completion,
    CrossEntropy,
    LeastSquares,
    Logistic,
    Loss,
    PowerRegression,
    Sensing,
    Squared,
)
from flowsim.problem.types import Array, Matrix, Scalar


class Entries(Loss):
    """ℓ(W) = ½ Σ_i (W_{r_i c_i} - b_i)²: `Completion` by its entries, so that they can be drawn."""

    rows: Int[Array, " entry"]
    columns: Int[Array, " entry"]
    values: Float[Array, " entry"]
    shape: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, loss: Completion) -> Entries:
        """Return the loss over the entries that are observed."""
        rows, columns = np.nonzero(np.asarray(loss.observed))
        values = np.asarray(loss.Phi)[rows, columns]
        return cls(jnp.asarray(rows), jnp.asarray(columns), jnp.asarray(values), loss.Phi.shape)

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
