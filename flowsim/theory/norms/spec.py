"""Declaration of the norms of W."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flowsim.solvers.variables import TIME, specs
from flowsim.theory.measure import Measure

SCHATTEN: Mapping[str, float] = {
    "schatten_half": 1 / 2,
    "schatten_two_thirds": 2 / 3,
    "nuclear_norm": 1.0,
    "frobenius": 2.0,
    "spectral": math.inf,
}
"""The p of each Schatten norm or quasi-norm but `schatten_depth`, whose p is 2/N."""

EVERY_NORM: Mapping[str, str] = {
    "schatten_half": "Schatten quasi-norm (Σσ^p)^(1/p), p = 0.5",
    "schatten_two_thirds": "Schatten quasi-norm (Σσ^p)^(1/p), p = 0.6667",
    "nuclear_norm": "nuclear norm ‖W‖_*",
    "frobenius": "Frobenius norm ‖W‖_F",
    "spectral": "spectral norm σ_1(W)",
    "schatten_depth": "Schatten norm or quasi-norm (Σσ^p)^(1/p), p = 2/N at depth N",
    "effective_rank": "effective rank exp(−Σ p log p), p = σ/Σσ",
}
"""Long names of all functions of the singular values."""

NORMS = Measure(
    "norms",
    question="Which norms does the flow keep small, if any?",
    on_layers=True,
    variables=(
        TIME,
        *specs(
            "time",
            **EVERY_NORM,
        ),
    ),
    floats=lambda scenario: 3 * scenario.flow.samples * scenario.network.modes,
)
