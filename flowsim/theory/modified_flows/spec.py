"""Declaration of the flows that approximate gradient descent."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, VariableSpec, specs
from flowsim.theory.measure import Measure, needs_plain_descent

MOST_WEIGHTS = 256
"""Most weights: the Hessian over the layers has the square of that as entries."""

EIGENDECOMPOSITION = 4e-10
"""Seconds of an eigendecomposition over the cube of its size, in one thread."""

CENTRAL, PRINCIPAL_STEPS = 12, 300
"""Eigendecompositions of the central flow per iteration, and typical steps of the principal flow,
of six each, in two solves."""

APPROXIMATING = {
    "flow": "gradient flow",
    "modified": "modified flow",
    "principal": "principal flow",
    "central": "central flow",
}
"""Flows that are compared with descent, in words."""


def _needs_small_network(scenario: Scenario) -> str | None:
    """Return why no approximating flow is compared with descent, or None."""
    weights = scenario.network.weights
    if scenario.flow.weight_decay:
        return "it does not support weight decay; remove flow.weight_decay, or leave it out"
    if weights > MOST_WEIGHTS:
        return (
            f"the Hessian over the layers has {weights}² entries; write network.widths with at "
            f"most {MOST_WEIGHTS} weights, or leave it out"
        )
    return needs_plain_descent(scenario)


def _floats(scenario: Scenario) -> int:
    """Return the iterates and four flows, and a Hessian with its derivatives."""
    weights = scenario.network.weights
    return 16 * scenario.flow.samples * weights + 24 * weights**2


def _seconds(scenario: Scenario) -> float:
    """Return the time of all eigendecompositions, if the central flow takes them at every iterate.

    Iterations at relative step sizes are unknown before the run and left out.
    """
    descent, samples = scenario.descent, scenario.flow.samples
    if descent is None:
        return 0.0
    sizes = () if descent.relative_to is not None else descent.sizes
    iterations = sum(scenario.flow.horizon / size for size in sizes)
    solves = 2 * 6 * max(samples, PRINCIPAL_STEPS) + 4 * samples
    count = solves * len(descent.written) + CENTRAL * iterations
    return float(count * EIGENDECOMPOSITION * scenario.network.weights**3)


DESCRIPTIONS = Measure(
    "descriptions",
    question="Which flow approximates gradient descent, at the edge of stability too?",
    variables=(
        STEP_SIZE,
        VariableSpec("time", ("step_size", "sample"), "time t = kη of an iterate θ_k"),
        *specs(
            "step_size sample",
            **{n: f"distance ‖θ_k − θ(kη)‖ to the {flow}" for n, flow in APPROXIMATING.items()},
            **{f"{n}_error": f"estimated error of the {f}" for n, f in APPROXIMATING.items()},
            sharpness_over_limit="sharpness of the iterates over 2/η",
            central_sharpness_over_limit="sharpness of the central flow over 2/η",
            variance_predicted="predicted variance tr Σ of the central flow, averaged since "
            "it first was positive",
            variance_measured="measured variance ‖(2θ_k − θ_{k−1} − θ_{k+1})/4‖² of the "
            "iterates, averaged over that time",
            variance_ratio="predicted over measured variance",
        ),
        *specs(
            "step_size",
            **{
                f"{n}_broken_at": f"time until which the {flow} is valid; nan: to the end"
                for n, flow in APPROXIMATING.items()
            },
        ),
    ),
    why_unavailable=_needs_small_network,
    floats=_floats,
    seconds=_seconds,
    folder="modified_flows",
)
