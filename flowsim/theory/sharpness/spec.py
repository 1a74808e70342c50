"""Declaration of the sharpness."""

from __future__ import annotations

from flowsim.results.spec import TIME, specs
from flowsim.theory.measure import Measure

LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors and its work arrays."""

SHARPNESS = Measure(
    "sharpness",
    question="How sharp is the loss along the flow, and which step sizes are stable there?",
    needs="layers",
    variables=(
        TIME,
        *specs(
            "time",
            smallest="smallest eigenvalue λ_min of the Hessian over the layers",
            largest="sharpness λ_max: largest eigenvalue of the Hessian over the layers",
            error="bound on the error of both eigenvalues",
        ),
    ),
    floats=lambda scenario: LANCZOS * scenario.network.weights,
)
