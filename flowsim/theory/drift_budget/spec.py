"""Declaration of the imbalance drift."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import ITERATE_TIME, STEP_SIZE, specs
from flowsim.theory.measure import Measure, needs_plain_descent, step_size_count


def _needs_conserved_balance(scenario: Scenario) -> str | None:
    """Return why the imbalance drift cannot be summed step by step, or None."""
    if scenario.network.depth == 1:
        return "one layer has no balancedness; write more network.widths, or leave it out"
    if scenario.flow.weight_decay:
        return "it does not support weight decay; remove flow.weight_decay, or leave it out"
    return needs_plain_descent(scenario)


def _floats(scenario: Scenario) -> int:
    """Return layers, gradients, products and imbalances, and their copies in a step."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    products = sum(d * (rows + columns) for d in network.widths)
    squares = sum(d**2 for d in network.widths[1:-1])
    return step_size_count(scenario) * (8 * network.weights + 2 * products + 4 * squares)


DRIFT_BUDGET = Measure(
    "drift_budget",
    question="How does descent lose balancedness, and how does that affect W?",
    variables=(
        STEP_SIZE,
        ITERATE_TIME,
        *specs(
            "step_size sample",
            cost="accumulated effect on W, Σ η ‖Θ[∇ℓ] − P_W[∇ℓ]‖_F",
            rebalanced="distance ‖W − Ŵ‖_F to descent rebalanced at every step",
        ),
        *specs(
            "step_size sample pair",
            accumulated="accumulated drift ‖Σ η²(g_{j+1}ᵀg_{j+1} − g_jg_jᵀ)‖_F",
            measured="measured drift ‖D_j − D_j(0)‖_F, D_j = W_{j+1}ᵀW_{j+1} − W_jW_jᵀ",
            difference="norm of the difference between accumulated and measured drift",
            error="bound on the difference by rounding",
        ),
    ),
    why_unavailable=_needs_conserved_balance,
    floats=_floats,
)
