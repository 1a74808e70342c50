"""Linear networks: products of the layers, gradients in them, and their imbalance.

A linear network of depth N and widths d_0, …, d_N has layers W_j ∈ R^{d_j × d_{j-1}}; the loss
depends only on its end-to-end matrix W = W_N ⋯ W_1 ∈ R^{d_N × d_0}.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np

from flowsim.problem.errors import NotApplicable
from flowsim.problem.types import Array, Layer, Layers, Matrix


def widths(layers: Layers) -> tuple[int, ...]:
    """Return (d_0, …, d_N)."""
    return (layers[0].shape[1], *(layer.shape[0] for layer in layers))


def check_layers(layers: Sequence[Array]) -> None:
    """Check that the layers are a non-empty chain of finite matrices with matching shapes.

    Raises
    ------
    ValueError
        With the layer at fault and the shape that is required.

    """
    if not layers:
        raise ValueError("A network needs at least one layer, but got none.")
    for j, layer in enumerate(layers, start=1):
        if layer.ndim != 2 or 0 in layer.shape:
            raise ValueError(f"W_{j} must be a non-empty matrix, but has shape {layer.shape}.")
        if not np.isfinite(layer).all():
            raise ValueError(f"W_{j} must be finite, but holds nan or inf.")
    check_sizes(layers)
    for j, (below, above) in enumerate(pairwise(layers), start=1):
        if above.shape[1] != below.shape[0]:
            reverse = all(a.shape[1] == b.shape[0] for a, b in pairwise(layers))
            raise ValueError(
                f"W_{j + 1} must have as many columns as W_{j} has rows ({below.shape[0]}), "
                f"but has shape {above.shape}."
                + (" In reverse order the layers fit: give W_1 first." if reverse else "")
            )


def smallest_size(dtype: Any = np.float64) -> float:
    """Return the power of ten above which a type has all its digits: 1e-291, 1e-31 in float32."""
    limits = np.finfo(dtype)
    return float(10.0 ** np.ceil(np.log10(float(limits.tiny) / float(limits.eps))))


def check_sizes(layers: Sequence[Array], dtype: Any = np.float64) -> None:
    """Check that each layer is 0, or large enough for a type to hold its digits.

    Raises
    ------
    ValueError
        With the size of its largest entry and the smallest one that works.

    """
    least = smallest_size(dtype)
    for j, layer in enumerate(layers, start=1):
        largest = float(np.abs(layer).max())
        if 0 < largest < least:
            raise ValueError(
                f"W_{j} must be 0 or have an entry of at least {least:.0e}, below which "
                f"{np.dtype(dtype).name} loses digits, but its largest is {largest:.1e}."
            )


def binary_scale(matrices: Iterable[Array]) -> float:
    """Return the power of 2 next below the largest |entry|; 1 if all are 0.

    Division by it changes no digit, and keeps squares within float64's range.
    """
    largest = max(float(np.abs(matrix).max()) for matrix in matrices)
    return float(2.0 ** np.floor(np.log2(largest or 1.0)))


def log_size(layers: Layers) -> float:
    """Return log max|W| of W = W_N ⋯ W_1, where W itself may be below float64's range."""
    units = [binary_scale([layer]) for layer in layers]
    W = end_to_end(tuple(layer / unit for layer, unit in zip(layers, units, strict=True)))
    with np.errstate(divide="ignore"):  # log 0 = -inf
        return float(np.log(np.abs(W).max()) + np.sum(np.log(units)))


def require_size(layers: Layers) -> None:
    """Check that W(0) is 0, or large enough for float64 to hold its digits.

    Raises
    ------
    NotApplicable
        With its size and the smallest one that works.

    """
    least, size = smallest_size(), log_size(layers)
    if -np.inf < size < np.log(least):
        raise NotApplicable(
            f"W(0) must be 0 or have an entry of at least {least:.0e}, but its largest is about "
            f"1e{size / np.log(10):.0f}"
        )


