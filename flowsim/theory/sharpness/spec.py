"""Declaration of the sharpness."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, TIME, specs
from flowsim.theory.measure import Measure, gradient_seconds, step_size_count

LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors and its work arrays."""

PRODUCTS, CALL = 200, 4e-4
"""Usual number of Hessian-vector products for both extreme eigenvalues, and seconds per call."""

MOST, FEWEST, NUMBERS = 64, 20, 2**23
"""Directions of the compiled Lanczos method at most and at least, and their entries at most."""


def seconds_at_saved_times(scenario: Scenario) -> float:
    """Return the time of both extreme eigenvalues of the Hessian at every saved time."""
    return scenario.flow.samples * seconds_of_extremes(scenario)


def seconds_of_extremes(scenario: Scenario) -> float:
    """Return the time of both extreme eigenvalues of one Hessian."""
    return PRODUCTS * (CALL + 2 * gradient_seconds(scenario))


def _floats(scenario: Scenario) -> int:
    weights = scenario.network.weights
    return LANCZOS * weights + (min(MOST * weights, NUMBERS) if scenario.descent else 0)


def _seconds(scenario: Scenario) -> float:
    """Return the time at the saved times of the flow and at the recorded iterates of descent."""
    of_iterate = CALL + MOST * 8 * gradient_seconds(scenario)
    iterates = scenario.flow.samples * step_size_count(scenario)
    return seconds_at_saved_times(scenario) + iterates * of_iterate


SHARPNESS = Measure(
    "sharpness",
    question="How sharp is the loss along flow and descent, and which step sizes are stable there?",
    needs="layers",
    on_layers=True,
    variables=(
        TIME,
        *specs(
            "time",
            smallest="smallest eigenvalue λ_min of the Hessian over the layers",
            largest="sharpness λ_max: largest eigenvalue of the Hessian over the layers",
            error="bound on the error of both eigenvalues",
        ),
        STEP_SIZE,
        *specs(
            "step_size sample",
            iterate_time="time t = kη",
            descent_sharpness="sharpness λ_max at the iterates of gradient descent",
            descent_error="bound on the error of that sharpness",
        ),
    ),
    floats=_floats,
    seconds=_seconds,
)
