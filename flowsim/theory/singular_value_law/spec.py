"""Declaration of the singular-value dynamics."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import TIME, specs
from flowsim.theory.measure import Measure


def _floats(scenario: Scenario) -> int:
    """Return the products of layers above and below each layer, and their images of W's basis."""
    rows, columns = scenario.network.shape
    products = sum(d * (rows + columns) for d in scenario.network.widths)
    return 3 * scenario.network.weights + products + 12 * rows * columns


SINGULAR_VALUE_LAW = Measure(
    "singular_value_law",
    question="Do singular values evolve as the balanced singular-value dynamics predict?",
    needs="layers",
    variables=(
        TIME,
        *specs(
            "time mode",
            velocity="u_rᵀẆv_r from the layers: σ̇_r where σ_r is a simple singular value",
            law="balanced singular-value dynamics −N σ_r^{2−2/N} ⟨∇ℓ, u_r v_rᵀ⟩ − λNσ_r",
            difference="difference |velocity − law|",
            error="bound on the difference: imbalance and rounding",
        ),
    ),
    floats=_floats,
)
