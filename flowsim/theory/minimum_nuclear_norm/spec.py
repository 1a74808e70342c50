"""Declaration of the minimum nuclear norm."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import VariableSpec, specs
from flowsim.theory.measure import Measure
from flowsim.theory.norms.spec import EVERY_NORM

CONIC, SENSED = 230, 14
"""Measured copies of the cone's triangle, and of the measurements, that the solver holds."""


def _needs_measurements(scenario: Scenario) -> str | None:
    if scenario.loss.has("partial_target"):
        return None
    return (
        f'a loss of kind "{scenario.loss.kind}" does not measure a target in part; leave it out, '
        'or write loss.kind = "completion" or "sensing"'
    )


def _floats(scenario: Scenario) -> int:
    """Return what the solver of the semidefinite program holds."""
    rows, columns = scenario.network.shape
    order = rows + columns
    measured = scenario.loss.sensing_matrices * rows * columns
    return CONIC * order * (order + 1) // 2 + SENSED * measured


MINIMUM_NUCLEAR_NORM = Measure(
    "minimum_nuclear_norm",
    question="Does the flow end at the matrix of minimum nuclear norm?",
    variables=(
        *specs(
            "",
            **EVERY_NORM,
            lower_bound="lower bound bᵀy/‖A*(y)‖ on the minimum nuclear norm",
            residual="residual ‖A(W) − b‖ of the measurements",
            distance_to_target="distance to the target ‖W − Φ‖_F",
        ),
        VariableSpec("singular_values", ("mode",), "singular values of W"),
        VariableSpec("end_to_end", ("output", "input"), "matrix W of minimum nuclear norm"),
    ),
    why_unavailable=_needs_measurements,
    floats=_floats,
)