SMALL = 6
"""Inner dimension up to which a product of small matrices is written out."""


def product(A: Layer, B: Layer) -> Layer:
    """Return A B, as Σ_k a_k b_kᵀ over columns and rows where the matrices are small.

    The compiler fuses the sum with the operations around it into one loop, also over many networks
    at once, where it would call BLAS for each small product: up to 13 times as fast.
    """
    if isinstance(A, np.ndarray) or A.shape[1] > SMALL or max(A.shape[0], B.shape[1]) > 2 * SMALL:
        return A @ B
    return functools.reduce(
        operator.add, (A[:, k : k + 1] * B[k : k + 1, :] for k in range(A.shape[1]))
    )


def end_to_end(layers: Layers) -> Matrix:
    """Return W = W_N ⋯ W_1."""
    return functools.reduce(lambda below, layer: product(layer, below), layers)


def prefix_products(layers: Layers) -> list[Array]:
    """Return [W_1, W_2 W_1, …, W_N ⋯ W_1]: entry j-1 is W_{j:1}."""
    return list(accumulate(layers, lambda below, layer: product(layer, below)))


def suffix_products(layers: Layers) -> list[Array]:
    """Return [W_N ⋯ W_1, …, W_N W_{N-1}, W_N]: entry j-1 is W_{N:j}."""
    return list(accumulate(reversed(layers), product))[::-1]


def layer_gradients(layers: Layers, loss_gradient: Callable[[Matrix], Matrix]) -> Layers:
    """Return ∂φ/∂W_j = (W_N⋯W_{j+1})ᵀ G (W_{j-1}⋯W_1)ᵀ for every layer, G = ∇ℓ(W).

    The chain rule for φ(W_1..W_N) = ℓ(W_N⋯W_1), given W ↦ ∇ℓ(W): 3(N - 1) matrix products.
    """
    # the last prefix is W: one list serves both, where the compiler would form products twice
    prefixes = prefix_products(layers)
    gradients = []
    backward = loss_gradient(prefixes[-1])
    for j in range(len(layers) - 1, -1, -1):
        gradients.append(product(backward, prefixes[j - 1].T) if j > 0 else backward)
        backward = product(layers[j].T, backward)
    return tuple(reversed(gradients))


def imbalances(layers: Layers) -> list[Array]:
    """Return W_{j+1}ᵀW_{j+1} - W_jW_jᵀ for j = 1..N-1: constant along the layer flow."""
    return [above.T @ above - below @ below.T for below, above in pairwise(layers)]


def imbalance(layers: Layers) -> Array:
    """Return ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F for each pair of neighbours, shape (N-1,).

    Between layers much wider than their neighbours no d_j × d_j matrix is formed: with the thin
    QR [W_{j+1}ᵀ, W_j] = Q [R_1, R_2] the norm is ‖R_1R_1ᵀ - R_2R_2ᵀ‖_F.
    """
    return jnp.asarray(
        [_imbalance_norm(below, above) for below, above in pairwise(layers)], dtype=jnp.float64
    )


def _imbalance_norm(below: Array, above: Array) -> Array:
    """Return ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F of two neighbours."""
    left, right = above.T, below
    # only then is R smaller than the d_j × d_j product
    if left.shape[0] > left.shape[1] + right.shape[1]:
        R = jnp.linalg.qr(jnp.concatenate([left, right], axis=1), mode="r")
        left, right = R[:, : left.shape[1]], R[:, left.shape[1] :]
    return jnp.asarray(jnp.linalg.norm(left @ left.T - right @ right.T))


def squared_norm(layers: Layers) -> Array:
    """Return Σ_j ‖W_j‖²_F, which weight decay penalizes."""
    return jnp.asarray(sum(jnp.sum(jnp.square(layer)) for layer in layers))


