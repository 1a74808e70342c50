"""Schatten norms and quasi-norms of W, and its effective rank, along the flow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flowsim.problem.spectra import effective_rank, schatten
from flowsim.results.run import TIME, Group, named
from flowsim.theory.norms.spec import SCHATTEN
from flowsim.theory.setting import Setting

KNOWN = {
    "nuclear_norm": "nuclear norm ‖W‖_*",
    "frobenius": "Frobenius norm ‖W‖_F",
    "spectral": "spectral norm, the largest singular value",
}


def measure(setting: Setting) -> Group:
    """Return ‖W‖_{S_p} at every time, of log σ where the flow holds that itself."""
    flow = setting.reference
    log_sigma = flow.log_singular_values
    found = of(
        logarithms(flow.singular_values) if log_sigma is None else log_sigma, setting.problem.depth
    )
    return {
        "time": named(("time",), flow.times, TIME),
        **{name: named(("time",), values, says) for name, (values, says) in found.items()},
    }


def logarithms(sigma: np.ndarray) -> np.ndarray:
    """Return log σ, -∞ of 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(sigma))


def of(log_sigma: np.ndarray, depth: int) -> Mapping[str, tuple[np.ndarray, str]]:
    """Return every norm of matrices with log σ along the last axis, and what it is."""
    powers = {**SCHATTEN, "schatten_depth": 2 / depth}
    found = {name: (schatten(log_sigma, p), told(name, p)) for name, p in powers.items()}
    with np.errstate(invalid="ignore"):  # the zero matrix has no effective rank: nan
        rank = effective_rank(np.exp(log_sigma - log_sigma.max(axis=-1, keepdims=True)))
    return {**found, "effective_rank": (rank, "effective rank exp(−Σ p log p), p = σ/Σσ")}


def told(name: str, p: float) -> str:
    """Say what a norm is."""
    kind = "norm" if p >= 1 else "quasi-norm"
    own = ", p = 2/N at depth N" if name == "schatten_depth" else ""
    return KNOWN.get(name, f"Schatten {kind} (Σσ^p)^(1/p), p = {p:.4g}{own}")
