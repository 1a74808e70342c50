"""The tables of a scenario file that say what is saved, varied and claimed, one model each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, WithJsonSchema

from flowsim.scenario.errors import found
from flowsim.scenario.forms import STRICT, Listed
from flowsim.scenario.measuring import MEASURES, MeasureName
from flowsim.scenario.numeric import Vector
from flowsim.scenario.sections import Positive, unique

Index = Annotated[int, Field(ge=0)]


def _saved(value: object) -> object:
    """Accept all, last or a stride."""
    if value in ("all", "last") or (type(value) is int and value >= 1):
        return value
    raise ValueError(f'is {found(value)}; write "all", "last" or a stride such as 10')


Saved = Annotated[
    Literal["all", "last"] | int,
    PlainValidator(_saved),
    WithJsonSchema({"anyOf": [{"enum": ["all", "last"]}, {"type": "integer", "minimum": 1}]}),
]
Entry = Annotated[tuple[Index, Index], Listed]


def _shares(values: tuple[float, ...]) -> tuple[float, ...]:
    if min(values) <= 0:
        raise ValueError(f"holds {min(values)}; write shares above 0")
    return values


FigureName = Literal[
    "singular_values",
    "loss",
    "descent_singular_values",
    "descent_distance",
    "gap",
    "imbalance",
    "plane",
    "effective_rank",
    "norms",
    "minimum_nuclear_norm",
    "end_to_end_entries",
    "entry_comparison",
    "sharpness",
    "tangent_kernel",
    "margin",
    "convergence",
    "preconditioner",
    "singular_value_law",
    "explicit_loss",
    "speed",
    "drift_budget",
    "tracking_bound",
    "descriptions",
    "step_size_thresholds",
    "oscillation",
    "momentum_flow",
    "sgd_noise",
]


class Output(BaseModel):
    """What is saved and drawn."""

    model_config = STRICT

    layers: bool = Field(False, description="Also save W_1 … W_N over time.", examples=[True])
    end_to_end: Saved = Field(
        "all",
        description="At which saved times W is kept: all, last or a stride.",
        examples=["last"],
    )
    measures: Annotated[tuple[MeasureName, ...], Listed, AfterValidator(unique)] = Field(
        (),
        description="What else is measured: "
        + "; ".join(f"{measure.says} ({name})" for name, measure in MEASURES.items())
        + ".",
        examples=[["sharpness"]],
    )
    figure: FigureName | None = Field(
        None,
        description="The figure that leads; the first that fits if left out.",
        examples=["singular_values"],
    )
    plane: Annotated[tuple[Entry, Entry], Listed] | None = Field(
        None,
        description="Two entries (output, input) of W that span the plane of the path's figure; "
        "the path's principal directions if left out.",
        examples=[[[0, 0], [1, 1]]],
    )

    track_within: Annotated[Vector, AfterValidator(unique), AfterValidator(_shares)] | None = Field(
        None,
        description="Distances from the flow, as shares of its largest ‖W‖_F, within which "
        "step_size_thresholds asks which step sizes track it; [0.1, 0.01] if left out.",
        examples=[[0.1, 0.01]],
    )
    noise_runs: Annotated[int, Field(ge=2, le=10**6)] | None = Field(
        None,
        description="Over how many draws of descent's noise sgd_noise takes means; 400 if left "
        "out.",
        examples=[1000],
    )

    @property
    def holds_layers(self) -> bool:
        """Whether W_1 … W_N over time are needed, to be saved or to be measured."""
        return self.layers or self._needs("layers")

    @property
    def holds_matrices(self) -> bool:
        """Whether W is needed at every saved time, to be measured."""
        return self._needs("matrices")

    def _needs(self, kept: str) -> bool:
        return any(MEASURES[name].needs == kept for name in self.measures)


class Variant(BaseModel):
    """The scenario with some keys replaced."""

    model_config = STRICT

    name: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="A name of letters, digits, dots, dashes and underscores.",
        examples=["depth-2"],
    )
    set: dict[str, Any] = Field(
        description="Dotted keys and the values that replace the scenario's; "
        "a table replaces the whole table.",
        examples=[{"network.widths": [6, 6, 6]}],
    )


class At(BaseModel):
    """Which entry of a variable a claim speaks of."""

    model_config = STRICT

    step_size: Positive | None = Field(
        None,
        description="One of descent.step_sizes, as written there; of a generated set the nearest.",
        examples=[0.1],
    )
    level: Positive | None = Field(
        None,
        description="One of the levels of excess loss of speed, or of output.track_within.",
        examples=[1e-3],
    )
    time: Annotated[float, Field(ge=0)] | None = Field(
        None, description="The saved time nearest to this one.", examples=[5.0]
    )
    sample: Index | None = Field(
        None, description="The saved time of descent, from 0.", examples=[0]
    )
    mode: Index | None = Field(
        None, description="The singular value, from 0, largest first.", examples=[0]
    )
    output: Index | None = Field(None, description="The row of W, from 0.", examples=[0])
    input: Index | None = Field(None, description="The column of W, from 0.", examples=[0])
    left: Index | None = Field(
        None, description="The left singular vector of W, from 0.", examples=[0]
    )
    right: Index | None = Field(
        None, description="The right singular vector of W, from 0.", examples=[0]
    )
    pair: Index | None = Field(
        None, description="The pair of neighbouring layers, from 0.", examples=[0]
    )
    point: Index | None = Field(
        None, description="The matrix that explicit_loss is measured at, from 0.", examples=[0]
    )
    visit: Index | None = Field(
        None, description="The iterate of an orbit of oscillation, from 0.", examples=[0]
    )
    loop: Index | None = Field(
        None, description="The closed loop of explicit_loss, from 0.", examples=[0]
    )


class Claim(BaseModel):
    """What the scenario shows: a number drawn from a variable, and what it is compared with."""

    model_config = STRICT

    quantity: str = Field(
        description="A variable of the run, group.variable; with variants variant/group.variable.",
        examples=["comparison.end_to_end_vs_layers"],
    )
    reduce: Literal["max", "min", "last", "first", "mean"] = Field(
        "max", description="How the variable becomes one number.", examples=["last"]
    )
    at: At | None = Field(
        None,
        description="Which entry to take before reducing.",
        examples=[{"step_size": 0.1}],
    )
    below: float | None = Field(None, description="It is below this number.", examples=[1e-6])
    above: float | None = Field(None, description="It is above this number.", examples=[0.5])
    equals: float | None = Field(
        None, description="It equals this number, give or take `within`.", examples=[1.0]
    )
    within: Positive | None = Field(
        None,
        description="How far `equals` and `order` may be missed, and by how much one value may go "
        "against a `trend`.",
        examples=[1e-3],
    )
    trend: Literal["decreasing", "increasing"] | None = Field(
        None,
        description="From each saved time to the next, it goes no other way than this one.",
        examples=["decreasing"],
    )
    order: float | None = Field(
        None,
        description="Over the step sizes η, it goes as this power of η, give or take `within`.",
        examples=[1.0],
    )
    below_quantity: str | None = Field(
        None, description="It is below this variable, reduced alike.", examples=["layers.loss"]
    )
    above_quantity: str | None = Field(
        None, description="It is above this variable, reduced alike.", examples=["layers.loss"]
    )
