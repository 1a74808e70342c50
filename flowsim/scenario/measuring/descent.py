"""Descent against the flow: the drift of balance, the distance's bound, better descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.scenario.measuring.landscape import LANCZOS
from flowsim.scenario.measuring.measure import Measure

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario
    from flowsim.scenario.motion import Descent

MOST_WEIGHTS = 256
"""The Hessian over the layers is formed, and has the square of so many entries at most."""

TRACKED = ("iterate_time", "distance", "distance_error", "bound", "bound_error", "ratio")

DESCRIBING = ("flow", "modified", "principal", "central")

WITH_MOMENTUM = ("flow", "inertia", "high_resolution")

_AT_ITERATES = (
    *DESCRIBING, *(f"{name}_error" for name in DESCRIBING), "time",
    "sharpness_over_limit", "central_sharpness_over_limit",
    "variance_predicted", "variance_measured", "variance_ratio",
)  # fmt: skip


def not_plain_descent(scenario: Scenario) -> str:
    """Say why iterates cannot be computed again as plain gradient descent, or nothing."""
    return _noise(scenario) or not_gradient_descent(scenario)


def _noise(scenario: Scenario) -> str:
    """Say that descent goes by a noisy gradient, or nothing."""
    if scenario.descent is None or not scenario.descent.noisy:
        return ""
    return (
        "it is of descent by the whole gradient; remove descent.batch and descent.label_noise, "
        "or leave it out"
    )


def not_gradient_descent(scenario: Scenario) -> str:
    """Say why iterates cannot be computed again as gradient descent, noisy or not, or nothing."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes, or leave it out"
    if descent.algorithm != "gradient":
        return 'it is of gradient descent; write descent.algorithm = "gradient", or leave it out'
    if descent.momentum:
        return "its formula knows no momentum; remove descent.momentum, or leave it out"
    return _single_precision(descent)


def _single_precision(descent: Descent) -> str:
    """Say that iterates are computed again in double precision, or nothing."""
    if descent.precision == "float64":
        return ""
    return 'it is computed in float64; write descent.precision = "float64", or leave it out'


def _no_drift(scenario: Scenario) -> str:
    """Say why the drift of balance cannot be added up step by step, or nothing."""
    if scenario.network.depth == 1:
        return "one layer has no balance to leave; write more network.widths, or leave it out"
    if scenario.flow.weight_decay:
        return "its formula knows no weight decay; remove flow.weight_decay, or leave it out"
    return not_plain_descent(scenario)


def _drifting(scenario: Scenario) -> int:
    """Return layers, gradients, products and imbalances, at every step size, as they are moved."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    products = sum(d * (rows + columns) for d in network.widths)
    squares = sum(d**2 for d in network.widths[1:-1])
    steps = len(scenario.descent.written) if scenario.descent else 0
    return steps * (8 * network.weights + 2 * products + 4 * squares)


def _tracking(scenario: Scenario) -> int:
    """Return what Lanczos' method holds, three derivatives, and the layers at every step size."""
    steps = len(scenario.descent.written) if scenario.descent else 0
    return (LANCZOS + 8 + 6 * steps) * scenario.network.weights


def _not_described(scenario: Scenario) -> str:
    """Say why no flow that describes descent is compared with it, or nothing."""
    weights = scenario.network.weights
    if scenario.flow.weight_decay:
        return "it knows no weight decay; remove flow.weight_decay, or leave it out"
    if weights > MOST_WEIGHTS:
        return (
            f"the Hessian over the layers has {weights}² entries; write network.widths with at "
            f"most {MOST_WEIGHTS} weights, or leave it out"
        )
    return not_plain_descent(scenario)


def _descriptions(scenario: Scenario) -> int:
    """Return the iterates and four descriptions of them, and a Hessian with its derivatives."""
    weights = scenario.network.weights
    return 16 * scenario.flow.samples * weights + 24 * weights**2


def _no_momentum(scenario: Scenario) -> str:
    """Say why there is no momentum to describe, or nothing."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes and momentum, or leave it out"
    if not descent.momentum:
        return "descent has no momentum; write descent.momentum = 0.9, or leave it out"
    return _noise(scenario) or _single_precision(descent)


def _with_momentum(scenario: Scenario) -> int:
    """Return the iterates at every step size and three flows at one, with what solving them holds.

    A flow of second order has twice as many entries, at two tolerances and seven stages.
    """
    steps = len(scenario.descent.written) if scenario.descent else 0
    return ((steps + 10) * scenario.flow.samples + 40) * scenario.network.weights


DRIFT_BUDGET = Measure(
    says="how descent leaves balance, step by step, and what that costs",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(("time", "cost", "rebalanced"), ("step_size", "sample")),
        **dict.fromkeys(
            ("accumulated", "measured", "difference", "error"), ("step_size", "sample", "pair")
        ),
    },
    unfit=_no_drift,
    numbers=_drifting,
)

TRACKING_BOUND = Measure(
    says="where descent comes away from the layer flow, and a bound on how far",
    variables={
        **dict.fromkeys(("time", "density", "smallest", "error", "amplification"), ("time",)),
        "step_size": ("step_size",),
        **dict.fromkeys(TRACKED, ("step_size", "sample")),
    },
    needs="layers",
    unfit=not_plain_descent,
    numbers=_tracking,
)

DESCRIPTIONS = Measure(
    says="how far flows that describe descent are from its iterates",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(_AT_ITERATES, ("step_size", "sample")),
        **dict.fromkeys((f"{name}_broken_at" for name in DESCRIBING), ("step_size",)),
    },
    unfit=_not_described,
    numbers=_descriptions,
)

MOMENTUM_FLOW = Measure(
    says="how far flows that describe momentum are from the iterates",
    variables={
        "step_size": ("step_size",),
        **dict.fromkeys(
            (
                "time",
                "strength",
                *(
                    f"{name}{part}"
                    for name in WITH_MOMENTUM
                    for part in ("", "_error", "_strength")
                ),
            ),
            ("step_size", "sample"),
        ),
    },
    unfit=_no_momentum,
    numbers=_with_momentum,
)
