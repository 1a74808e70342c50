"""The forms in which a scenario can give a matrix, or step sizes, without writing them out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Strict,
    Tag,
    model_validator,
)

from flowsim.scenario.spec.errors import printable
from flowsim.scenario.spec.numbers import Mask, Matrices, Matrix, Vector
from flowsim.scenario.spec.stop import StopAt
from flowsim.scenario.spec.table import Table


def _absolute(value: object) -> object:
    """Return a file name as an absolute path, and anything else unchanged for validation."""
    if not isinstance(value, str | Path):
        return value
    if not str(value) or "\0" in str(value):
        raise ValueError('is not a file name; write file = "x.npy"')
    return Path(value).absolute()


class FileRef(Table):
    """An array in a data file: `.npy`, `.npz` (with the name of the array as `key`) or `.csv`."""

    file: Annotated[Path, BeforeValidator(_absolute, json_schema_input_type=str)] = Field(
        description="A .npy, .npz or .csv file, relative to the scenario file.", examples=["x.npy"]
    )
    key: str | None = Field(
        None, description="The name of the array, for a .npz file.", examples=["W"]
    )

    def describe(self) -> str:
        """Return the form in words."""
        return f"from {printable(self.file.name)}"


def _not_negative(values: tuple[float, ...]) -> tuple[float, ...]:
    if min(values) < 0:
        raise ValueError(f"holds {min(values)}; write singular values, which are never negative")
    return values


class Spectrum(Table):
    """A target with these singular values and random singular vectors."""

    spectrum: Annotated[Vector, AfterValidator(_not_negative)] = Field(
        description="Singular values, at most min(d_0, d_N) of them; the others are 0.",
        examples=[[3.0, 2.0, 1.0]],
    )

    def describe(self) -> str:
        """Return the form in words, with the six largest values at most."""
        values = [f"{value:g}" for value in self.spectrum]
        return f"with singular values {', '.join(values[:6])}{', …' if len(values) > 6 else ''}"


class RankNorm(Table):
    """A random target of a given rank and Frobenius norm."""

    rank: int = Field(ge=1, description="The rank of the target.", examples=[5])
    norm: float = Field(gt=0, description="The Frobenius norm of the target.", examples=[100.0])

    def describe(self) -> str:
        """Return the form in words."""
        return f"of rank {self.rank} and norm {self.norm:g}"


class IdentityMultiple(Table):
    """The target c·I."""

    identity: float = Field(description="The multiple c of the identity.", examples=[1.0])

    def describe(self) -> str:
        """Return the form in words."""
        return f"{self.identity:g} · I"


class Count(Table):
    """A number of observed entries, drawn at random."""

    count: int = Field(ge=1, description="The number of observed entries.", examples=[2000])

    def describe(self) -> str:
        """Return the form in words."""
        return f"{self.count} entries"


class Fraction(Table):
    """A fraction of observed entries, drawn at random."""

    fraction: float = Field(
        gt=0, le=1, description="The fraction of entries that are observed.", examples=[0.4]
    )

    def describe(self) -> str:
        """Return the form in words."""
        return f"{self.fraction:.3g} of the entries"


Place = Literal["start", "minimum", "flow"]
"""The point whose sharpness is the unit of step sizes."""

UNITS: dict[Place, str] = {
    "start": "2/sharpness at initialization",
    "minimum": "2/sharpness at the minimum",
    "flow": "the least 2/sharpness along the flow",
}
"""The unit of step sizes, by the place of the sharpness."""


def step_sizes(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return the values if they are positive and different."""
    if min(values) <= 0:
        raise ValueError(f"holds {min(values)}; write step sizes above 0")
    if len(set(values)) < len(values):
        raise ValueError("holds a step size twice; write each once")
    return values


class StepSizeRange(Table):
    """A number of step sizes between two ends."""

    smallest: float = Field(gt=0, description="The smallest step size.", examples=[0.01])
    largest: float = Field(gt=0, description="The largest step size.", examples=[1.0])
    count: int = Field(ge=2, le=100_000, description="The number of step sizes.", examples=[200])
    spacing: Literal["log", "linear"] = Field(
        "log", description="Constant ratio, or constant difference, of neighbours.",
        examples=["linear"],
    )  # fmt: skip
    relative_to: Place | None = Field(
        None,
        description="The unit: 2/sharpness at initialization, at the minimum that the layer flow "
        "converges to, or the least along the flow; η itself if left out.",
        examples=["minimum"],
    )

    @model_validator(mode="after")
    def _increases(self) -> StepSizeRange:
        if self.smallest >= self.largest:
            raise ValueError(
                f"goes from {self.smallest} to {self.largest}; write a largest one above the "
                "smallest"
            )
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """The step sizes, in increasing order, both ends exact."""
        import numpy as np

        spaced = np.geomspace if self.spacing == "log" else np.linspace
        # geomspace rounds its ends, which claims name as they are written
        inner = spaced(self.smallest, self.largest, self.count)[1:-1].tolist()
        return (self.smallest, *inner, self.largest)


class StepSizeMultiples(Table):
    """Step sizes as multiples of 2/sharpness somewhere."""

    values: Annotated[Vector, AfterValidator(step_sizes)] = Field(
        description="Multiples of the unit.", examples=[[0.9, 1.1]]
    )
    relative_to: Place = Field(
        description="The unit: 2/sharpness at initialization, at the minimum that the layer flow "
        "converges to, or the least along the flow.",
        examples=["minimum"],
    )


FORMS: dict[str, type[Table]] = {
    "smallest": StepSizeRange,
    "largest": StepSizeRange,
    "values": StepSizeMultiples,
    "file": FileRef,
    "key": FileRef,
    "spectrum": Spectrum,
    "rank": RankNorm,
    "norm": RankNorm,
    "identity": IdentityMultiple,
    "count": Count,
    "fraction": Fraction,
    **dict.fromkeys(StopAt.model_fields, StopAt),
}
"""The form that a table has, by the first of these keys that it has."""


def _form(value: Any) -> str:
    """Return the name of the form of a value; anything but a table counts as an array."""
    if isinstance(value, Table):
        return f"<{type(value).__name__}>"
    if not isinstance(value, dict):
        return "<array>"
    return next((f"<{FORMS[key].__name__}>" for key in FORMS if key in value), "<unknown>")


_which = Discriminator(_form)

Target = Annotated[
    Annotated[Matrix, Tag("<array>")]
    | Annotated[Spectrum, Tag("<Spectrum>")]
    | Annotated[RankNorm, Tag("<RankNorm>")]
    | Annotated[IdentityMultiple, Tag("<IdentityMultiple>")]
    | Annotated[FileRef, Tag("<FileRef>")],
    _which,
]
Observed = Annotated[
    Annotated[Mask, Tag("<array>")]
    | Annotated[Count, Tag("<Count>")]
    | Annotated[Fraction, Tag("<Fraction>")],
    _which,
]
Samples = Annotated[
    Annotated[Matrix, Tag("<array>")] | Annotated[FileRef, Tag("<FileRef>")], _which
]
Layers = Annotated[
    Annotated[Matrices, Tag("<array>")] | Annotated[FileRef, Tag("<FileRef>")], _which
]
StepSizes = Annotated[
    Annotated[Vector, AfterValidator(step_sizes), Tag("<array>")]
    | Annotated[StepSizeRange, Tag("<StepSizeRange>")]
    | Annotated[StepSizeMultiples, Tag("<StepSizeMultiples>")],
    _which,
]

Listed = Strict(False)
"""Lets a TOML array fill a tuple; its items stay strict."""
