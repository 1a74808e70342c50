"""`[[claims]]`: what a scenario shows, checked after every run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flowsim.scenario.spec.numbers import Index, Positive
from flowsim.scenario.spec.table import Table


class At(Table):
    """The entry of a variable that a claim is about."""

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


class Claim(Table):
    """What the scenario shows: a number computed from a variable, and its comparison."""

    quantity: str = Field(
        description="A variable of the run, group.variable; with variants variant/group.variable.",
        examples=["comparison.end_to_end_vs_layers"],
    )
    reduce: Literal["max", "min", "last", "first", "mean"] = Field(
        "max", description="How the variable becomes one number.", examples=["last"]
    )
    at: At | None = Field(
        None,
        description="The entry to select before reducing.",
        examples=[{"step_size": 0.1}],
    )
    below: float | None = Field(None, description="It is below this number.", examples=[1e-6])
    above: float | None = Field(None, description="It is above this number.", examples=[0.5])
    equals: float | None = Field(
        None, description="It equals this number up to `within`.", examples=[1.0]
    )
    within: Positive | None = Field(
        None,
        description="The tolerance of `equals` and `order`, and the largest step against a `trend` "
        "between two saved times.",
        examples=[1e-3],
    )
    trend: Literal["decreasing", "increasing"] | None = Field(
        None,
        description="It is monotone in this direction over the saved times.",
        examples=["decreasing"],
    )
    order: float | None = Field(
        None,
        description="It scales as this power of the step size η, up to `within`.",
        examples=[1.0],
    )
    below_quantity: str | None = Field(
        None, description="It is below this variable, reduced alike.", examples=["layers.loss"]
    )
    above_quantity: str | None = Field(
        None, description="It is above this variable, reduced alike.", examples=["layers.loss"]
    )

    @property
    def picks(self) -> list[tuple[str, float]]:
        """The dimensions along which the claim picks an entry, with the index or value."""
        return [] if self.at is None else [(d, x) for d, x in self.at if x is not None]

    @property
    def quantities(self) -> list[str]:
        """The paths of the variables that the claim compares."""
        paths = (self.quantity, self.below_quantity, self.above_quantity)
        return [path for path in paths if path is not None]

    @property
    def sentence(self) -> str:
        """The claim as a sentence without its full stop."""
        where = "".join(f" at {dimension} {value:.12g}" for dimension, value in self.picks)
        if self.trend is not None:
            # 12 digits show numbers as they were written, without their rounding in binary
            leeway = "" if self.within is None else f" within {self.within:.12g}"
            return f"{self.quantity}{where} is {self.trend}{leeway}"
        subject = f"{self.reduce} of {self.quantity}{where}"
        if self.order is not None:
            order = f"{self.order:.12g} in the step size within {self.within:.12g}"
            return f"{subject} is of order {order}"
        if self.equals is not None:
            return f"{subject} equals {self.equals:.12g} within {self.within:.12g}"
        if self.below is not None:
            return f"{subject} is below {self.below:.12g}"
        if self.above is not None:
            return f"{subject} is above {self.above:.12g}"
        if self.below_quantity is not None:
            return f"{subject} is below that of {self.below_quantity}"
        return f"{subject} is above that of {self.above_quantity}"
