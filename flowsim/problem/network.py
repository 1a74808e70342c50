"""Linear networks: the product of the layers, and what balances them.

A linear network of depth N and widths d_0, …, d_N has layers W_j ∈ R^{d_j × d_{j-1}}; the loss sees
only its end-to-end matrix W = W_N ⋯ W_1 ∈ R^{d_N × d_0}.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array, Layer, Layers, Matrix


def widths(layers: Layers) -> tuple[int, ...]:
    """Return (d_0, …, d_N)."""
    return (layers[0].shape[1], *(layer.shape[0] for layer in layers))


def check_layers(layers: Sequence[Array]) -> None:
    """Refuse anything but a non-empty chain of finite matrices whose shapes fit.

    Raises
    ------
    ValueError
        Naming the layer at fault and the shape or value that was wanted.

    """
    if not layers:
        raise ValueError("A network needs at least one layer, but got none.")
    for j, layer in enumerate(layers, start=1):
        if layer.ndim != 2 or 0 in layer.shape:
            raise ValueError(f"W_{j} must be a non-empty matrix, but has shape {layer.shape}.")
        if not np.isfinite(layer).all():
            raise ValueError(f"W_{j} must be finite, but holds nan or inf.")
    for j, (below, above) in enumerate(pairwise(layers), start=1):
        if above.shape[1] != below.shape[0]:
            raise ValueError(
                f"W_{j + 1} must have as many columns as W_{j} has rows ({below.shape[0]}), "
                f"but has shape {above.shape}."
            )


SMALL = 6
"""Up to this inner dimension a product of small matrices is written out."""


def product(A: Layer, B: Layer) -> Layer:
    """Return A B, as Σ_k a_k b_kᵀ over columns and rows where the matrices are small.

    A compiler merges that with all around it into one loop, also over many networks at once, where
    it would call a library for each small product: up to 13 times as fast.
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
    prefixes = prefix_products(layers)  # serve W too, or the compiler would form them twice
    gradients = []
    from_above = loss_gradient(prefixes[-1])
    for j in range(len(layers) - 1, -1, -1):
        gradients.append(product(from_above, prefixes[j - 1].T) if j > 0 else from_above)
        from_above = product(layers[j].T, from_above)
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
    left, right = above.T, below
    if left.shape[0] > left.shape[1] + right.shape[1]:
        R = jnp.linalg.qr(jnp.concatenate([left, right], axis=1), mode="r")
        left, right = R[:, : left.shape[1]], R[:, left.shape[1] :]
    return jnp.asarray(jnp.linalg.norm(left @ left.T - right @ right.T))


def squared_norm(layers: Layers) -> Array:
    """Return Σ_j ‖W_j‖²_F, what weight decay penalizes."""
    return jnp.asarray(sum(jnp.sum(jnp.square(layer)) for layer in layers))


def det_sign(layers: Layers) -> Array:
    """Return the sign of det(W_N⋯W_1), -1, 0 or 1, where that is square.

    Where all layers are, it is the product of their signs, since a small singular value σ of W is
    σ^{1/N} in each layer: it leaves the sign of a layer long after rounding has taken W's.
    """
    square = all(layer.shape[0] == layer.shape[1] for layer in layers)
    factors = layers if square else (end_to_end(layers),)
    return jnp.prod(jnp.stack([jnp.linalg.slogdet(factor)[0] for factor in factors]))


def balance_defect(layers: Layers) -> float:
    """Return the largest imbalance relative to the layers' own ‖W_j‖²_F: 0 when balanced."""
    scale = max(float(np.sum(np.square(layer))) for layer in layers)
    return max((float(d) for d in imbalance(layers)), default=0.0) / (scale or 1.0)


def is_balanced(layers: Layers, tolerance: float = 1e-10) -> bool:
    """Say whether neighbours are balanced, relative to their size, up to `tolerance`."""
    return bool(balance_defect(layers) <= tolerance)


def rank_bound(layers: Layers) -> int:
    """Return the largest rank that the end-to-end matrix can have along a flow from here.

    It is min_j d_j; from a balanced start at N ≥ 2 the rank never changes, so there the numerical
    rank of the start (layers' singular values above eps·max(d)·σ_1) lowers the bound, once.
    """
    dims = widths(layers)
    rounding = np.finfo(np.float64).eps * max(dims)
    if len(layers) == 1 or not is_balanced(layers, tolerance=4 * rounding):
        return min(dims)
    return min(*dims, max(_numerical_rank(np.asarray(layer), rounding) for layer in layers))


def _numerical_rank(layer: np.ndarray, rounding: float) -> int:
    sigma = np.linalg.svd(layer, compute_uv=False)
    return int(np.sum(sigma > rounding * sigma[0]))
