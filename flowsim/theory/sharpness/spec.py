"""Declaration of the sharpness."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import TIME, specs
from flowsim.theory.measure import Measure, gradient_seconds

LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors and its work arrays."""

PRODUCTS, CALL = 200, 4e-4
"""Usual number of Hessian-vector products for both extreme eigenvalues, and seconds per call."""


def seconds_at_saved_times(scenario: Scenario) -> float:
    """Return the time of both extreme eigenvalues of the Hessian at every saved time."""
    return scenario.flow.samples * seconds_of_extremes(scenario)


def seconds_of_extremes(scenario: Scenario) -> float:
    """Return the time of both extreme eigenvalues of one Hessian."""
    return PRODUCTS * (CALL + 2 * gradient_seconds(scenario))


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
    seconds=seconds_at_saved_times,
)
