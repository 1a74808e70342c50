"""Declaration of the explicit loss of the end-to-end flow."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import YES_NO, VariableSpec, specs
from flowsim.theory.measure import Measure

ON_TRAJECTORY = 6
"""Points of the trajectory that are examined, and random matrices beside them."""

POINTS = 2 * ON_TRAJECTORY

LOOPS = POINTS + 1
"""The loop of Arora, Cohen & Hazan, and one circle about each point."""

MOST_ENTRIES = 64
"""Most entries of W: the Jacobian of the end-to-end field has the square of that."""

DERIVATIVES = 20
"""Measured copies of the arrays in a derivative of P_W, for each entry of W."""


def _needs_small_full_rank(scenario: Scenario) -> str | None:
    """Return why the existence of an explicit loss cannot be examined, or None."""
    network = scenario.network
    rows, columns = network.shape
    entries = rows * columns
    if entries == 1:
        return "W is a single number, and on a line every field is a gradient; leave it out"
    if entries > MOST_ENTRIES:
        return (
            f"the Jacobian of its end-to-end field has {entries}² entries; write network.widths "
            f"with d_0 d_N of at most {MOST_ENTRIES}, or leave it out"
        )
    if min(network.widths) < network.modes:
        return (
            f"it requires that W has full rank, {network.modes}, which a layer of width "
            f"{min(network.widths)} prevents; write wider layers, or leave it out"
        )
    return None


def _floats(scenario: Scenario) -> int:
    """Return what the derivative of P_W holds, along every entry of W at once."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return DERIVATIVES * entries * (entries + rows**2 + columns**2)


EXPLICIT_LOSS = Measure(
    "explicit_loss",
    question="Is the end-to-end flow the gradient flow of an explicit loss?",
    needs="matrices",
    variables=(
        VariableSpec(
            "conservative", (), "whether an explicit loss may exist; nan: undecided", YES_NO
        ),
        VariableSpec("points", ("point", "output", "input"), "examined matrices W"),
        *specs(
            "point",
            time="time t of a point on the trajectory; nan for a random matrix",
            asymmetry="relative asymmetry ‖J − Jᵀ‖_F/‖J‖_F of the Jacobian J of W ↦ P_W[∇ℓ(W)]",
            asymmetry_bound="bound on the rounding error of the asymmetry",
            potential="explicit loss F(W) − F(0) by integration; nan unless the field is "
            "conservative",
            potential_error="bound on the error of the explicit loss",
            potential_apart="difference of F(W) − F(0) between two paths of integration",
            closed_form="explicit loss F(W) − F(0) in closed form; nan where unknown",
            closed_form_deviation="deviation of the integral from the closed form",
        ),
        *specs(
            "loop",
            loop_integral="∮ ⟨P_W[∇ℓ(W)], dW⟩: around the loop of Arora, Cohen & Hazan, "
            "then around circles",
            loop_error="bound on the error of the loop integral",
            circulation="loop integral over ∮ ‖P_W[∇ℓ(W)]‖ ‖dW‖",
            circulation_error="bound on the error of the circulation",
        ),
    ),
    why_unavailable=_needs_small_full_rank,
    floats=_floats,
)
