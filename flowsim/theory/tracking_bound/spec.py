"""Declaration of the bound on the discretization error."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import STEP_SIZE, TIME, specs
from flowsim.theory.measure import Measure, needs_plain_descent, step_size_count
from flowsim.theory.sharpness.spec import LANCZOS, seconds_at_saved_times


def _floats(scenario: Scenario) -> int:
    """Return what Lanczos' method holds, three derivatives, and the layers at every step size."""
    return (LANCZOS + 8 + 6 * step_size_count(scenario)) * scenario.network.weights


TRACKING_BOUND = Measure(
    "tracking_bound",
    question="Where does descent deviate from the flow, and what bounds the deviation?",
    on_layers=True,
    needs="layers",
    variables=(
        TIME,
        *specs(
            "time",
            density="local error density ½‖∇²φ∇φ‖ of descent, over η",
            smallest="smallest eigenvalue λ_min of the Hessian over the layers",
            error="bound on the error of λ_min",
            amplification="amplification exp ∫ max(0, −λ_min) ds",
        ),
        STEP_SIZE,
        *specs(
            "step_size sample",
            iterate_time="time t = kη",
            distance="distance ‖θ_k − θ(kη)‖ of descent from the layer flow",
            distance_error="estimated error of the distance",
            bound="bound η ∫ ½‖∇²φ∇φ‖ exp(∫ max(0, −λ_min)) ds on the distance to first order in η",
            bound_error="error of the bound by its quadrature over saved times",
            ratio="bound over distance; nan where the distance is below its error",
        ),
    ),
    why_unavailable=needs_plain_descent,
    floats=_floats,
    seconds=seconds_at_saved_times,
)
