"""The tangent kernel: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def _kernel_factors(scenario: Scenario) -> int:
    """Return the entries of both kernels' factors, as they are and scaled, and differences."""
    rows, columns = scenario.network.shape
    return 8 * scenario.network.depth * (rows**2 + columns**2)


TANGENT_KERNEL = Measure(
    says="how far the neural tangent kernel moves from its start",
    variables=dict.fromkeys(("time", "norm", "distance", "angle"), ("time",)),
    needs="layers",
    numbers=_kernel_factors,
)
