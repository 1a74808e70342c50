"""The preconditioner: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


EIGENVALUES = 32
"""Eigenvalues K_rc of the preconditioner are kept for so many indices r and c at most."""


def _preconditioner(scenario: Scenario) -> int:
    """Return what is kept of the eigenvalues, and the matrices in W's singular basis."""
    rows, columns = scenario.network.shape
    kept = min(rows, EIGENVALUES) * min(columns, EIGENVALUES)
    return scenario.flow.samples * kept + 12 * rows * columns


PRECONDITIONER = Measure(
    says="the preconditioner of the end-to-end flow, and where it turns the gradient",
    variables={
        "time": ("time",),
        "eigenvalues": ("time", "left", "right"),
        **dict.fromkeys(("condition_number", "alignment", "error"), ("time",)),
        **dict.fromkeys(("effective_step", "gradient_share", "movement_share"), ("time", "mode")),
    },
    needs="matrices",
    numbers=_preconditioner,
)
