"""Declaration of the preconditioner."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import TIME, VariableSpec, specs
from flowsim.theory.measure import Measure

EIGENVALUES = 32
"""Largest number of indices r, and of c, for which eigenvalues K_rc are stored."""


def _floats(scenario: Scenario) -> int:
    """Return the stored eigenvalues, and the matrices in W's singular basis."""
    rows, columns = scenario.network.shape
    kept = min(rows, EIGENVALUES) * min(columns, EIGENVALUES)
    return scenario.flow.samples * kept + 12 * rows * columns


PRECONDITIONER = Measure(
    "preconditioner",
    question="Which directions does depth accelerate, and by how much?",
    needs="matrices",
    variables=(
        TIME,
        VariableSpec(
            "eigenvalues",
            ("time", "left", "right"),
            "eigenvalues K_rc of the preconditioner P_W at u_r v_cᵀ",
        ),
        *specs(
            "time",
            condition_number="condition number of P_W; inf where an eigenvalue is 0",
            alignment="cosine between P_W∇ℓ and ∇ℓ",
            error="estimated relative error of ∇ℓ(W), from that of W",
        ),
        *specs(
            "time mode",
            effective_step="effective step K_rr = N σ_r^{2-2/N} along u_r v_rᵀ",
            gradient_share="fraction of ‖∇ℓ‖² within the first k = mode + 1 singular vectors",
            movement_share="fraction of ‖P_W∇ℓ‖² within the first k = mode + 1 singular vectors",
        ),
    ),
    floats=_floats,
)
