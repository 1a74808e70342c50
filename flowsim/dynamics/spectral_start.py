"""The singular value decomposition of a product of layers, with the logarithms of its values."""

from __future__ import annotations

import numpy as np

from flowsim import network
from flowsim.arrays import Layers


def singular_value_decomposition(layers: Layers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, log σ (descending) and V of W = U diag(σ) Vᵀ, as many as W has rank.

    Balanced layers share singular values and frames, so that W_jᵀ takes the frame of its output to
    that of its input times σ^{1/N}. Followed from layer to layer, a singular value of W is known
    as well, relative to itself, as its N-th root is in the layers. Else from W itself, without
    what rounding hides.
    """
    rank = network.rank_bound(layers)
    rounding = float(np.finfo(np.float64).eps) * max(network.widths(layers))
    if network.is_balanced(layers, tolerance=4 * rounding):
        return _followed(layers, rank)
    U, sigma, Vt = np.linalg.svd(network.end_to_end(layers), full_matrices=False)
    rank = min(rank, int(np.sum(sigma > rounding * sigma[0])))
    return U[:, :rank], np.log(sigma[:rank]), Vt[:rank].T


def _followed(layers: Layers, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    U = np.linalg.svd(layers[-1])[0][:, :rank]
    frame, log_sigma = U, np.zeros(rank)
    for layer in reversed(layers):
        frame, R = np.linalg.qr(layer.T @ frame)
        frame = frame * np.sign(np.diag(R))
        log_sigma += np.log(np.abs(np.diag(R)))
    return U, log_sigma, frame
