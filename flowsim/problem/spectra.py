"""Measures of end-to-end matrices: pure functions of singular values and matrices."""

from __future__ import annotations

import numpy as np


def singular_values(W: np.ndarray) -> np.ndarray:
    """Return σ of each matrix along the leading axes, descending; nan where W is not finite."""
    finite = np.isfinite(W).all(axis=(-2, -1))
    sigma = np.linalg.svd(np.where(finite[..., None, None], W, 0.0), compute_uv=False)
    return np.where(finite[..., None], sigma, np.nan)


def effective_rank(sigma: np.ndarray) -> np.ndarray:
    """Return exp(-Σ p_r log p_r) with p = σ/Σσ, between 1 and the number of modes.

    The effective rank of Roy & Vetterli 2007; nan for the zero matrix.
    """
    total = sigma.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = sigma / total
        terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0 * p)
    return np.asarray(np.exp(-terms.sum(axis=-1)))


def nuclear_norm(sigma: np.ndarray) -> np.ndarray:
    """Return Σ_r σ_r."""
    return np.asarray(sigma.sum(axis=-1))


def schatten(log_sigma: np.ndarray, p: float) -> np.ndarray:
    """Return ‖W‖_{S_p} = (Σ_r σ_r^p)^{1/p} of log σ; the largest σ for p = ∞.

    A norm for p ≥ 1 (1: nuclear, 2: Frobenius, ∞: spectral), a quasi-norm below. Logarithms let
    every σ count, however small, and nothing overflow before the norm itself does.
    """
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
