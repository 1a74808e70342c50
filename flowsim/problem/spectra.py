"""Functions of the singular values of end-to-end matrices: effective rank and norms."""

from __future__ import annotations

import numpy as np


def singular_values(W: np.ndarray) -> np.ndarray:
    """Return σ of each matrix along the leading axes, descending; nan where W is not finite."""
    finite = np.isfinite(W).all(axis=(-2, -1))
    sigma = np.linalg.svd(np.where(finite[..., None, None], W, 0.0), compute_uv=False)
    return np.where(finite[..., None], sigma, np.nan)


def strengths(U: np.ndarray, Vt: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return u_rᵀ W v_r for matrices W `(…, output, input)`, shape `(…, mode)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(((W @ Vt.swapaxes(-2, -1)) * U).sum(axis=-2))


def effective_rank(sigma: np.ndarray) -> np.ndarray:
    """Return the effective rank exp(-Σ p_r log p_r), p = σ/Σσ, along the last axis of σ.

    It is 1 for a matrix of rank 1, k for k equal singular values, and continuous between (Roy &
    Vetterli 2007). It is nan for the zero matrix.
    """
    total = sigma.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = sigma / total
        terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0 * p)
    return np.asarray(np.exp(-terms.sum(axis=-1)))


def nuclear_norm(sigma: np.ndarray) -> np.ndarray:
    """Return the nuclear norm ‖W‖_* = Σ_r σ_r, along the last axis of σ."""
    return np.asarray(sigma.sum(axis=-1))


def schatten(log_sigma: np.ndarray, p: float) -> np.ndarray:
    """Return the Schatten norm ‖W‖_{S_p} = (Σ_r σ_r^p)^{1/p} from log σ; the largest σ for p = ∞.

    A norm for p ≥ 1 (1: nuclear, 2: Frobenius, ∞: spectral), a quasi-norm below. For small p
    singular values far below rounding count, which only their logarithms resolve.
    """
    # scaled by the largest σ, so that no power overflows before the norm does
    largest = log_sigma.max(axis=-1)
    if np.isinf(p):
        return np.asarray(np.exp(largest))
    with np.errstate(invalid="ignore"):  # of the zero matrix every log σ is -∞
        terms = np.exp(p * (log_sigma - largest[..., None]))
    of_zero = np.isneginf(largest)
    total = np.where(of_zero, 1.0, np.where(of_zero[..., None], 0.0, terms).sum(axis=-1))
    return np.asarray(np.exp(largest + np.log(total) / p))


def distance(W: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return ‖W - other‖_F along the leading axes."""
    return np.asarray(np.linalg.norm(W - other, axis=(-2, -1)))
