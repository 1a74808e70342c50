"""Losses about a given target matrix Φ: linear, squared, and by its measurements."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from flowsim.problem.losses.loss import (
    Diagonalized,
    Factored,
    Isotropic,
    Loss,
    smallest_positive_eigenvalue,
)
from flowsim.problem.types import Array, Matrix, Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LARGEST = 1000
"""Measurements, or entries of W, up to which a dense decomposition of all of them is affordable."""


class Linear(Loss):
    """ℓ(W) = -⟨Φ, W⟩ = -tr(ΦᵀW).

    Its gradient is -Φ everywhere and it has no minimum: singular values of W grow until the loss
    exceeds any bound, at N ≥ 3 layers within finite time.
    """

    Phi: Matrix

    def value(self, W: Matrix) -> Scalar:
        """Return -⟨Φ, W⟩."""
        return -jnp.sum(self.Phi * W)

    def gradient(self, W: Matrix) -> Matrix:
        """Return -Φ, of W's shape."""
        return -self.Phi + jnp.zeros_like(W)

    @property
    def directions(self) -> Matrix:
        """Φ."""
        return self.Phi

    @property
    def why_not_smooth_convex(self) -> str:
        """It is smooth and convex, but unbounded below."""
        return "a linear loss, which has none,"

    def diagonalized(self) -> Diagonalized:
        """Return h = 0 and b = Φ in the entries of W."""
        Phi = np.asarray(self.Phi)
        return Diagonalized(np.zeros(Phi.shape), Phi, np.asarray, np.asarray)