def det_sign(layers: Layers) -> Array:
    """Return the sign of det(W_N⋯W_1), -1, 0 or 1, where that is square.

    Where all layers are square it is the product of their signs: a small singular value σ of W is
    σ^{1/N} in balanced layers, so that their signs are exact when rounding dominates det W.
    """
    square = all(layer.shape[0] == layer.shape[1] for layer in layers)
    factors = layers if square else (end_to_end(layers),)
    return jnp.prod(jnp.stack([jnp.linalg.slogdet(factor)[0] for factor in factors]))


def balance_defect(layers: Layers) -> float:
    """Return the largest imbalance relative to the largest ‖W_j‖²_F: 0 for balanced layers."""
    unit = binary_scale(layers)
    layers = tuple(layer / unit for layer in layers)
    scale = max(float(np.sum(np.square(layer))) for layer in layers)
    return max((float(d) for d in imbalance(layers)), default=0.0) / (scale or 1.0)


def is_balanced(layers: Layers, tolerance: float = 1e-10) -> bool:
    """Return whether the relative imbalance (`balance_defect`) is at most `tolerance`."""
    return bool(balance_defect(layers) <= tolerance)


def rank_bound(layers: Layers) -> int:
    """Return a bound on the rank of W(t) along gradient flow from these layers.

    It is min_j d_j. From balanced layers at N ≥ 2 the rank is constant, and the bound is the
    numerical rank of the layers: their singular values above eps·max(d)·σ_1.
    """
    dims = widths(layers)
    if len(layers) == 1 or not is_balanced_to_rounding(layers):
        return min(dims)
    return min(*dims, max(numerical_rank(layer, max(dims)) for layer in layers))


def is_balanced_to_rounding(layers: Layers) -> bool:
    """Return whether the layers are as balanced as float64 allows."""
    return is_balanced(layers, tolerance=4 * _rounding(max(widths(layers))))


def numerical_rank(matrix: Array, width: int | None = None) -> int:
    """Return the number of singular values above eps·d·σ_1, d the width (default: the larger side).

    Smaller ones are rounding in the entries.
    """
    sigma = np.linalg.svd(np.asarray(matrix), compute_uv=False)
    return int(np.sum(sigma > _rounding(width or max(matrix.shape)) * sigma[0]))


def _rounding(width: int) -> float:
    """Return the relative rounding of sums over as many terms."""
    return float(np.finfo(np.float64).eps) * width


def closed_width(layers: Layers) -> int:
    """Return the smallest dimension of subspaces V_j that the layer flow never leaves.

    They are V_0 = R^{d_0}, V_N = R^{d_N} and, in between, the smallest with W_jV_{j-1} ⊂ V_j and
    W_{j+1}ᵀV_{j+1} ⊂ V_j. Each Ẇ_j has its columns in V_j and its rows in V_{j-1}, for any loss and
    weight decay, so that the inclusions hold for all time and rank W ≤ min_j dim V_j. Balanced
    layers have dim V_j = rank W.
    """
    from scipy.linalg import orth

    dims, last = widths(layers), len(layers)
    sigma = np.linalg.svd(np.asarray(end_to_end(layers)), compute_uv=False)
    if sigma[min(dims) - 1] > np.sqrt(_rounding(1)) * sigma[0]:
        return min(dims)  # as rank W is at most this width, which wide layers take long to compute
    # directions are kept or dropped relative to the norm of each layer
    units = [W / (np.linalg.norm(W, 2) or 1.0) for W in map(np.asarray, layers)]
    bases = [np.eye(d, d if j in (0, last) else 0) for j, d in enumerate(dims)]
    for _ in range(sum(dims)):  # every round but the last adds a direction
        before = [V.shape[1] for V in bases]
        for j in range(1, last):
            reached = units[j - 1] @ bases[j - 1], units[j].T @ bases[j + 1]
            bases[j] = orth(np.hstack([bases[j], *reached]), rcond=4 * _rounding(max(dims)))
        if before == [V.shape[1] for V in bases]:
            break
    return min(V.shape[1] for V in bases)
