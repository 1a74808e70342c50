"""What came out of an experiment, as plain named arrays: what archives store and figures draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flowsim import cards

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from flowsim.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Variable:
    """A named array: `values` with one dimension name per axis, and what it means.

    `attributes` always hold `long_name`, and `units` where the variable has any.
    """

    dims: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dims) != self.values.ndim:
            raise ValueError(
                f"A variable needs one dimension name per axis, but got {self.dims} "
                f"for an array of shape {self.values.shape}."
            )


Group = Mapping[str, Variable]
"""The variables of one space, of descent, or of a comparison."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished experiment: its scenario, its arrays by group, and its summary.

    `groups` maps `"layers"`, `"end_to_end"`, `"descent"`, `"comparison"`, `"exact"` and `"plane"`
    (those that exist) to their variables; `variants` maps a variant's name to its own run, and is
    empty for a plain run. `directory` is where the run lies on disk, if it does.
    """

    name: str
    scenario: Scenario
    groups: Mapping[str, Group]
    summary: Mapping[str, Any]
    variants: Mapping[str, Run] = field(default_factory=dict)
    directory: Path | None = None

    def __getitem__(self, path: str) -> np.ndarray:
        """Return the array at `"group.variable"`, or `"variant/group.variable"`.

        Raises
        ------
        KeyError
            If there is no such variable, naming those that exist.

        """
        return self.variable(path).values

    def variable(self, path: str) -> Variable:
        """Return the variable at `"group.variable"`, or `"variant/group.variable"`."""
        variant, _, inner = path.rpartition("/")
        if variant:
            if variant not in self.variants:
                raise KeyError(f"no variant {variant!r}; there are: {', '.join(self.variants)}")
            return self.variants[variant].variable(inner)
        group, _, name = inner.partition(".")
        if name not in self.groups.get(group, {}):
            raise KeyError(f"no variable {path!r}; there are: {', '.join(self.paths())}")
        return self.groups[group][name]

    def has(self, path: str) -> bool:
        """Say whether there is a variable at `path`."""
        return path in set(self.paths())

    def paths(self) -> Iterator[str]:
        """Yield the path of every variable, those of variants included."""
        for group, variables in self.groups.items():
            yield from (f"{group}.{name}" for name in variables)
        for variant, run in self.variants.items():
            yield from (f"{variant}/{path}" for path in run.paths())

    def _rows(self) -> dict[str, str]:
        rows = {"scenario": self.scenario.title}
        if self.variants:
            rows["variants"] = ", ".join(self.variants)
        for space, outcome in self.summary.get("outcome", {}).items():
            rows[space] = str(outcome)
        for k, claim in enumerate(self.summary.get("claims", []), start=1):
            rows[f"claim {k}"] = f"{'✓' if claim['holds'] else '✗'} {claim['claim']}"
        if self.directory is not None:
            rows["files"] = str(self.directory)
        return rows

    def __repr__(self) -> str:
        return cards.as_text(f"Run of {self.name}", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html(f"Run of {self.name}", self._rows())
