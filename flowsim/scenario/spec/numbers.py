"""The numbers of a scenario: strict, finite, and rectangular where they are arrays.

Integers are accepted where a number is required; booleans, strings, nan and inf are not.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from flowsim.scenario.spec.errors import format_value

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""What random draws derive from, beside their names."""


def seed_row(seed: int | None) -> list[str]:
    """Return a seed for the row of its table in the summary, nothing where there is none."""
    return [] if seed is None else [f"seed {seed}"]


Row = tuple[float, ...]
Rows = tuple[Row, ...]


def finite(value: object, where: str) -> float:
    """Return one entry of an array as a float; raise ValueError where it is not a finite number."""
    if type(value) is not int and type(value) is not float:
        raise ValueError(f"{where} is {format_value(value)}, but every entry must be a number")
    try:
        number = float(value)
    except OverflowError:
        # an integer beyond the range of float64
        number = float("inf")
    if not isfinite(number):
        raise ValueError(
            f"{where} is {format_value(value)}, but every entry must be finite in float64"
        )
    return number


def sequence(value: object, required: str) -> list[Any] | tuple[Any, ...]:
    """Return `value` if it is a non-empty array, of NumPy or not."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, list | tuple):
        raise ValueError(f"is {format_value(value)}, but {required} is required")
    if not value:
        raise ValueError(f"is empty, but {required} is required")
    return value


def row(value: object, where: str, required: str) -> Row:
    """Return an array of numbers as a tuple of floats; `where` begins its error messages."""
    entries = sequence(value, required)
    try:
        # fast for large arrays; only where an entry is wrong is it searched for one by one
        if set(map(type, entries)) <= {int, float}:
            numbers = tuple(map(float, entries))
            if all(map(isfinite, numbers)):
                return numbers
    except OverflowError:
        pass
    return tuple(finite(entry, f"{where} {i}") for i, entry in enumerate(entries, 1))


def vector(value: object) -> Row:
    """Return a one-dimensional array of numbers."""
    return row(value, "entry", "an array of numbers such as [3.0, 2.0]")


def matrix(value: object) -> Rows:
    """Return a rectangular array of rows of numbers."""
    required = "an array of rows such as [[1.0, 0.0], [0.0, 1.0]]"
    lines = sequence(value, required)
    rows = []
    for i, line in enumerate(lines, 1):
        if not isinstance(line, list | tuple):
            raise ValueError(f"row {i} is {format_value(line)}, but {required} is required")
        rows.append(row(line, f"row {i}, column", required))
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(
                f"row {i} is of length {len(rows[-1])} and row 1 of length {len(rows[0])}; "
                "write rows of one length"
            )
    return tuple(rows)


def matrices(value: object) -> tuple[Rows, ...]:
    """Return an array of matrices, as W_1 … W_N are given."""
    result = []
    for j, layer in enumerate(sequence(value, "an array of matrices [[[…]], …]"), 1):
        try:
            result.append(matrix(layer))
        except ValueError as error:
            raise ValueError(f"matrix {j}: {error}") from None
    return tuple(result)


def mask(value: object) -> tuple[tuple[int, ...], ...]:
    """Return a rectangular array of rows of 0 and 1."""
    rows = matrix(value)
    for i, line in enumerate(rows, 1):
        for j, entry in enumerate(line, 1):
            if entry not in (0.0, 1.0):
                raise ValueError(
                    f"row {i}, column {j} is {entry}; write 1 where the entry is observed, else 0"
                )
    return tuple(tuple(map(int, line)) for line in rows)


Vector = Annotated[Row, PlainValidator(vector, json_schema_input_type=list[float])]
Matrix = Annotated[Rows, PlainValidator(matrix, json_schema_input_type=list[list[float]])]
Matrices = Annotated[
    tuple[Rows, ...], PlainValidator(matrices, json_schema_input_type=list[list[list[float]]])
]
Mask = Annotated[
    tuple[tuple[int, ...], ...], PlainValidator(mask, json_schema_input_type=list[list[int]])
]


def momentum(value: object) -> float | Literal["increasing"]:
    """Return μ, 0 ≤ μ < 1, or "increasing"."""
    write = 'write momentum = 0.9, or "increasing" with rule = "nesterov"'
    if value == "increasing":
        return "increasing"
    if type(value) is not int and type(value) is not float:
        raise ValueError(f"is {format_value(value)}, but a number is required; {write}")
    if not value >= 0:
        raise ValueError(f"is {format_value(value)}, but must be at least 0; {write}")
    if not value < 1:
        raise ValueError(f"is {format_value(value)}, but must be below 1; {write}")
    return float(value)


Momentum = Annotated[
    float | Literal["increasing"],
    PlainValidator(momentum),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                {"const": "increasing"},
            ]
        }
    ),
]


Index = Annotated[int, Field(ge=0)]


Size = Annotated[int, Field(ge=1, le=10**15)]


Positive = Annotated[float, Field(gt=0)]


def unique(values: tuple[object, ...]) -> tuple[object, ...]:
    """Return the values if none is named twice."""
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"names {twice[0]} twice; write each once")
    return values