class Squared(Loss):
    """ℓ(W) = ½‖W - Φ‖²_F, what regression is on white data (Saxe, McClelland & Ganguli 2014)."""

    quadratic: ClassVar[bool] = True

    Phi: Matrix

    def value(self, W: Matrix) -> Scalar:
        """Return ½‖W - Φ‖²_F."""
        return 0.5 * jnp.sum((W - self.Phi) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return W - Φ."""
        return W - self.Phi

    @property
    def target(self) -> Matrix:
        """Φ."""
        return self.Phi

    def isotropic(self) -> Isotropic:
        """Return Φ and h = 1."""
        return Isotropic(np.asarray(self.Phi), 1.0)

    def diagonalized(self) -> Diagonalized:
        """Return h = 1 and b = Φ in the entries of W."""
        Phi = np.asarray(self.Phi)
        return Diagonalized(np.ones(Phi.shape), Phi, np.asarray, np.asarray)

    def factored(self) -> Factored:
        """Return R = I, T = Φ and floor = 0."""
        return Factored(np.eye(self.Phi.shape[1]), np.asarray(self.Phi), 0.0)

    def polyak_lojasiewicz(self) -> float:
        """Return 1, with equality for every W."""
        return 1.0

    @property
    def label_count(self) -> int:
        """The number of entries of Φ."""
        return int(np.prod(self.Phi.shape))

    def label_gradient(self, zeta: Array) -> Matrix:
        """Return ζ as a matrix."""
        return zeta.reshape(self.Phi.shape)


class Measurements(Loss):
    """ℓ(W) = ½‖𝒜(W) - 𝒜(Φ)‖² for linear measurements 𝒜 of W, with the minimum 0 at Φ.

    Where 𝒜 does not determine W there are many minima, and which one a flow reaches shows its
    implicit regularization (Gunasekar et al. 2017; Arora, Cohen, Hu & Luo 2019).
    """

    quadratic: ClassVar[bool] = True

    Phi: Matrix

    @property
    def target(self) -> Matrix:
        """Φ."""
        return self.Phi

    def reconstruction_error(self, distance: np.ndarray) -> np.ndarray:
        """Return ‖W - Φ‖_F / ‖Φ‖_F of distances ‖W - Φ‖_F; nan for Φ = 0."""
        size = float(np.linalg.norm(np.asarray(self.Phi)))
        return np.asarray(distance / size if size > 0 else np.full_like(distance, np.nan))

    @abc.abstractmethod
    def matrix(self) -> csr_array:
        """Return 𝒜 as a sparse matrix, with one row per measurement of W read row by row."""

    @abc.abstractmethod
    def determines_target(self) -> bool:
        """Return whether Φ is the only matrix with its measurements; False where not computed."""

    def projected(self, W: np.ndarray) -> np.ndarray:
        """Return the matrix nearest to W that has the measurements of Φ, W - 𝒜⁺(𝒜(W) - 𝒜(Φ))."""
        A = self.matrix()
        residual = A @ W.ravel() - A @ np.ravel(np.asarray(self.Phi))
        correction = np.linalg.lstsq(A.toarray(), residual, rcond=None)[0]
        return np.asarray(W - correction.reshape(W.shape))


class Completion(Measurements):
    """ℓ(W) = ½ Σ_observed (W_ij - Φ_ij)²: matrix completion.

    `observed` is a matrix of 0 and 1; entries of Φ that are not observed play no role.
    """

    observed: Matrix

    def value(self, W: Matrix) -> Scalar:
        """Return half the sum of squares over the observed entries."""
        return 0.5 * jnp.sum(self.observed * (W - self.Phi) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return observed ∘ (W - Φ)."""
        return self.observed * (W - self.Phi)

    def isotropic(self) -> Isotropic:
        """Return Φ and h = 1 where all entries are observed."""
        if self.determines_target():
            return Isotropic(np.asarray(self.Phi), 1.0)
        return super().isotropic()

    def diagonalized(self) -> Diagonalized:
        """Return h = observed and b = observed ∘ Φ in the entries of W."""
        h = np.asarray(self.observed)
        return Diagonalized(h, h * np.asarray(self.Phi), np.asarray, np.asarray)

    def polyak_lojasiewicz(self) -> float:
        """Return 1: the eigenvalues of H are 0 and 1."""
        return 1.0

    def matrix(self) -> csr_array:
        """Return one row per observed entry."""
        from scipy.sparse import csr_array

        (seen,) = np.nonzero(np.ravel(np.asarray(self.observed)))
        size, count = np.size(self.Phi), len(seen)
        return csr_array((np.ones(count), (np.arange(count), seen)), shape=(count, size))

    def determines_target(self) -> bool:
        """Return whether every entry is observed."""
        return bool(np.all(self.observed == 1))

    def projected(self, W: np.ndarray) -> np.ndarray:
        """Return W with the observed entries of Φ."""
        return np.where(np.asarray(self.observed) == 1, np.asarray(self.Phi), W)

    @property
    def label_count(self) -> int:
        """The number of entries of Φ; ζ at those that are not observed has no effect."""
        return int(np.prod(self.Phi.shape))

    def label_gradient(self, zeta: Array) -> Matrix:
        """Return observed ∘ ζ."""
        return self.observed * zeta.reshape(self.Phi.shape)


class Sensing(Measurements):
    """ℓ(W) = ½ Σ_i (⟨A_i, W⟩ - ⟨A_i, Φ⟩)² for n measurement matrices A_i: matrix sensing."""

    sample_axes: ClassVar[Mapping[str, int]] = {"A": 0}
    summed: ClassVar[bool] = True

    A: Float[Array, "measurement output input"]

    def _residuals(self, W: Matrix) -> Float[Array, " measurement"]:
        return jnp.tensordot(self.A, W - self.Phi, axes=2)

    def value(self, W: Matrix) -> Scalar:
        """Return half the sum of squared residuals."""
        return 0.5 * jnp.sum(self._residuals(W) ** 2)

    def gradient(self, W: Matrix) -> Matrix:
        """Return Σ_i (⟨A_i, W⟩ - b_i) A_i."""
        return jnp.tensordot(self._residuals(W), self.A, axes=1)

    def _rows(self) -> np.ndarray:
        return np.asarray(self.A).reshape(len(self.A), -1)

    def diagonalized(self) -> Diagonalized:
        """Return H = Σ_i A_i ⟨A_i, ·⟩ and B = H[Φ] in the right singular vectors of 𝒜."""
        # from 𝒜 itself: H = 𝒜ᵀ𝒜 has the square of its condition number, and more entries
        _, r, E = np.linalg.svd(self._rows(), full_matrices=False)
        b = r**2 * (E @ np.asarray(self.Phi).ravel())
        shape = self.Phi.shape
        return Diagonalized(
            r**2, b, lambda W: E @ W.ravel(), lambda w: (w @ E).reshape(*w.shape[:-1], *shape)
        )

    def polyak_lojasiewicz(self) -> float:
        """Return the squared smallest positive singular value of 𝒜; nan past `LARGEST` of them."""
        if min(len(self.A), self.Phi.size) > LARGEST:
            return float("nan")
        return smallest_positive_eigenvalue(self._rows())

    def matrix(self) -> csr_array:
        """Return one row vec(A_i) per measurement."""
        from scipy.sparse import csr_array

        return csr_array(self._rows())

    def determines_target(self) -> bool:
        """Return whether the A_i span all matrices, of up to `LARGEST` entries."""
        enough = len(self.A) >= self.Phi.size and self.Phi.size <= LARGEST
        return enough and int(np.linalg.matrix_rank(self._rows())) == self.Phi.size

    @property
    def label_count(self) -> int:
        """The number of measurements."""
        return self.sample_count

    def label_gradient(self, zeta: Array) -> Matrix:
        """Return Σ_i ζ_i A_i."""
        return jnp.tensordot(zeta, self.A, axes=1)


class Entries(Loss):
    """ℓ(W) = ½ Σ_i (W_{r_i c_i} - b_i)²: `Completion` by its entries, so that they can be drawn."""

    sample_axes: ClassVar[Mapping[str, int]] = {"rows": 0, "columns": 0, "values": 0}
    summed: ClassVar[bool] = True

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
        return self.label_gradient(W[self.rows, self.columns] - self.values)

    @property
    def label_count(self) -> int:
        """The number of entries."""
        return self.sample_count

    def label_gradient(self, zeta: Array) -> Matrix:
        """Return the matrix that has the values ζ at the entries, 0 elsewhere."""
        return jnp.zeros(self.shape, zeta.dtype).at[self.rows, self.columns].add(zeta)
