"""`[output]`: what is saved, measured and drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from flowsim.scenario.spec.errors import format_value
from flowsim.scenario.spec.forms import Listed
from flowsim.scenario.spec.numbers import Index, Vector, unique
from flowsim.scenario.spec.table import Table


def _saved(value: object) -> object:
    """Accept all, last or a stride."""
    if value in ("all", "last") or (type(value) is int and value >= 1):
        return value
    raise ValueError(f'is {format_value(value)}; write "all", "last" or a stride such as 10')


Saved = Annotated[
    Literal["all", "last"] | int,
    PlainValidator(_saved),
    WithJsonSchema({"anyOf": [{"enum": ["all", "last"]}, {"type": "integer", "minimum": 1}]}),
]


Entry = Annotated[tuple[Index, Index], Listed]
Entries = tuple[Entry, Entry]


def _switch_or_array(value: object) -> str:
    return "<switch>" if isinstance(value, bool) else "<array>"


Plane = Annotated[
    Annotated[bool, Tag("<switch>")] | Annotated[Entries, Listed, Tag("<array>")],
    Discriminator(_switch_or_array),
]


def _positive(values: tuple[float, ...]) -> tuple[float, ...]:
    if min(values) <= 0:
        raise ValueError(f"holds {min(values)}; write fractions above 0")
    return values


Fractions = Annotated[Vector, AfterValidator(unique), AfterValidator(_positive)]


class Output(Table):
    """What is saved, measured and drawn."""

    layers: bool = Field(False, description="Also save W_1 … W_N over time.", examples=[True])
    end_to_end: Saved = Field(
        "all",
        description="The saved times at which W is kept: all, last or a stride.",
        examples=["last"],
    )
    measures: Annotated[tuple[str, ...], Listed, AfterValidator(unique)] = Field(
        (), description="The diagnostics to compute.", examples=[["sharpness"]]
    )
    figure: str | None = Field(
        None,
        description="The main figure; the first available one if left out.",
        examples=["singular_values"],
    )
    plane: Plane = Field(
        False,
        description="Also save the loss over a plane through the path: true for the path's "
        "principal directions, or the two entries (output, input) of W that span the plane.",
        examples=[[[0, 0], [1, 1]]],
    )
    track_within: Fractions | None = Field(
        None,
        description="Distances from the flow, as fractions of its largest ‖W‖_F, within which a "
        "step size counts as tracking it; [0.1, 0.01] if left out.",
        examples=[[0.1, 0.01]],
    )
    noise_runs: Annotated[int, Field(ge=2, le=10**6)] | None = Field(
        None,
        description="The number of draws of the gradient noise over which sgd_noise averages; 400 "
        "if left out.",
        examples=[1000],
    )

    @property
    def plane_entries(self) -> Entries | None:
        """The two entries of W that span the plane, if they are named."""
        return None if isinstance(self.plane, bool) else self.plane
