"""The variables of a run by group: their names, dimensions and meaning, free of NumPy and JAX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowsim.dynamics.registry import FLOWS
from flowsim.solvers.variables import (
    DESCENT,
    FLOW,
    GRID,
    LOSS,
    SAVED_TIME,
    SIGMA,
    STEP_SIZE,
    TIME,
    VariableSpec,
    W,
    layer_spec,
    stored_dims,
)
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

TIMES = ("time", "saved_time", *(f"{space}_time" for space in FLOWS))
"""Dimensions that are times of the flow."""

ALONG_TIME = (*TIMES, "sample", "saved_sample")
"""Dimensions along time, those of recorded iterates included."""

HELD_OUT = ("held_out_loss", "held_out_accuracy")


def _time_of(space: str) -> VariableSpec:
    return VariableSpec(f"{space}_time", (f"{space}_time",), TIME.long_name)


VARIABLES: Mapping[str, tuple[VariableSpec, ...]] = {
    **FLOW,
    "descent": DESCENT,
    "comparison": (
        TIME,
        VariableSpec(
            "end_to_end_vs_layers", ("time",), "distance ‖W_end-to-end − W_layers‖_F of the flows"
        ),
        STEP_SIZE,
        VariableSpec("descent_vs_flow", GRID, "distance ‖W_descent − W_flow‖_F at t = kη"),
        *(
            spec
            for space in FLOWS
            for spec in (
                _time_of(space),
                VariableSpec(
                    f"{space}_vs_exact",
                    (f"{space}_time",),
                    "distance ‖W − W_exact‖_F to the closed form",
                ),
            )
        ),
    ),
    "exact": (TIME, SIGMA, LOSS, SAVED_TIME, W),
    "target": (
        VariableSpec("matrix", ("output", "input"), "target Φ of completion or sensing"),
        VariableSpec(
            "observed",
            ("output", "input"),
            "weight of each entry of Φ in the loss: 0 where it is not observed",
        ),
    ),
    "plane": (
        VariableSpec("u", ("u",), "first coordinate u"),
        VariableSpec("v", ("v",), "second coordinate v"),
        VariableSpec("loss", ("v", "u"), "loss ℓ over the plane"),
        VariableSpec("lowest_loss", (), "lowest loss within the frame"),
        VariableSpec("minimum", ("end", "axis"), "end points of the minimizers in the frame"),
        *(
            spec
            for space in FLOWS
            for spec in (
                _time_of(space),
                VariableSpec(space, (f"{space}_time", "axis"), f"path of the {space} flow"),
            )
        ),
        STEP_SIZE,
        VariableSpec("descent", (*GRID, "axis"), "path of gradient descent"),
    ),
}
"""The variables of every group that a simulation fills; of diagnostics their specs declare them."""


def groups() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the dimensions of every group's variables of numbers, but for `layer_1`, …, `layer_N`.

    Diagnostics may be registered at any time.
    """
    simulated = {
        group: {spec.name: spec.dims for spec in declared if not spec.text}
        for group, declared in VARIABLES.items()
    }
    return simulated | {name: measure.dims for name, measure in MEASURES.items()}


_LAYER = re.compile(r"layer_([1-9][0-9]{0,4})")


def layer_number(name: str) -> int | None:
    """Return j of `layer_j`, or None for any other name."""
    match = _LAYER.fullmatch(name)
    return int(match[1]) if match else None


def dimensions(group: str, name: str, *, all_saved: bool = True) -> tuple[str, ...]:
    """Return the dimensions of a variable; `all_saved` is whether W is saved at all times.

    Raises
    ------
    KeyError
        If there is no such variable.

    """
    if group == "layers" and (j := layer_number(name)):
        return layer_spec(j).dims
    dims = groups()[group][name]
    if name == "end_to_end" and group in (*FLOWS, "descent", "exact"):
        return stored_dims(dims, all_saved=all_saved)
    return dims


ERRORS: Mapping[str, str] = {
    **{
        f"{space}.{name}": "error_estimate"
        for space in FLOWS
        # no singular value and no norm changes by more than W itself
        for name in ("singular_values", "distance_to_target", "unobserved_error", "end_to_end")
    },
    "sharpness.smallest": "error",
    "sharpness.largest": "error",
    "margin.largest_margin": "error",
    "convergence.excess_loss": "error",
}
"""Variables with the error of another one of their group, where they are not named `x_error`."""


def why_no_plane(scenario: Scenario) -> str | None:
    """Return why there is no plane through the path of W and what to write, or None."""
    if scenario.loss.has("on_layers"):
        return "the loss depends on the layers, and is no function of W; write another variable"
    if scenario.network.shape == (1, 1):
        return "W is a single number, whose path lies in no plane; write another variable"
    if scenario.output.end_to_end == "last" and not scenario.output.plane_entries:
        return 'W is saved at a single time; write output.end_to_end = "all"'
    return None
