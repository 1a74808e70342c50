"""Declaration of the iterations to a target loss."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, VariableSpec, specs
from flowsim.theory.convergence.spec import minimum_floats
from flowsim.theory.measure import Measure, iterate_copies, step_size_count

LEVELS = (1e-1, 1e-2, 1e-3, 1e-4)
"""Target losses, as fractions of the excess loss at initialization."""


def _needs_a_minimum(scenario: Scenario) -> str | None:
    """Return why iterations to a fraction of the excess loss cannot be counted, or None."""
    if scenario.descent is None:
        return "there is no descent; write [descent] with step_sizes"
    if scenario.loss.has("unbounded"):
        return "a linear loss has no minimum to count from; leave speed out"
    if not scenario.loss.differentiable:
        return "the minimum at p = 1 is not computed; leave speed out, or write a larger loss.p"
    if scenario.flow.weight_decay:
        return "with weight decay the loss does not fall to its minimum; leave speed out"
    return None


def _floats(scenario: Scenario) -> int:
    """Return what descent at all step sizes holds."""
    copies = step_size_count(scenario) * iterate_copies(scenario)
    return copies * scenario.network.weights + minimum_floats(scenario)


SPEED = Measure(
    "speed",
    question="How many iterations does each target loss take at the best step size?",
    variables=(
        *specs(
            "level",
            level="target loss as a fraction of the initial excess loss",
            loss="target loss ℓ* + level · (ℓ(W(0)) − ℓ*)",
        ),
        STEP_SIZE,
        *specs(
            "step_size level",
            first="first iteration at or below the target loss; inf: none",
            iterations="iteration from which ℓ stays at or below the target loss; inf: none",
        ),
        *specs(
            "level",
            best_iterations="fewest iterations to the target loss over step sizes",
            best_step_size="step size with the fewest iterations",
            flow_time="time at which the flow reaches the target loss",
        ),
        VariableSpec("minimum", (), "global minimum ℓ*"),
        VariableSpec("minimum_error", (), "bound on the error of ℓ*"),
    ),
    why_unavailable=_needs_a_minimum,
    floats=_floats,
    levels=lambda _: LEVELS,
)
