"""Declaration of the oscillations of gradient descent beyond the edge of stability."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, YES_NO, VariableSpec, specs
from flowsim.theory.measure import Measure, needs_plain_descent, step_size_count

VISITS = 128
"""Consecutive iterates at which every mode is recorded, half-way and at the end."""


def _floats(scenario: Scenario) -> int:
    """Return the early and late orbits, and what descent holds at every step size."""
    network = scenario.network
    return step_size_count(scenario) * (2 * VISITS * network.modes + 8 * network.weights)


OSCILLATION = Measure(
    "oscillation",
    question="Between which values does each mode oscillate, by step size?",
    variables=(
        STEP_SIZE,
        *specs(
            "step_size mode",
            period="period of a mode in iterations: 1 converged, 0 aperiodic, nan undecided "
            "or diverged",
            amplitude="half the range of a mode over its last iterates",
            centre="mean of a mode over its last iterates",
            predicted_low="lower strength of the exact stable 2-cycle",
            predicted_high="upper strength of the exact stable 2-cycle",
        ),
        VariableSpec(
            "orbit",
            ("step_size", "mode", "visit"),
            "mode strength u_rᵀ W v_r of the last iterates",
        ),
        *specs(
            "mode",
            target="target φ_r of the mode, or its strength at the end of the flow",
            critical="critical step size 2/(N φ_r^{2−2/N}) of the mode",
            second_doubling="step size at which the exact 2-cycle becomes a 4-cycle",
            sign_change="step size above which the mode may change its sign",
            turning="step size above which the singular vectors are unstable on the "
            "2-cycle, towards the next mode",
            onset="smallest step size of persistent oscillation",
            onset_above="largest step size below the onset at which the mode converges",
        ),
        VariableSpec("highest_loss", ("step_size",), "highest loss of all iterates"),
        VariableSpec(
            "catapult",
            ("step_size",),
            "whether the loss rose above its initial value and then converged near the end of the "
            "flow",
            YES_NO,
        ),
        VariableSpec(
            "sharpness_over_limit", ("step_size",), "sharpness over 2/η at the end of a catapult"
        ),
    ),
    why_unavailable=needs_plain_descent,
    floats=_floats,
)
