"""Declaration of the neural tangent kernel."""

from __future__ import annotations

from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import TIME, specs
from flowsim.theory.measure import Measure


def _floats(scenario: Scenario) -> int:
    """Return the entries of both kernels' factors, raw and scaled, and of their differences."""
    rows, columns = scenario.network.shape
    return 8 * scenario.network.depth * (rows**2 + columns**2)


TANGENT_KERNEL = Measure(
    "tangent_kernel",
    question="Does the neural tangent kernel rotate (rich) or stay fixed (lazy)?",
    on_layers=True,
    needs="layers",
    variables=(
        TIME,
        *specs(
            "time",
            norm="norm ‖Θ‖_F of the neural tangent kernel",
            distance="relative distance ‖Θ − Θ(0)‖_F / ‖Θ(0)‖_F of the neural tangent "
            "kernel to its initial value",
            angle="angle between the neural tangent kernel and its initial value, in radians",
        ),
    ),
    floats=_floats,
)
