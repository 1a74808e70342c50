"""Largest differences between two runs, as data and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowsim import cards


@dataclass(frozen=True)
class Difference:
    """The largest difference of one variable between two runs, beside both error estimates.

    Attributes
    ----------
    path
        The variable, as in `run[path]`.
    largest
        Largest |x_A − x_B| over the entries that both runs have; the largest of those beyond the
        error estimates where there are any. It is inf where exactly one of the two is finite, and
        where texts differ.
    scale
        Largest magnitude of the variable in both runs. Of an imbalance it is that of ‖W_j‖²_F, and
        of distances that of W: these are differences of larger quantities.
    place
        Where the largest difference lies, e.g. "time = 2.5, mode = 1".
    errors
        The error estimates of the variable in both runs, at that place; nan where none is known.
    is_beyond
        Whether it exceeds the sum of both error estimates, and rounding.

    """

    path: str
    largest: float
    scale: float
    place: str
    errors: tuple[float, float]
    is_beyond: bool

    @property
    def relative(self) -> float:
        """The difference relative to the scale; 0 for no difference."""
        return self.largest / self.scale if self.largest else 0.0

    def record(self) -> dict[str, Any]:
        """Return the difference in types that JSON has."""
        return {
            "variable": self.path,
            "difference": self.largest,
            "relative": self.relative,
            "error_estimates": list(self.errors),
            "place": self.place,
            "beyond": self.is_beyond,
        }


@dataclass(frozen=True)
class Comparison:
    """Differences between two runs, and what could not be compared.

    >>> found = flowsim.compare("runs/coarse", "runs/fine")
    >>> found.agrees
    >>> found["layers.loss"].largest, found["layers.loss"].errors

    Attributes
    ----------
    differences
        One `Difference` per variable that both runs have.
    not_compared
        Variables, and coordinates, whose shapes or values differ, with the reason.
    only_in
        Paths of the variables that only the first run has, and only the second.

    """

    differences: tuple[Difference, ...]
    not_compared: Mapping[str, str]
    only_in: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def agrees(self) -> bool:
        """Whether no difference exceeds the error estimates."""
        return not any(each.is_beyond for each in self.differences)

    def __getitem__(self, path: str) -> Difference:
        """Return the difference of the variable at `path`; KeyError if it was not compared."""
        for each in self.differences:
            if each.path == path:
                return each
        reason = self.not_compared.get(path, "not a variable of both runs")
        raise KeyError(f"{path!r} was not compared: {reason}")

    def record(self) -> dict[str, Any]:
        """Return the comparison in types that JSON has."""
        return {
            "agrees": self.agrees,
            "variables": [each.record() for each in self.differences],
            "not_compared": dict(self.not_compared),
            "only_in": [list(paths) for paths in self.only_in],
        }

    def lines(self, names: tuple[str, str] = ("A", "B")) -> Iterator[str]:
        """Yield a table of the differences, then what was not compared, then the conclusion."""
        head = ("", "variable", "difference", "relative", "error A", "error B", "at")
        yield from _table([head, *map(_row, self.differences)])
        listed = [("not compared", [f"{p}: {why}" for p, why in self.not_compared.items()])]
        listed += [
            (f"only in {name}", [*paths]) for name, paths in zip(names, self.only_in, strict=True)
        ]
        for title, items in listed:
            if items:
                yield f"\n{title}"
                yield from (f"  {item}" for item in items)
        beyond = sum(each.is_beyond for each in self.differences)
        differ = f"{beyond} of {len(self.differences)} variables differ by more"
        yield f"\n{differ} than the error estimates{' (✗)' if beyond else ''}."

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        rows = {each.path: "  ".join(_row(each)[2:]) for each in self.differences}
        return cards.as_html("difference, relative, error A, error B, at", rows)


def _row(each: Difference) -> tuple[str, ...]:
    return (
        "✗" if each.is_beyond else "",
        each.path,
        *(f"{value:.2g}" for value in (each.largest, each.relative)),
        *("–" if math.isnan(error) else f"{error:.2g}" for error in each.errors),
        each.place if each.largest else "",
    )


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
