"""The Hessian and the tangent kernel along the layer flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.scenario.measuring.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors, and what it works in."""


def _kernel_factors(scenario: Scenario) -> int:
    """Return the entries of both kernels' factors, as they are and scaled, and differences."""
    rows, columns = scenario.network.shape
    return 8 * scenario.network.depth * (rows**2 + columns**2)


SHARPNESS = Measure(
    says="the extreme eigenvalues of the Hessian over the layers",
    variables=dict.fromkeys(("time", "smallest", "largest", "error"), ("time",)),
    needs="layers",
    numbers=lambda scenario: LANCZOS * scenario.network.weights,
)

TANGENT_KERNEL = Measure(
    says="how far the neural tangent kernel moves from its start",
    variables=dict.fromkeys(("time", "norm", "distance", "angle"), ("time",)),
    needs="layers",
    numbers=_kernel_factors,
)
