"""The variables of a run by group: their names, dimensions and meaning, free of NumPy and JAX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from flowsim.dynamics.registry import FLOWS
from flowsim.results.spec import ITERATE_TIME, STEP_SIZE, TIME, VariableSpec, specs
from flowsim.theory.registry import MEASURES

TIMES = ("time", "saved_time", *(f"{space}_time" for space in FLOWS))
"""Dimensions that are times of the flow."""

ALONG_TIME = (*TIMES, "sample", "saved_sample")
"""Dimensions along time, those of recorded iterates included."""

HELD_OUT = ("held_out_loss", "held_out_accuracy")

_LOSS = "loss ℓ(W)"
_W = VariableSpec("end_to_end", ("time", "output", "input"), "end-to-end matrix W")
_SIGMA = VariableSpec("singular_values", ("time", "mode"), "singular values of W")
_SAVED_TIME = VariableSpec("saved_time", ("saved_time",), "times at which W is saved")
_GRID = ("step_size", "sample")


def _of_w(*at: str) -> tuple[VariableSpec, ...]:
    """Return what is recorded of W along a flow or descent, besides W itself."""
    return (
        replace(_SIGMA, dims=(*at, "mode")),
        *specs(
            " ".join(at),
            effective_rank="effective rank of W",
            nuclear_norm="nuclear norm ‖W‖_*",
            det_sign="sign of det W",
            distance_to_target="distance ‖W − Φ‖_F to the target",
        ),
    )


_LONG_NAMES = {
    "imbalance": "imbalance ‖W_{j+1}ᵀW_{j+1} − W_jW_jᵀ‖_F of adjacent layers",
    "squared_norm": "squared norm Σ_j ‖W_j‖²_F of the layers",
    "log_singular_values": "log σ of W",
}
"""Of variables that only some formulations have, `Formulation.extra_variables`."""


def _of_held_out(*at: str) -> tuple[VariableSpec, ...]:
    return specs(" ".join(at), held_out_loss="held-out loss", held_out_accuracy="held-out accuracy")


def _flow(extra: Mapping[str, tuple[str, ...]]) -> tuple[VariableSpec, ...]:
    """Return the variables of a flow, `extra` being the dimensions of those of its formulation."""
    return (
        TIME,
        VariableSpec("loss", ("time",), _LOSS),
        VariableSpec("error_estimate", ("time",), "error estimate of W in Frobenius norm"),
        *_of_w("time"),
        *(VariableSpec(name, dims, _LONG_NAMES[name]) for name, dims in extra.items()),
        *_of_held_out("time"),
        _SAVED_TIME,
        _W,
    )


def _time_of(space: str) -> VariableSpec:
    return VariableSpec(f"{space}_time", (f"{space}_time",), TIME.long_name)


VARIABLES: Mapping[str, tuple[VariableSpec, ...]] = {
    **{name: _flow(flow.extra_variables) for name, flow in FLOWS.items()},
    "descent": (
        STEP_SIZE,
        VariableSpec("iteration", _GRID, "iteration k = round(t/η)"),
        ITERATE_TIME,
        VariableSpec("loss", _GRID, _LOSS),
        *_of_w(*_GRID),
        VariableSpec("imbalance", (*_GRID, "pair"), _LONG_NAMES["imbalance"]),
        VariableSpec("squared_norm", _GRID, _LONG_NAMES["squared_norm"]),
        VariableSpec("outcome", ("step_size",), "outcome of gradient descent", text=True),
        *_of_held_out(*_GRID),
        VariableSpec("saved_sample", ("saved_sample",), "recorded iterates at which W is saved"),
        replace(_W, dims=(*_GRID, "output", "input")),
        VariableSpec("relative_step_size", ("step_size",), "step size η in units of 2/λ_max"),
        VariableSpec("critical_step_size", (), "critical step size 2/λ_max"),
        VariableSpec("critical_step_size_error", (), "error of the critical step size"),
    ),
    "comparison": (
        TIME,
        VariableSpec(
            "end_to_end_vs_layers", ("time",), "distance ‖W_end-to-end − W_layers‖_F of the flows"
        ),
        STEP_SIZE,
        VariableSpec("descent_vs_flow", _GRID, "distance ‖W_descent − W_flow‖_F at t = kη"),
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
    "exact": (TIME, _SIGMA, VariableSpec("loss", ("time",), _LOSS), _SAVED_TIME, _W),
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
        VariableSpec("descent", (*_GRID, "axis"), "path of gradient descent"),
    ),
}
"""The variables of every group that a simulation fills; of diagnostics their specs declare them."""

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    **{
        group: {spec.name: spec.dims for spec in declared if not spec.text}
        for group, declared in VARIABLES.items()
    },
    **{name: measure.dims for name, measure in MEASURES.items()},
}
"""Dimensions of every group's variables of numbers, but for `layer_1`, …, `layer_N`."""

_LAYER = re.compile(r"layer_([1-9][0-9]{0,4})")


def layer_number(name: str) -> int | None:
    """Return j of `layer_j`, or None for any other name."""
    match = _LAYER.fullmatch(name)
    return int(match[1]) if match else None


def layer_spec(j: int) -> VariableSpec:
    """Return the declaration of `layer_j` in the group of the layer flow."""
    return VariableSpec(f"layer_{j}", ("time", f"unit_{j}", f"unit_{j - 1}"), f"layer W_{j}")


def stored_dims(dims: tuple[str, ...], *, all_saved: bool) -> tuple[str, ...]:
    """Return the dimensions of a stored W, which has its own times if not all are saved."""
    # W is large, and may be saved at fewer times than scalars
    saved = {} if all_saved else {"time": "saved_time", "sample": "saved_sample"}
    return tuple(saved.get(dim, dim) for dim in dims)


def dimensions(group: str, name: str, *, all_saved: bool = True) -> tuple[str, ...]:
    """Return the dimensions of a variable; `all_saved` is whether W is saved at all times.

    Raises
    ------
    KeyError
        If there is no such variable.

    """
    if group == "layers" and (j := layer_number(name)):
        return layer_spec(j).dims
    dims = GROUPS[group][name]
    if name == "end_to_end" and group in (*FLOWS, "descent", "exact"):
        return stored_dims(dims, all_saved=all_saved)
    return dims


ERRORS: Mapping[str, str] = {
    **{
        f"{space}.{name}": "error_estimate"
        for space in FLOWS
        # no singular value and no norm changes by more than W itself
        for name in ("singular_values", "distance_to_target", "end_to_end")
    },
    "sharpness.smallest": "error",
    "sharpness.largest": "error",
    "margin.largest_margin": "error",
    "convergence.excess_loss": "error",
}
"""Variables with the error of another one of their group, where they are not named `x_error`."""
