"""The variables of a run that claims can speak of, and their dimensions, by group."""

from __future__ import annotations

import re

from flowsim.dynamics.registry import FLOWS
from flowsim.theory.registry import MEASURES

TIMES = ("time", "saved_time", *(f"{space}_time" for space in FLOWS))
"""Dimensions that are times of the flow, …"""

ALONG_TIME = (*TIMES, "sample", "saved_sample")
"""… and all that go along time, those of descent too."""

HELD_OUT = ("held_out_loss", "held_out_accuracy")

_MEASURES = {
    "loss": (),
    "singular_values": ("mode",),
    "effective_rank": (),
    "nuclear_norm": (),
    "det_sign": (),
    "distance_to_target": (),
}
_SPACE = {
    "time": ("time",),
    **{name: ("time", *dims) for name, dims in _MEASURES.items()},
    **dict.fromkeys(HELD_OUT, ("time",)),
    "error_estimate": ("time",),
    "end_to_end": ("time", "output", "input"),
    "saved_time": ("saved_time",),
}
_GRID = ("step_size", "sample")
_TIMES = {f"{space}_time": (f"{space}_time",) for space in FLOWS}

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    **{name: {**_SPACE, **flow.extra_variables} for name, flow in FLOWS.items()},
    "descent": {
        "step_size": ("step_size",),
        "iteration": _GRID,
        "time": _GRID,
        **{name: (*_GRID, *dims) for name, dims in _MEASURES.items()},
        **dict.fromkeys(HELD_OUT, _GRID),
        "imbalance": (*_GRID, "pair"),
        "squared_norm": _GRID,
        "end_to_end": (*_GRID, "output", "input"),
        "saved_sample": ("saved_sample",),
        "relative_step_size": ("step_size",),
        "critical_step_size": (),
        "critical_step_size_error": (),
    },
    "comparison": {
        "time": ("time",),
        "end_to_end_vs_layers": ("time",),
        "step_size": ("step_size",),
        "descent_vs_flow": _GRID,
        **_TIMES,
        **{f"{space}_vs_exact": (f"{space}_time",) for space in FLOWS},
    },
    "exact": {
        "time": ("time",),
        "singular_values": ("time", "mode"),
        "loss": ("time",),
        "end_to_end": ("time", "output", "input"),
        "saved_time": ("saved_time",),
    },
    "plane": {
        "u": ("u",),
        "v": ("v",),
        "loss": ("v", "u"),
        "lowest_loss": (),
        "minimum": ("end", "axis"),
        **_TIMES,
        **{space: (f"{space}_time", "axis") for space in FLOWS},
        "step_size": ("step_size",),
        "descent": (*_GRID, "axis"),
    },
    **{name: measure.dims for name, measure in MEASURES.items()},
}
"""Every group's variables of numbers, with their dimensions; `layer_1` … stand apart."""

_LAYER = re.compile(r"layer_([1-9][0-9]{0,4})")


def layer_number(name: str) -> int | None:
    """Return j of `layer_j`, or None for any other name."""
    match = _LAYER.fullmatch(name)
    return int(match[1]) if match else None


def dimensions(group: str, name: str, *, all_saved: bool = True) -> tuple[str, ...]:
    """Return the dimensions of a variable; `all_saved` says whether W is kept at all times.

    Raises
    ------
    KeyError
        If there is no such variable.

    """
    if group == "layers" and (j := layer_number(name)):
        return ("time", f"unit_{j}", f"unit_{j - 1}")
    dims = GROUPS[group][name]
    if name == "end_to_end" and group in (*FLOWS, "descent", "exact") and not all_saved:
        saved = {"time": "saved_time", "sample": "saved_sample"}
        return tuple(saved.get(dim, dim) for dim in dims)
    return dims
