"""Linear rates of convergence to the global minimum, and the hypotheses that prove them.

The loss is ½h‖W - Φ‖², with h = 1 in the sources; another h rescales time to h·t. Let the margin at
initialization be c = σ_min(Φ) - ‖W(0) - Φ‖_F > 0. Then σ_min(W) ≥ c for every W that is no further
from Φ (Arora, Cohen, Golowich & Hu 2019, arXiv:1810.02281, Definition 2 and Claim 1; "ACGH" below).
Along the balanced flow, therefore, the eigenvalues of P_W are at least c^{2(N-1)/N}, and N times
that where d_0 = d_N, since each of the N terms of K_rc then is at least c^{2(N-1)/N}. With
dℓ/dt = -⟨G, P_W[G]⟩ this proves a rate.

Without balancedness Ẇ = -Σ_j L_jL_jᵀ G R_jᵀR_j, with L_j = W_N⋯W_{j+1} and R_j = W_{j-1}⋯W_1. For
any loss with the Polyak–Łojasiewicz inequality ½‖∇ℓ‖² ≥ μ(ℓ - ℓ*),
ℓ(t) - ℓ* ≤ (ℓ(0) - ℓ*) exp(-2μ ∫λ ds), λ the smallest eigenvalue of that operator.

The constants of ACGH, Theorem 1, were compared with the theorem as course notes restate it. They
scale as they must: Φ, W → sΦ, sW changes times and step sizes by s^{-2(N-1)/N} and imbalances by
s^{2/N} (tested).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flowsim.problem.losses import Loss, gradients
from flowsim.problem.network import prefix_products, suffix_products
from flowsim.problem.types import Array


def deficiency_margin(W: np.ndarray, Phi: np.ndarray) -> float:
    """Return the deficiency margin c = σ_min(Φ) - ‖W - Φ‖_F.

    It is positive where W is closer to Φ than any rank-deficient matrix.

    ACGH, Definition 2, where W has the margin c > 0 if ‖W - Φ‖_F ≤ σ_min(Φ) - c; the largest such
    c is returned, which may be 0 or negative.
    """
    sigma = np.linalg.svd(Phi, compute_uv=False)
    return float(sigma[-1] - np.linalg.norm(W - Phi))


def flow_rate(margin: float, depth: int, shape: tuple[int, ...], h: float = 1.0) -> float:
    """Return r with ℓ(t) - ℓ* ≤ (ℓ(0) - ℓ*) e^{-rt} along the balanced flow of ½h‖W - Φ‖².

    r = 2h c^{2(N-1)/N}, N times that where W is square; nan unless the margin c is positive. The
    factor N is attained, in one dimension at t = 0. It is wrong for W that are not square, where
    P_W also has the eigenvalues σ_r^{2(N-1)/N}. The margin implies hidden widths of at least
    min(d_0, d_N), since W(0) then has full rank.
    """
    if not margin > 0:
        return float("nan")
    factor = depth if shape[0] == shape[1] else 1
    return float(2 * h * factor * margin ** (2 * (depth - 1) / depth))


def admitted_imbalance(margin: float, Phi_norm: float, depth: int) -> float:
    """Return δ = c² / (256 N³ ‖Φ‖_F^{2(N-1)/N}), the largest ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F allowed.

    ACGH, Theorem 1; nan unless the margin c is positive.
    """
    if not margin > 0:
        return float("nan")
    return float(margin**2 / (256 * depth**3 * Phi_norm ** (2 * (depth - 1) / depth)))


def largest_step_size(margin: float, Phi_norm: float, depth: int, h: float = 1.0) -> float:
    """Return c^{(4N-2)/N} / (6144 N³ ‖Φ‖_F^{(6N-4)/N} h), the largest η of ACGH, Theorem 1.

    nan unless the margin c is positive.
    """
    if not margin > 0:
        return float("nan")
    over = 6144 * depth**3 * Phi_norm ** ((6 * depth - 4) / depth) * h
    return float(margin ** ((4 * depth - 2) / depth) / over)


def iterations(
    step_size: np.ndarray | float, margin: float, depth: int, fraction: float, h: float = 1.0
) -> np.ndarray:
    """Return an upper bound on the iterations until ℓ - ℓ* is a fraction of its initial value.

    It is ⌈log(1/fraction) / (η h c^{2(N-1)/N})⌉. The proof of ACGH, Theorem 1, shows
    ℓ(k+1) ≤ (1 - ηc^{2(N-1)/N}) ℓ(k): half the rate of the flow, and without the factor N. nan
    unless the margin c is positive.
    """
    if not margin > 0:
        return np.full(np.shape(step_size), np.nan)
    rate = np.asarray(step_size) * h * margin ** (2 * (depth - 1) / depth)
    return np.asarray(np.ceil(np.log(1 / fraction) / rate))


def smallest_eigenvalue(sigma: np.ndarray, shape: tuple[int, ...], depth: int) -> np.ndarray:
    """Return the smallest eigenvalue of P_W for singular values σ along the last axis, descending.

    That is min K_rc = N σ_min^{2-2/N} where W is square. Where it is not, rows or columns past
    min(d_0, d_N) have σ = 0, which leaves one term, σ_min^{2-2/N}. At N = 1 it is 1.
    """
    if depth == 1:
        return np.ones(sigma.shape[:-1])
    factor = depth if shape[0] == shape[1] else 1
    return np.asarray(factor * sigma[..., -1] ** (2 - 2 / depth))


class Along(NamedTuple):
    """Quantities of the layers that enter the bounds, with times along the leading axis.

    Attributes
    ----------
    decrease
        -dℓ/dt = Σ_j ‖∂φ/∂W_j‖².
    smallest
        λ = Σ_j λ_min(L_jL_jᵀ) λ_min(R_jᵀR_j), at most the smallest eigenvalue of the operator
        Σ_j L_jL_jᵀ G R_jᵀR_j, and in balance equal to it: its terms then share an eigenbasis.
    slope
        ‖∇ℓ(W)‖_F.
    distance
        ‖W - W*‖_F, nan where no W* is given.
    excess
        ½⟨∇ℓ(W), W - W*⟩. For a quadratic loss this is ℓ(W) - ℓ*, without the cancellation of that
        difference.

    """

    decrease: np.ndarray
    smallest: np.ndarray
    slope: np.ndarray
    distance: np.ndarray
    excess: np.ndarray


def along(loss: Loss, minimizer: np.ndarray | None, layers: Sequence[np.ndarray]) -> Along:
    """Return the quantities of layers of shapes (time, d_j, d_{j-1}).

    `minimizer` is W*, or None where it is unknown.
    """
    right = [None, *prefix_products(tuple(layers))]  # R_j = W_{j-1}⋯W_1
    left = [*suffix_products(tuple(layers))[1:], None]  # L_j = W_N⋯W_{j+1}
    W = np.asarray(right.pop())
    G = np.asarray(gradients(loss, W))
    decrease, smallest = np.zeros((2, len(W)))
    for L, R in zip(left, right, strict=True):
        # dℓ/dt = -Σ_j ‖L_jᵀ G R_jᵀ‖²: a sum of squares, in which nothing cancels
        moved = G if L is None else np.swapaxes(L, -1, -2) @ G
        moved = moved if R is None else moved @ np.swapaxes(R, -1, -2)
        decrease += np.sum(np.square(moved), axis=(1, 2))
        smallest += _lowest(L, rows=True) * _lowest(R, rows=False)
    apart = np.full_like(W, np.nan) if minimizer is None else W - minimizer
    slope, distance = (np.linalg.norm(A, axis=(1, 2)) for A in (G, apart))
    return Along(decrease, smallest, slope, distance, 0.5 * np.sum(G * apart, axis=(1, 2)))


def _lowest(A: Array | None, *, rows: bool) -> np.ndarray:
    """Return λ_min(AAᵀ), or λ_min(AᵀA) unless `rows`, along the leading axis; 1 for no matrix."""
    if A is None:
        return np.ones(1)
    size, other = A.shape[1:] if rows else A.shape[:0:-1]
    # more rows than columns: AAᵀ is singular, exactly, and no singular value of A shows it
    if size > other:
        return np.zeros(len(A))
    return np.asarray(np.linalg.svd(np.asarray(A), compute_uv=False)[:, -1] ** 2)


def running_exponent(time: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """Return a lower bound on ∫_0^t λ ds: the lower Riemann sum of λ at the saved times.

    It is a lower bound where λ is monotone within each interval. Its error is then at most
    Σ Δt |Δλ|.
    """
    lower = np.minimum(smallest[1:], smallest[:-1])
    return np.concatenate([[0.0], np.cumsum(np.diff(time) * lower)])
