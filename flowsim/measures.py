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


def distance(W: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return ‖W - other‖_F along the leading axes."""
    return np.asarray(np.linalg.norm(W - other, axis=(-2, -1)))
