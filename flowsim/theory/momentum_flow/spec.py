"""Declaration of the flows that approximate gradient descent with momentum."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, specs
from flowsim.theory.measure import (
    Measure,
    has_gradient_noise,
    needs_double_precision,
    step_size_count,
)

WITH_MOMENTUM = {
    "flow": "gradient flow at time kη/(1 − μ)",
    "inertia": "second-order (inertial) flow",
    "high_resolution": "high-resolution flow",
}
"""Flows that are compared with descent with momentum, in words."""


def _needs_momentum(scenario: Scenario) -> str | None:
    """Return why there is no momentum to approximate, or None."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes and momentum, or leave it out"
    if not descent.momentum:
        return "descent has no momentum; write descent.momentum = 0.9, or leave it out"
    return has_gradient_noise(scenario) or needs_double_precision(descent)


def _floats(scenario: Scenario) -> int:
    """Return the iterates at every step size, and three flows at one with their solver.

    A second-order flow has twice as many entries, at two tolerances and seven stages.
    """
    steps = step_size_count(scenario)
    return ((steps + 10) * scenario.flow.samples + 40) * scenario.network.weights


MOMENTUM_FLOW = Measure(
    "momentum_flow",
    question="Which flow approximates descent with momentum, and to what order?",
    on_layers=True,
    variables=(
        STEP_SIZE,
        *specs(
            "step_size sample",
            time="time of the iterates: kη, or k√η where momentum increases",
            strength="σ₁(W) at the iterates",
            **{n: f"distance ‖θ_k − θ(t_k)‖ to the {f}" for n, f in WITH_MOMENTUM.items()},
            **{f"{n}_error": f"estimated error of the {f}" for n, f in WITH_MOMENTUM.items()},
            **{f"{n}_strength": f"σ₁(W) along the {f}" for n, f in WITH_MOMENTUM.items()},
        ),
    ),
    why_unavailable=_needs_momentum,
    floats=_floats,
)
