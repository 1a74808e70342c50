"""Convergence to the global minimum at a linear rate, and the hypotheses under which it is proved.

For ½h‖W - Φ‖² (h = 1 in the sources; else the same in the time h·t) and a start of margin
c = σ_min(Φ) - ‖W(0) - Φ‖_F > 0, every W that is no further from Φ has σ_min(W) ≥ c (Arora, Cohen,
Golowich & Hu 2019, arXiv:1810.02281, Definition 2 and Claim 1; "ACGH" below). So along the balanced
flow the eigenvalues of P_W stay at least c^{2(N-1)/N}, and N times that where d_0 = d_N, since then
each of the N terms of K_rc is at least c^{2(N-1)/N}. With dℓ/dt = -⟨G, P_W[G]⟩ this is a rate.

Away from balance the layers move W by Σ_j L_jL_jᵀ G R_jᵀR_j instead, L_j = W_N⋯W_{j+1} and
R_j = W_{j-1}⋯W_1; what holds there for any loss with the Polyak-Łojasiewicz inequality
½‖∇ℓ‖² ≥ μ(ℓ - ℓ*) is ℓ(t) - ℓ* ≤ (ℓ(0) - ℓ*) exp(-2μ ∫λ_min ds).

The constants of ACGH, Theorem 1, were compared with the theorem as course notes restate it, and
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
    factor N is attained, in one dimension at t = 0, and is wrong for W that are not square, where
    P_W has the eigenvalues σ_r^{2(N-1)/N} too. The margin implies hidden widths of at least
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
    step_size: np.ndarray | float, margin: float, depth: int, share: float, h: float = 1.0
) -> np.ndarray:
    """Return ⌈log(1/share) / (η h c^{2(N-1)/N})⌉, the steps until ℓ - ℓ* is `share` of the first.

    ACGH, Theorem 1, whose step proves ℓ(k+1) ≤ (1 - ηc^{2(N-1)/N}) ℓ(k): half of what the flow
    would do in a time η, and with no factor N. Nan unless the margin c is positive.
    """
    if not margin > 0:
        return np.full(np.shape(step_size), np.nan)
    rate = np.asarray(step_size) * h * margin ** (2 * (depth - 1) / depth)
    return np.asarray(np.ceil(np.log(1 / share) / rate))


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
    """What is taken of the layers at one time, or at many.

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
        ½⟨∇ℓ(W), W - W*⟩: for a quadratic loss ℓ(W) - ℓ*, with nothing cancelled.

    """

    decrease: np.ndarray
    smallest: np.ndarray
    slope: np.ndarray
    distance: np.ndarray
    excess: np.ndarray


def along(loss: Loss, minimizer: np.ndarray | None, layers: Sequence[np.ndarray]) -> Along:
    """Return what there is to know of layers at many times, which lie along the leading axes."""
    right = [None, *prefix_products(tuple(layers))]  # R_j = W_{j-1}⋯W_1
    left = [*suffix_products(tuple(layers))[1:], None]  # L_j = W_N⋯W_{j+1}
    W = np.asarray(right.pop())
    G = np.asarray(gradients(loss, W))
    decrease, smallest = np.zeros((2, len(W)))
    for L, R in zip(left, right, strict=True):
        moved = G if L is None else np.swapaxes(L, -1, -2) @ G
        moved = moved if R is None else moved @ np.swapaxes(R, -1, -2)
        decrease += np.sum(np.square(moved), axis=(1, 2))
        smallest += _lowest(L, rows=True) * _lowest(R, rows=False)
    apart = np.full_like(W, np.nan) if minimizer is None else W - minimizer
    slope, distance = (np.linalg.norm(A, axis=(1, 2)) for A in (G, apart))
    return Along(decrease, smallest, slope, distance, 0.5 * np.sum(G * apart, axis=(1, 2)))


def _lowest(A: Array | None, *, rows: bool) -> np.ndarray:
    """Return λ_min(AAᵀ) of matrices along the leading axis, or λ_min(AᵀA); of I for none."""
    if A is None:
        return np.ones(1)
    size, other = A.shape[1:] if rows else A.shape[:0:-1]
    if size > other:
        return np.zeros(len(A))
    return np.asarray(np.linalg.svd(np.asarray(A), compute_uv=False)[:, -1] ** 2)


def running_exponent(time: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """Return ∫_0^t λ ds from below, each interval counted with the lesser of its ends.

    From below where λ has no minimum within an interval, as where it rises or falls all along; off
    by at most Σ Δt |Δλ|.
    """
    lower = np.minimum(smallest[1:], smallest[:-1])
    return np.concatenate([[0.0], np.cumsum(np.diff(time) * lower)])
