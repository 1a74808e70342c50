"""Declarations of stored variables: name, dimensions and meaning, written once and free of NumPy.

Claims, documentation and archives derive from them, and `flowsim.results.run.group` turns arrays
into variables by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flowsim.dynamics.registry import FLOWS


@dataclass(frozen=True)
class VariableSpec:
    """Declaration of one variable of a group.

    Attributes
    ----------
    name, dims
        The variable's name in its group and one dimension name per axis.
    long_name
        What it is, as a short noun phrase with its symbol.
    flags
        Meaning of each value of a variable that encodes categories as numbers.
    text
        Whether its entries are strings, which no claim can compare.

    """

    name: str
    dims: tuple[str, ...]
    long_name: str
    flags: Mapping[int, str] = field(default_factory=dict)
    text: bool = False

    @property
    def attributes(self) -> dict[str, str | tuple[float, ...]]:
        """Attributes as stored, with `flag_values` and `flag_meanings` by the CF conventions."""
        named: dict[str, str | tuple[float, ...]] = {"long_name": self.long_name}
        if self.flags:
            named["flag_values"] = tuple(map(float, self.flags))
            named["flag_meanings"] = " ".join(self.flags.values())
        return named

    def over(self, *dims: str) -> VariableSpec:
        """Return the same declaration over other dimensions."""
        return replace(self, dims=dims)

    def renamed(self, name: str) -> VariableSpec:
        """Return the same declaration under another name."""
        return replace(self, name=name)


def specs(dims: str, /, **long_names: str) -> tuple[VariableSpec, ...]:
    """Return declarations of variables over the same dimensions, e.g. "step_size sample"."""
    shared = tuple(dims.split())
    return tuple(VariableSpec(name, shared, text) for name, text in long_names.items())


TIME = VariableSpec("time", ("time",), "time t of the flow")
STEP_SIZE = VariableSpec("step_size", ("step_size",), "step size η")
ITERATE_TIME = VariableSpec("time", ("step_size", "sample"), "time t = kη")
NOTE = VariableSpec("note", ("note",), "notes", text=True)
"""Sentences for the summary."""

YES_NO = {0: "no", 1: "yes"}
"""Flags of a variable that is 0 or 1."""

RENAMED: Mapping[tuple[str, str], str] = {
    ("explicit_loss", "closed_form_apart"): "closed_form_deviation",
}
"""Present names of variables renamed after version 0.1.0, by their group and their former name.

Archives are read with present names; a claim with a former name is answered with the present one.
"""

LOSS = VariableSpec("loss", ("time",), "loss ℓ(W)")
W = VariableSpec("end_to_end", ("time", "output", "input"), "end-to-end matrix W")
SIGMA = VariableSpec("singular_values", ("time", "mode"), "singular values of W")
SAVED_TIME = VariableSpec("saved_time", ("saved_time",), "times at which W is saved")
GRID = ("step_size", "sample")


def _of_w(*at: str) -> tuple[VariableSpec, ...]:
    """Return what is recorded of W along a flow or descent, besides W itself."""
    return (
        replace(SIGMA, dims=(*at, "mode")),
        *specs(
            " ".join(at),
            effective_rank="effective rank of W",
            nuclear_norm="nuclear norm ‖W‖_*",
            det_sign="sign of det W",
            distance_to_target="distance ‖W − Φ‖_F to the target",
            reconstruction_error="relative reconstruction error ‖W − Φ‖_F / ‖Φ‖_F",
            unobserved_error="error of W in the entries of Φ that are not observed, Frobenius norm",
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
        LOSS,
        VariableSpec("error_estimate", ("time",), "error estimate of W in Frobenius norm"),
        *_of_w("time"),
        *(VariableSpec(name, dims, _LONG_NAMES[name]) for name, dims in extra.items()),
        *_of_held_out("time"),
        SAVED_TIME,
        W,
    )


FLOW = {name: _flow(flow.extra_variables) for name, flow in FLOWS.items()}
"""The variables of the flow in each formulation."""

DESCENT = (
    STEP_SIZE,
    VariableSpec("iteration", GRID, "iteration k = round(t/η)"),
    ITERATE_TIME,
    LOSS.over(*GRID),
    *_of_w(*GRID),
    VariableSpec("imbalance", (*GRID, "pair"), _LONG_NAMES["imbalance"]),
    VariableSpec("squared_norm", GRID, _LONG_NAMES["squared_norm"]),
    VariableSpec("outcome", ("step_size",), "outcome of gradient descent", text=True),
    *_of_held_out(*GRID),
    VariableSpec("saved_sample", ("saved_sample",), "recorded iterates at which W is saved"),
    W.over(*GRID, "output", "input"),
    VariableSpec("relative_step_size", ("step_size",), "step size η in units of 2/λ_max"),
    VariableSpec("critical_step_size", (), "critical step size 2/λ_max"),
    VariableSpec("critical_step_size_error", (), "error of the critical step size"),
)
"""The variables of gradient descent."""


def layer_spec(j: int, *at: str) -> VariableSpec:
    """Return the declaration of `layer_j`, by default along the layer flow."""
    dims = (*(at or ("time",)), f"unit_{j}", f"unit_{j - 1}")
    return VariableSpec(f"layer_{j}", dims, f"layer W_{j}")


def stored_dims(dims: tuple[str, ...], *, all_saved: bool) -> tuple[str, ...]:
    """Return the dimensions of a stored W, which has its own times if not all are saved."""
    # W is large, and may be saved at fewer times than scalars
    saved = {} if all_saved else {"time": "saved_time", "sample": "saved_sample"}
    return tuple(saved.get(dim, dim) for dim in dims)
