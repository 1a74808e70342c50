"""The results of a run as named arrays, which archives store and figures draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim import cards
from flowsim.scenario.spec.forms import UNITS
from flowsim.solvers.storage import Series, in_batches, read_only
from flowsim.solvers.variables import VariableSpec

if TYPE_CHECKING:
    from pathlib import Path

    from flowsim.scenario.spec.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Variable:
    """An array with one dimension name per axis, and its meaning.

    `attributes` contain `long_name`, and `flag_values` with `flag_meanings` if numbers encode
    categories. `held` is the array, or a series that may be larger than memory; `values` reads all
    of it. Arrays are read-only: `.copy()` makes one that can be changed.
    """

    dims: tuple[str, ...]
    held: np.ndarray | Series
    attributes: Mapping[str, str | tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dims) != self.held.ndim:
            raise ValueError(
                f"Dimensions are {self.dims}, but one name per axis is required for shape "
                f"{self.held.shape}."
            )
        if isinstance(self.held, np.ndarray):
            object.__setattr__(self, "held", read_only(self.held))

    @property
    def values(self) -> np.ndarray:
        """The whole array."""
        return self.held.whole() if isinstance(self.held, Series) else self.held

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""
        return self.held.shape

    @property
    def long_name(self) -> str:
        """What the variable is, in words."""
        return str(self.attributes.get("long_name", ""))

    def has_numbers(self) -> bool:
        """Return whether any entry is finite."""
        held = self.held
        pieces = held.batches(held.rows_at_once) if isinstance(held, Series) else [held]
        # ends at the first piece with a number
        return any(bool(np.isfinite(piece).any()) for piece in pieces)

    def over(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return `function` of the values along leading axes, piece by piece if they are large."""
        held = self.held
        return in_batches(function, held) if isinstance(held, Series) else function(held)

    def select(self, dim: str, index: int) -> Variable:
        """Return the variable at one index of a dimension, without that dimension."""
        axis = self.dims.index(dim)
        left = self.dims[:axis] + self.dims[axis + 1 :]
        return Variable(left, _select(self.held, index, axis), self.attributes)


def _select(held: np.ndarray | Series, index: int, axis: int) -> np.ndarray | Series:
    if not isinstance(held, Series):
        return np.asarray(np.take(held, index, axis=axis))
    # axes of a series: first those over its rows, then those of each stored matrix
    own = axis - held.rows.ndim
    if own < 0:
        return Series(held.store, np.take(held.rows, index, axis=axis))
    return in_batches(lambda W: np.take(W, index, axis=1 + own), held)


Group = Mapping[str, Variable]
"""The variables of a flow, of gradient descent, of a comparison or of a diagnostic, by name."""


def group(
    declared: Iterable[VariableSpec],
    arrays: Mapping[str, np.ndarray | Series | float | Sequence[object] | None],
) -> Group:
    """Return arrays as variables, in the order and with the meaning in which they are `declared`.

    Declared variables without an array are left out, and so are those with None.

    Raises
    ------
    ValueError
        If an array is not declared, has other axes than declared, or another length along a
        dimension than an earlier one.

    """
    declared = list(declared)
    arrays = {name: values for name, values in arrays.items() if values is not None}
    if extra := arrays.keys() - {spec.name for spec in declared}:
        raise ValueError(f"Variables are not declared: {', '.join(sorted(extra))}.")
    lengths: dict[str, int] = {}
    variables: dict[str, Variable] = {}
    for spec in declared:
        if spec.name not in arrays:
            continue
        values = arrays[spec.name]
        if not isinstance(values, Series):
            values = np.asarray(values, object if spec.text else None)
        variables[spec.name] = Variable(spec.dims, values, spec.attributes)
        for dim, length in zip(spec.dims, values.shape, strict=True):
            if lengths.setdefault(dim, length) != length:
                raise ValueError(
                    f"Dimension {dim!r} of {spec.name!r} has length {length}, "
                    f"but length {lengths[dim]} is required."
                )
    return variables


def with_attribute(name: str, texts: Mapping[str, str], variables: Group) -> Group:
    """Return a group in which an attribute of some variables depends on the run."""
    changed = {
        variable: replace(old, attributes={**old.attributes, name: texts[variable]})
        for variable, old in variables.items()
        if variable in texts
    }
    return {**variables, **changed}


def endings(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return how each formulation, and each step size under `"descent"`, ended, in words.

    It is the verdict, or the outcome where the run stores none. Of variants it is by variant.
    """

    def words(outcome: Any, verdict: Any) -> Any:
        if isinstance(outcome, Mapping):
            return {key: words(outcome[key], (verdict or {}).get(key)) for key in outcome}
        # an interrupt between stages is an outcome without a verdict, and outweighs one
        known = verdict and outcome != "interrupted"
        return str(verdict["name"]).replace("_", " ") if known else str(outcome)

    found: dict[str, Any] = words(summary.get("outcome") or {}, summary.get("verdict"))
    return found


@dataclass(frozen=True, eq=False)
class Run:
    """The results of a scenario: arrays by group, a summary, and a run per variant.

    >>> run["layers.loss"]                    # an array; "depth-2/layers.loss" of a variant
    >>> run.variable("descent.loss").dims     # ("step_size", "sample")
    >>> list(run.paths())

    Attributes
    ----------
    name, scenario
        The scenario that was run, and its name.
    groups
        Variables by group: each formulation (`"layers"`, `"end_to_end"`, …), `"descent"`,
        `"comparison"`, `"exact"`, `"target"`, `"plane"` and each diagnostic, as far as they exist.
    summary
        The content of `summary.json`: outcomes, final losses, error estimates, claims, notes,
        seconds, versions.
    variants
        The run of each variant; empty for a scenario without variants.
    directory
        The folder of the run, if it is on disk.

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
            If there is no such variable; the text lists those that exist.

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
        """Return whether there is a variable at `path`."""
        return path in set(self.paths())

    def paths(self) -> Iterator[str]:
        """Yield the paths of all variables, those of variants included."""
        for group, variables in self.groups.items():
            yield from (f"{group}.{name}" for name in variables)
        for variant, run in self.variants.items():
            yield from (f"{variant}/{path}" for path in run.paths())

    def _rows(self) -> dict[str, str]:
        rows = {"scenario": self.scenario.title}
        if self.variants:
            rows["variants"] = ", ".join(self.variants)
        for space, ended in endings(self.summary).items():
            rows[space] = str(ended)
        if unit := self.summary.get("relative_to"):
            rows["step sizes"] = (
                f"relative to {UNITS[unit['place']]}, {unit['sharpness']:.5g} at "
                f"t = {unit['time']:.4g}"
            )
        for k, claim in enumerate(self.summary.get("claims", []), start=1):
            rows[f"claim {k}"] = f"{'✓' if claim['holds'] else '✗'} {claim['claim']}"
        if self.directory is not None:
            rows["files"] = str(self.directory)
        return rows

    def __repr__(self) -> str:
        return cards.as_text(f"Run of {self.name}", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html(f"Run of {self.name}", self._rows())
