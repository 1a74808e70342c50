"""The preconditioner, the law of singular values, norms, and the least nuclear norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowsim.scenario.measuring.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

EIGENVALUES = 32
"""Eigenvalues K_rc of the preconditioner are kept for so many indices r and c at most."""


def _preconditioner(scenario: Scenario) -> int:
    """Return what is kept of the eigenvalues, and the matrices in W's singular basis."""
    rows, columns = scenario.network.shape
    kept = min(rows, EIGENVALUES) * min(columns, EIGENVALUES)
    return scenario.flow.samples * kept + 12 * rows * columns


def _law(scenario: Scenario) -> int:
    """Return the products of layers above and below each layer, and W's basis carried there."""
    rows, columns = scenario.network.shape
    products = sum(d * (rows + columns) for d in scenario.network.widths)
    return 3 * scenario.network.weights + products + 12 * rows * columns


CONIC, SENSED = 230, 14
"""Copies of the cone's triangle, and of the measurements, that the convex solver holds."""

SCHATTEN: Mapping[str, float] = {
    "schatten_half": 1 / 2,
    "schatten_two_thirds": 2 / 3,
    "nuclear_norm": 1.0,
    "frobenius": 2.0,
    "spectral": math.inf,
}
"""The p of each Schatten norm and quasi-norm that is measured; that of `schatten_depth` is 2/N."""

EVERY_NORM = (*SCHATTEN, "schatten_depth", "effective_rank")
"""What is measured of singular values, along a flow and of the least nuclear norm's."""

PARTIAL = ("completion", "sensing")
"""Kinds of losses that see a part of a target, or combinations of its entries."""


def needs_measurements(scenario: Scenario) -> str:
    """Refuse losses that do not measure a target."""
    if scenario.loss.kind in PARTIAL:
        return ""
    return (
        f'a loss of kind "{scenario.loss.kind}" does not measure a target in part; leave it out, '
        'or write loss.kind = "completion" or "sensing"'
    )


def conic(scenario: Scenario) -> int:
    """Return how many numbers the semidefinite program of the minimum nuclear norm works in."""
    rows, columns = scenario.network.shape
    order = rows + columns
    measured = (scenario.loss.measurements or 0) * rows * columns
    return CONIC * order * (order + 1) // 2 + SENSED * measured


PRECONDITIONER = Measure(
    says="the preconditioner of the end-to-end flow, and where it turns the gradient",
    variables={
        "time": ("time",),
        "eigenvalues": ("time", "left", "right"),
        **dict.fromkeys(("condition_number", "alignment", "error"), ("time",)),
        **dict.fromkeys(("effective_step", "gradient_share", "movement_share"), ("time", "mode")),
    },
    needs="matrices",
    numbers=_preconditioner,
)

SINGULAR_VALUE_LAW = Measure(
    says="how the layers move the singular values, beside the law that says so",
    variables={
        "time": ("time",),
        **dict.fromkeys(("velocity", "law", "difference", "error"), ("time", "mode")),
    },
    needs="layers",
    numbers=_law,
)

NORMS = Measure(
    says="Schatten norms, quasi-norms and the effective rank of W",
    variables=dict.fromkeys(("time", *EVERY_NORM), ("time",)),
    numbers=lambda scenario: 3 * scenario.flow.samples * scenario.network.modes,
)

MINIMUM_NUCLEAR_NORM = Measure(
    says="the matrix of least nuclear norm that meets the measurements",
    variables={
        **dict.fromkeys((*EVERY_NORM, "lower_bound", "residual", "distance_to_target"), ()),
        "singular_values": ("mode",),
        "end_to_end": ("output", "input"),
    },
    unfit=needs_measurements,
    numbers=conic,
)
