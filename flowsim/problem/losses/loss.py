"""What a loss is: its value, its gradient, and the properties that theory asks of it.

Every property has a default here that holds for any differentiable loss, so that a new loss
declares what is special about it and nothing else.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple, get_args, get_type_hints

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from flowsim.problem import network
from flowsim.problem.arguments import real_array
from flowsim.problem.errors import NotApplicable
from flowsim.problem.types import Array, Layers, Matrix, Scalar


class Isotropic(NamedTuple):
    """ℓ(W) = ½ h ‖W - Φ‖²_F + constant: its flow is that of ½‖W - Φ‖² at the times h·t."""

    Phi: np.ndarray
    h: float


class Diagonalized(NamedTuple):
    """∇ℓ(W) = H[W] - B in orthonormal coordinates w of W in which H is diagonal: h∘w - b.

    `coordinates` maps W to w, `assemble` maps w to the part of W within the basis, also along
    leading axes. What is outside the basis is in the kernel of H.
    """

    h: np.ndarray
    b: np.ndarray
    coordinates: Callable[[np.ndarray], np.ndarray]
    assemble: Callable[[np.ndarray], np.ndarray]


class Factored(NamedTuple):
    """ℓ(W) = ½‖W R - T‖²_F + floor."""

    R: np.ndarray
    T: np.ndarray
    floor: float


class Loss(eqx.Module):
    """A differentiable loss ℓ: R^{d_N × d_0} → R of the end-to-end matrix.

    A loss is a JAX pytree of its data, so that compiled programs take them as arguments.

    Attributes
    ----------
    quadratic
        Whether ∇ℓ(W) = H[W] - B with a symmetric H ≥ 0 ≠ H and B in the range of H, so that a
        minimum exists. It is not so of `Linear`, where H = 0.
    sample_axes
        The arrays that run over samples, with the axis; empty where the loss is not over samples.
    summed
        Whether the loss is a sum over samples, not a mean.
    on_layers
        Whether the loss depends on the layers beyond their product W (`Layered`).

    """

    quadratic: ClassVar[bool] = False
    sample_axes: ClassVar[Mapping[str, int]] = {}
    summed: ClassVar[bool] = False
    on_layers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the arrays, and keep copies of those of NumPy, which may be overwritten."""
        for name, axes in _axes(type(self)).items():
            value, label = getattr(self, name), f"{type(self).__name__}: {name}"
            if not isinstance(value, jax.Array):
                value = real_array(label, value, keep_integers=True)
                setattr(self, name, value)
            elif value.dtype.kind not in "iub" and value.dtype != np.float64:
                raise ValueError(
                    f"{label} must be an array of float64, but is one of {value.dtype}; "
                    "arrays of JAX made before flowsim was imported are float32."
                )
            if value.ndim != len(axes):
                required = f"{len(axes)} axes ({', '.join(axes)})" if axes else "no axes"
                raise ValueError(
                    f"{label} must be an array of {required}, but has shape {value.shape}."
                )
        counts = {name: getattr(self, name).shape[axis] for name, axis in self.sample_axes.items()}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ValueError(
                f"{type(self).__name__}: arrays must have as many samples each, but have {found}."
            )

    @abc.abstractmethod
    def value(self, W: Matrix) -> Scalar:
        """Return ℓ(W)."""

    @abc.abstractmethod
    def gradient(self, W: Matrix) -> Matrix:
        """Return G = ∇ℓ(W), of W's shape."""

    @property
    def of_matrix(self) -> Loss:
        """The part of the loss that depends on W alone: all of it, unless it is on the layers."""
        return self

    @property
    def why_not_of_matrix(self) -> str:
        """The reason why the loss is no function of W, or ""."""
        return ""

    def at(self, layers: Layers, W: Matrix) -> Scalar:  # noqa: ARG002
        """Return the loss of layers whose product is W."""
        return self.value(W)

    def layer_gradients(
        self, layers: Layers, of_matrix: Callable[[Matrix], Matrix] | None = None
    ) -> Layers:
        """Return the gradient of the loss in every layer, with W ↦ ∇ℓ(W) or an estimate of it."""
        return network.layer_gradients(layers, of_matrix or self.gradient)

    def evaluate(self, layers: Layers) -> Array:
        """Return the loss of layers, compiled."""
        return value_and_gradient(self, np.asarray(network.end_to_end(layers)))[0]

    def traced(self, shape: tuple[int, ...]) -> Loss:  # noqa: ARG002
        """Return the loss for matrices W of a shape, independent of whatever it reads now."""
        return self

    def takes(self, shape: tuple[int, ...]) -> str:
        """Return the argument of the loss for matrices W of a shape, in messages."""
        return f"an end-to-end matrix of shape {shape}"

    def verified(self, W: Matrix, value: float) -> Loss:  # noqa: ARG002
        """Return the loss, if what is stated about it holds at a matrix W with ℓ(W) = `value`."""
        return self

    def doubted(self) -> Loss:
        """Return the loss without what is stated about it."""
        return self

    @property
    def label(self) -> str:
        """The name of the loss in tables and messages."""
        return type(self).__name__

    @property
    def target(self) -> Matrix | None:
        """The matrix Φ that minimizes the loss by construction, or None."""
        return None

    def reconstruction_error(self, distance: np.ndarray) -> np.ndarray | None:  # noqa: ARG002
        """Return relative errors from ‖W - Φ‖_F where Φ is measured in part, else None."""
        return None

    @property
    def minimum(self) -> float | None:
        """The least value of the loss over all matrices, if it is stated."""
        return None

    @property
    def convex(self) -> bool:
        """Whether the loss is stated to be convex."""
        return False

    @property
    def directions(self) -> Matrix | None:
        """The matrix whose singular vectors an aligned initialization takes, or None."""
        return self.target

    @property
    def why_not_smooth_convex(self) -> str:
        """The reason why Newton's method may miss the minimum; "" for a smooth convex loss."""
        return "a loss that is not known to be convex"

    def isotropic(self) -> Isotropic:
        """Return Φ and h where the loss is ½h‖W - Φ‖² up to a constant.

        Raises
        ------
        NotApplicable
            If its curvature differs between directions or between matrices.

        """
        raise NotApplicable(
            "the loss must be ½‖W - Φ‖², or regression with p = 2 on white data, "
            f"but is {self.label}"
        )

    def diagonalized(self) -> Diagonalized | None:
        """Return the eigenbasis of H where ∇ℓ(W) = H[W] - B, else None."""
        return None

    def factored(self) -> Factored | None:
        """Return R, T and floor where ℓ(W) = ½‖W R - T‖² + floor, else None."""
        return None

    def separates(self, W: np.ndarray) -> bool:  # noqa: ARG002
        """Return whether W classifies every sample strictly: then no finite W minimizes ℓ."""
        return False

    def polyak_lojasiewicz(self) -> float:
        """Return the largest known μ in ½‖∇ℓ(W)‖² ≥ μ(ℓ(W) - ℓ*) for all W; nan if unknown.

        For a quadratic loss, with ∇ℓ = H[W - W*], that is the smallest positive eigenvalue of H.
        """
        return float("nan")

    @property
    def sample_count(self) -> int:
        """The number m of samples.

        Raises
        ------
        TypeError
            If the loss is not over samples.

        """
        for name, axis in self.sample_axes.items():
            return int(getattr(self, name).shape[axis])
        raise TypeError(f"A loss {self.label} is not over samples.")

    def subset(self, chosen: Int[Array, " chosen"]) -> Loss:
        """Return the loss over some of its samples, a sum or a mean over these."""
        names = tuple(self.sample_axes)
        taken = [
            jnp.take(getattr(self, name), chosen, axis=self.sample_axes[name]) for name in names
        ]
        found: Loss = eqx.tree_at(lambda loss: [getattr(loss, name) for name in names], self, taken)
        return found

    @property
    def label_count(self) -> int:
        """The number of labels b of a loss ½c‖𝒜(W) - b‖².

        Raises
        ------
        TypeError
            If the loss has no such labels.

        """
        raise TypeError(f"A loss {self.label} has no labels that noise could be added to.")

    def label_gradient(self, zeta: Array) -> Matrix:  # noqa: ARG002
        """Return c𝒜*(ζ), by which ∇ℓ falls when the labels b rise by ζ, sample by sample.

        Raises
        ------
        TypeError
            If the loss has no such labels.

        """
        raise TypeError(f"A loss {self.label} has no labels that noise could be added to.")


@functools.cache
def _axes(loss: type[Loss]) -> dict[str, list[str]]:
    """Return the names of the axes of each array of a loss, from their annotations."""
    axes = {}
    for name, annotation in get_type_hints(loss).items():
        kind, *_ = get_args(annotation) or [annotation]
        if hasattr(kind, "dim_str"):
            axes[name] = kind.dim_str.split()
    return axes


@eqx.filter_jit
def value_and_gradient(loss: Loss, W: Matrix) -> tuple[Scalar, Matrix]:
    """Return ℓ(W) and ∇ℓ(W)."""
    return loss.value(W), loss.gradient(W)


def smallest_positive_eigenvalue(A: np.ndarray) -> float:
    """Return the smallest eigenvalue of AAᵀ above rounding, for a matrix A; nan for A = 0."""
    sigma = np.linalg.svd(A, compute_uv=False)
    # what rounding leaves of an exact zero is below max(d) eps σ_1, as in NumPy's matrix_rank
    known = sigma[sigma > max(A.shape) * np.finfo(float).eps * sigma[0]]
    return float(known[-1] ** 2) if known.size else float("nan")
