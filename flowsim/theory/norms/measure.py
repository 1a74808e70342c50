"""Schatten norms and quasi-norms (Σ_r σ_r^p)^{1/p} and the effective rank of a matrix."""

from __future__ import annotations

import numpy as np

from flowsim.problem.spectra import effective_rank, schatten
from flowsim.theory.norms.spec import SCHATTEN
from flowsim.theory.setting import Arrays, Setting


def logarithms(sigma: np.ndarray) -> np.ndarray:
    """Return log σ, which is -∞ for σ = 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(sigma))


def all_norms(log_sigma: np.ndarray, depth: int) -> dict[str, np.ndarray]:
    """Return all norms in `EVERY_NORM` from log σ, shape (…, mode), each of shape (…).

    Logarithms keep small p from overflow: (Σσ^p)^{1/p} has terms σ^p within range, but a power 1/p
    of their sum outside it. The effective rank of the zero matrix is nan.
    """
    powers = {**SCHATTEN, "schatten_depth": 2 / depth}
    norms = {name: schatten(log_sigma, p) for name, p in powers.items()}
    with np.errstate(invalid="ignore"):  # -∞ - -∞ for the zero matrix
        relative = np.exp(log_sigma - log_sigma.max(axis=-1, keepdims=True))
        return {**norms, "effective_rank": effective_rank(relative)}


def measure(setting: Setting) -> Arrays:
    """Return every norm of W over time."""
    flow = setting.reference
    # flows over modes integrate log σ itself, which is more accurate than the log of a tiny σ
    log_sigma: np.ndarray | None = flow.log_singular_values
    if log_sigma is None:
        log_sigma = logarithms(flow.singular_values)
    return {"time": flow.times, **all_norms(log_sigma, setting.problem.depth)}
