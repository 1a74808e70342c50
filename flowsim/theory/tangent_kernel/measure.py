"""The neural tangent kernel of a linear network, and its distance from its initial value.

W_j evolves as -∂φ/∂W_j, so the end-to-end matrix evolves as Ẇ = -Θ[∇ℓ(W)] with

    Θ = Σ_j L_j ⊗ R_j,   Θ[G] = Σ_j L_j G R_j,
    L_j = W_{N:j+1} W_{N:j+1}ᵀ ∈ R^{d_N × d_N},   R_j = W_{j-1:1}ᵀ W_{j-1:1} ∈ R^{d_0 × d_0}

(Jacot, Gabriel & Hongler 2018; on inputs x, x' the kernel is Σ_j L_j xᵀR_jx'). For balanced layers
it is the preconditioner P_W. Where Θ stays fixed the network learns like a linear model (lazy);
where Θ rotates it learns features (rich; Chizat, Oyallon & Bach 2019; Dominé et al. 2025).
Θ, of (d_N d_0)² entries, is never formed: ⟨A ⊗ B, C ⊗ D⟩_F = ⟨A, C⟩⟨B, D⟩.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Array
from flowsim.theory.setting import Arrays, Setting

Factors = list[tuple[np.ndarray, np.ndarray]]
"""The pairs (L_j, R_j) of a kernel Σ_j L_j ⊗ R_j."""


class Change(NamedTuple):
    """Change of a kernel Θ from Θ_0.

    Attributes
    ----------
    norm
        ‖Θ‖_F.
    distance
        ‖Θ - Θ_0‖_F / ‖Θ_0‖_F.
    angle
        The angle between Θ and Θ_0, from 0 to π/2 (both are positive semidefinite).

    """

    norm: float
    distance: float
    angle: float


def factors(layers: Sequence[Array]) -> Factors:
    """Return L_j and R_j for j = 1..N."""
    matrices = tuple(np.asarray(W) for W in layers)
    d_0, d_N = matrices[0].shape[1], matrices[-1].shape[0]
    above = [*map(np.asarray, network.suffix_products(matrices)[1:]), np.eye(d_N)]
    below = [np.eye(d_0), *map(np.asarray, network.prefix_products(matrices)[:-1])]
    return [(A @ A.T, B.T @ B) for A, B in zip(above, below, strict=True)]


def inner(one: Factors, other: Factors) -> float:
    """Return ⟨Θ, Θ'⟩_F = Σ_ij ⟨L_i, L'_j⟩⟨R_i, R'_j⟩."""
    return float(sum(np.sum(A * C) * np.sum(B * D) for A, B in one for C, D in other))


def change(layers: Sequence[Array], start: Sequence[Array]) -> Change:
    """Return the change of the kernel from `start` to `layers`.

    Differences are taken factor by factor, so that a small change is not lost in the rounding of a
    large kernel. Distance and angle are nan where the kernel they are relative to is 0.
    """
    Theta, Theta_0 = factors(layers), factors(start)
    norm, norm_0 = np.sqrt(inner(Theta, Theta)), np.sqrt(inner(Theta_0, Theta_0))
    if norm_0 == 0 or norm == 0:
        return Change(float(norm), 1.0 if norm_0 else np.nan, np.nan)
    # the chord resolves small angles, whose cosine rounds to 1
    chord = _distance(_scaled(Theta, 1 / norm), _scaled(Theta_0, 1 / norm_0))
    angle = 2 * np.arcsin(min(1.0, chord / 2))
    return Change(float(norm), _distance(Theta, Theta_0) / float(norm_0), float(angle))


def _scaled(Theta: Factors, by: float) -> Factors:
    return [(by * L, R) for L, R in Theta]


def _distance(one: Factors, other: Factors) -> float:
    """Return ‖Θ - Θ'‖_F by L ⊗ R - L' ⊗ R' = (L - L') ⊗ R + L' ⊗ (R - R')."""
    difference = [
        part
        for (L, R), (L_0, R_0) in zip(one, other, strict=True)
        for part in ((L - L_0, R), (L_0, R - R_0))
    ]
    return float(np.sqrt(max(0.0, inner(difference, difference))))


def measure(setting: Setting) -> Arrays:
    """Return the kernel's norm, and its distance and angle to the kernel at initialization."""
    start = setting.layers(0)
    return setting.at_saved_times(
        setting.layer_flow, lambda i: change(setting.layers(i), start)._asdict()
    )
