"""Declarations of stored variables: name, dimensions and meaning, written once and free of NumPy.

Claims, documentation and archives derive from them, and `flowsim.results.run.group` turns arrays
into variables by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


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
