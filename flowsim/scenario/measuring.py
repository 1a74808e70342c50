"""What can be measured of a run beside its flows: a group each, where `[output] measures` asks.

A measure is told here as data, for checks, claims and predictions of memory; how it is computed is
in the module of its name in `flowsim.measuring`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from flowsim.scenario.model import Scenario

MeasureName = Literal[
    "sharpness",
    "tangent_kernel",
    "margin",
    "convergence",
    "preconditioner",
    "singular_value_law",
    "explicit_loss",
    "norms",
    "minimum_nuclear_norm",
    "speed",
    "drift_budget",
    "tracking_bound",
    "descriptions",
]
"""The name of a measure: of its group, of its figure and of its module."""


def always(scenario: Scenario) -> str:  # noqa: ARG001
    """Refuse no scenario."""
    return ""


def nothing(scenario: Scenario) -> int:  # noqa: ARG001
    """Work in no memory worth counting."""
    return 0


@dataclass(frozen=True)
class Measure:
    """What a measure is taken of, what it leaves, and what it costs.

    Attributes
    ----------
    says
        What it is, as the end of "what else is measured: …".
    variables
        The numbers in its group, with their dimensions.
    needs
        What has to be kept of the flow at every saved time: its "layers", the "matrices" W, or
        neither.
    unfit
        Why it cannot be taken in a scenario, with what to write instead; "" where it can.
    numbers
        How many float64 it works in.

    """

    says: str
    variables: Mapping[str, tuple[str, ...]]
    needs: Literal["layers", "matrices", ""] = ""
    unfit: Callable[[Scenario], str] = always
    numbers: Callable[[Scenario], int] = nothing


def _decays(scenario: Scenario) -> str:
    """Refuse weight decay, under which the loss may rise."""
    if not scenario.flow.weight_decay:
        return ""
    return "no bound on it allows for flow.weight_decay; leave one of them out"


SOLVED = 1000
"""Up to so many entries of W a convex solve is made, as in `flowsim.theory.minimum`."""

PIECE = 1 << 19
"""Numbers of a piece of a series, as in `flowsim.series`."""


def _of_convergence(scenario: Scenario) -> int:
    """Count pieces of the layers and of their products, and a Hessian with its factors."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    widest = max(a * b for a, b in pairwise(network.widths))
    times = min(scenario.flow.samples, max(1, PIECE // widest))
    return 4 * times * (network.weights + rows * columns) + _of_minimum(scenario)


def _of_minimum(scenario: Scenario) -> int:
    """Count a Hessian with its factors where the global minimum takes a convex solve."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return 4 * entries**2 if entries <= SOLVED and scenario.data else 0


def _without_speed(scenario: Scenario) -> str:
    """Say why iterations to a share of the excess loss cannot be counted, or nothing."""
    if scenario.descent is None:
        return "there is no descent; write [descent] with step_sizes"
    if scenario.loss.kind == "linear":
        return "a linear loss has no minimum to count from; leave speed out"
    if scenario.loss.power == 1:
        return "the minimum at p = 1 is not computed; leave speed out, or write a larger loss.p"
    if scenario.flow.weight_decay:
        return "with weight decay the loss does not fall to its minimum; leave speed out"
    return ""


def _descending(scenario: Scenario) -> int:
    """Count what descent at all step sizes works in."""
    sizes = scenario.descent.step_sizes if scenario.descent else ()
    return len(sizes) * iterates(scenario) * scenario.network.weights + _of_minimum(scenario)


def iterates(scenario: Scenario) -> int:
    """Return the copies of the layers that descent holds at each step size."""
    adadelta = scenario.descent is not None and scenario.descent.algorithm == "adadelta"
    return ITERATES + (MORE_ITERATES if adadelta else 0)


ITERATES, MORE_ITERATES = 11, 9
"""What descent holds with one copy remembered, as velocities are; and more with a second one."""

LEVELS = (1e-1, 1e-2, 1e-3, 1e-4)
"""Shares of the excess loss at the start, to which `speed` counts iterations."""

LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors, and what it works in."""


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


def _kernel_factors(scenario: Scenario) -> int:
    """Return the entries of both kernels' factors, as they are and scaled, and differences."""
    rows, columns = scenario.network.shape
    return 8 * scenario.network.depth * (rows**2 + columns**2)


def _not_a_classifier(scenario: Scenario) -> str:
    kind = scenario.loss.kind
    if kind in ("logistic", "cross_entropy"):
        return ""
    return (
        f'a loss of kind "{kind}" has no classes; leave it out, or write loss.kind = '
        '"logistic" or "cross_entropy"'
    )


def _slacks(scenario: Scenario) -> int:
    """Return the entries of the matrix of all slacks, and of what non-negative least squares take.

    There is a slack a sample for each other class.
    """
    from flowsim.scenario.shapes import used

    rows, columns = scenario.network.shape
    samples = used(scenario.data) if scenario.data else 0
    return 3 * samples * max(1, rows - 1) * rows * columns


BOUNDED = (
    "time", "loss", "excess_loss", "error", "bound", "bound_ratio", "running_bound",
    "running_ratio", "decrease", "rate", "smallest_eigenvalue", "distance_to_minimum",
)  # fmt: skip
CERTIFIED = (
    "minimum", "minimum_error", "polyak_lojasiewicz", "deficiency_margin", "rate_bound",
    "largest_imbalance", "admitted_imbalance", "largest_step_size", "fewest_iterations",
)  # fmt: skip
COUNTED = ("step_size", "iterations_bound", "iterations_above", "iterations_measured")
"""What is measured of convergence: over time, as single numbers, and at each step size."""

ON_TRAJECTORY = 6
"""How many points of a trajectory an explicit loss is asked for at; as many more are random."""

POINTS = 2 * ON_TRAJECTORY
LOOPS = POINTS + 1
"""A circle about each point, after the loop of Arora, Cohen & Hazan."""

MOST_ENTRIES = 64
"""The Jacobian of the end-to-end field has the square of so many entries at most."""

DERIVATIVES = 20
"""Copies of what a derivative of P_W works in, for each entry of W."""


def _no_explicit_loss(scenario: Scenario) -> str:
    """Say why it cannot be asked of a scenario whether an explicit loss exists, or nothing."""
    network = scenario.network
    rows, columns = network.shape
    entries = rows * columns
    if entries == 1:
        return "W is a single number, and on a line every field is a gradient; leave it out"
    if entries > MOST_ENTRIES:
        return (
            f"the Jacobian of its end-to-end field has {entries}² entries; write network.widths "
            f"with d_0 d_N of at most {MOST_ENTRIES}, or leave it out"
        )
    if min(network.widths) < network.modes:
        return (
            f"it is asked where W has full rank, {network.modes}, which a layer of width "
            f"{min(network.widths)} prevents; write wider layers, or leave it out"
        )
    return ""


def _derivatives(scenario: Scenario) -> int:
    """Return how many numbers the derivative of P_W works in, along every entry of W at once."""
    rows, columns = scenario.network.shape
    entries = rows * columns
    return DERIVATIVES * entries * (entries + rows**2 + columns**2)


def _not_plain_descent(scenario: Scenario) -> str:
    """Say why iterates cannot be computed again as plain gradient descent, or nothing."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes, or leave it out"
    if descent.algorithm != "gradient":
        return 'it is of gradient descent; write descent.algorithm = "gradient", or leave it out'
    if descent.momentum:
        return "its formula knows no momentum; remove descent.momentum, or leave it out"
    if descent.precision != "float64":
        return 'it is computed in float64; write descent.precision = "float64", or leave it out'
    return ""


def _no_drift(scenario: Scenario) -> str:
    """Say why the drift of balance cannot be added up step by step, or nothing."""
    if scenario.network.depth == 1:
        return "one layer has no balance to leave; write more network.widths, or leave it out"
    if scenario.flow.weight_decay:
        return "its formula knows no weight decay; remove flow.weight_decay, or leave it out"
    return _not_plain_descent(scenario)


def _drifting(scenario: Scenario) -> int:
    """Return layers, gradients, products and imbalances, at every step size, as they are moved."""
    network, (rows, columns) = scenario.network, scenario.network.shape
    products = sum(d * (rows + columns) for d in network.widths)
    squares = sum(d**2 for d in network.widths[1:-1])
    steps = len(scenario.descent.step_sizes) if scenario.descent else 0
    return steps * (8 * network.weights + 2 * products + 4 * squares)


def _tracking(scenario: Scenario) -> int:
    """Return what Lanczos' method holds, three derivatives, and the layers at every step size."""
    steps = len(scenario.descent.step_sizes) if scenario.descent else 0
    return (LANCZOS + 8 + 6 * steps) * scenario.network.weights


_OF_POINTS = ("time", "asymmetry", "asymmetry_bound")
_POTENTIAL = (
    "potential", "potential_error", "potential_apart", "closed_form", "closed_form_apart",
)  # fmt: skip
_OF_LOOPS = ("loop_integral", "loop_error", "circulation", "circulation_error")

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

NORMS = (*SCHATTEN, "schatten_depth", "effective_rank")
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


TRACKED = ("iterate_time", "distance", "distance_error", "bound", "bound_error", "ratio")

MOST_WEIGHTS = 256
"""The Hessian over the layers is formed, and has the square of so many entries at most."""


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
    return _not_plain_descent(scenario)


def _descriptions(scenario: Scenario) -> int:
    """Return the iterates and four descriptions of them, and a Hessian with its derivatives."""
    weights = scenario.network.weights
    return 16 * scenario.flow.samples * weights + 24 * weights**2


DESCRIPTIONS = ("flow", "modified", "principal", "central")
_AT_ITERATES = (
    *DESCRIPTIONS, *(f"{name}_error" for name in DESCRIPTIONS), "time",
    "sharpness_over_limit", "central_sharpness_over_limit",
    "variance_predicted", "variance_measured", "variance_ratio",
)  # fmt: skip

MEASURES: Mapping[MeasureName, Measure] = {
    "sharpness": Measure(
        says="the extreme eigenvalues of the Hessian over the layers",
        variables=dict.fromkeys(("time", "smallest", "largest", "error"), ("time",)),
        needs="layers",
        numbers=lambda scenario: LANCZOS * scenario.network.weights,
    ),
    "tangent_kernel": Measure(
        says="how far the neural tangent kernel moves from its start",
        variables=dict.fromkeys(("time", "norm", "distance", "angle"), ("time",)),
        needs="layers",
        numbers=_kernel_factors,
    ),
    "margin": Measure(
        says="the margin of a classifier, beside the largest there is",
        variables={
            **dict.fromkeys(("time", "norm", "margin", "angle"), ("time",)),
            "largest_margin": (),
            "error": (),
        },
        needs="matrices",
        unfit=_not_a_classifier,
        numbers=_slacks,
    ),
    "convergence": Measure(
        says="loss, rate and distance to the global minimum beside the bounds of theorems",
        variables={
            **dict.fromkeys(BOUNDED, ("time",)),
            **dict.fromkeys(CERTIFIED, ()),
            **dict.fromkeys(COUNTED, ("step_size",)),
            "holds": ("hypothesis",),
        },
        needs="layers",
        unfit=_decays,
        numbers=_of_convergence,
    ),
    "preconditioner": Measure(
        says="the preconditioner of the end-to-end flow, and where it turns the gradient",
        variables={
            "time": ("time",),
            "eigenvalues": ("time", "left", "right"),
            **dict.fromkeys(("condition_number", "alignment", "error"), ("time",)),
            **dict.fromkeys(
                ("effective_step", "gradient_share", "movement_share"), ("time", "mode")
            ),
        },
        needs="matrices",
        numbers=_preconditioner,
    ),
    "singular_value_law": Measure(
        says="how the layers move the singular values, beside the law that says so",
        variables={
            "time": ("time",),
            **dict.fromkeys(("velocity", "law", "difference", "error"), ("time", "mode")),
        },
        needs="layers",
        numbers=_law,
    ),
    "explicit_loss": Measure(
        says="whether the end-to-end field is the gradient of an explicit loss",
        variables={
            "conservative": (),
            "points": ("point", "output", "input"),
            **dict.fromkeys((*_OF_POINTS, *_POTENTIAL), ("point",)),
            **dict.fromkeys(_OF_LOOPS, ("loop",)),
        },
        needs="matrices",
        unfit=_no_explicit_loss,
        numbers=_derivatives,
    ),
    "norms": Measure(
        says="Schatten norms, quasi-norms and the effective rank of W",
        variables=dict.fromkeys(("time", *NORMS), ("time",)),
        numbers=lambda scenario: 3 * scenario.flow.samples * scenario.network.modes,
    ),
    "minimum_nuclear_norm": Measure(
        says="the matrix of least nuclear norm that meets the measurements",
        variables={
            **dict.fromkeys((*NORMS, "lower_bound", "residual", "distance_to_target"), ()),
            "singular_values": ("mode",),
            "end_to_end": ("output", "input"),
        },
        unfit=needs_measurements,
        numbers=conic,
    ),
    "speed": Measure(
        says="the iterations that descent takes to shares of the excess loss",
        variables={
            "level": ("level",),
            "loss": ("level",),
            "step_size": ("step_size",),
            "first": ("step_size", "level"),
            "iterations": ("step_size", "level"),
            "best_iterations": ("level",),
            "best_step_size": ("level",),
            "flow_time": ("level",),
            "minimum": (),
            "minimum_error": (),
        },
        unfit=_without_speed,
        numbers=_descending,
    ),
    "drift_budget": Measure(
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
    ),
    "tracking_bound": Measure(
        says="where descent comes away from the layer flow, and a bound on how far",
        variables={
            **dict.fromkeys(("time", "density", "smallest", "error", "amplification"), ("time",)),
            "step_size": ("step_size",),
            **dict.fromkeys(TRACKED, ("step_size", "sample")),
        },
        needs="layers",
        unfit=_not_plain_descent,
        numbers=_tracking,
    ),
    "descriptions": Measure(
        says="how far flows that describe descent are from its iterates",
        variables={
            "step_size": ("step_size",),
            **dict.fromkeys(_AT_ITERATES, ("step_size", "sample")),
            **dict.fromkeys((f"{name}_broken_at" for name in DESCRIPTIONS), ("step_size",)),
        },
        unfit=_not_described,
        numbers=_descriptions,
    ),
}
"""Every measure by name."""
