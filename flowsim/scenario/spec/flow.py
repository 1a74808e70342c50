"""`[flow]`: gradient flow, its final time, its saved times and its integration."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    FailFast,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from flowsim.dynamics.registry import FlowName
from flowsim.problem.limits import LARGEST_RATE
from flowsim.scenario.spec.forms import Listed
from flowsim.scenario.spec.numbers import Positive, Size, Vector, unique
from flowsim.scenario.spec.stop import Stop, StopAt
from flowsim.scenario.spec.table import Table

SMALLEST_TIME = 1e-290
"""Smallest saved time: near 2.2e-308 differences lose their digits."""

CLOSEST = 1e-15
"""Least difference of saved times, relative to the last one: a few roundings."""

SMALLEST_RTOL = 100 * 2.0**-52
"""100 float64 eps: below it rounding, not the step size, makes the error."""


EXCLUSIVE = ("horizon", "samples", "spacing", "first_time")
"""Keys that give the saved times where `times` does not."""


def saved_times(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return the values if they are times that increase from 0."""
    if len(values) < 2 or values[0] != 0:
        raise ValueError("must be two or more times, of which the first is 0; write [0.0, 1.0]")
    if values[-1] < SMALLEST_TIME:
        raise ValueError(f"ends at {values[-1]}, too small for times to differ; write a larger one")
    for before, after in pairwise(values):
        # neighbours must differ by a few roundings of the last time
        if after - before < CLOSEST * values[-1]:
            raise ValueError(
                f"holds {after} after {before}; write times that increase, by {CLOSEST:g} of the "
                "last one at least"
            )
    return values


def _one_way(schema: dict[str, Any]) -> None:
    """Let a JSON Schema require one of the two ways to give the saved times."""
    schema["required"].remove("horizon")
    if not schema["required"]:
        del schema["required"]
    schema["anyOf"] = [{"required": ["horizon"]}, {"required": ["times"]}]


class Flow(Table):
    """Gradient flow: its final time, saved times, formulations, method and tolerances.

    With `times` the horizon is the last of them, and `samples` is their number.
    """

    model_config = ConfigDict(json_schema_extra=_one_way)

    horizon: Positive = Field(description="The final time T.", examples=[6.0])
    samples: Annotated[int, Field(ge=2, le=10**15)] = Field(
        200, description="The number of saved times, both ends included.", examples=[200]
    )
    spacing: Literal["linear", "log"] = Field(
        "linear",
        description="Saved times: equally spaced, or 0 and then geometric up to the horizon.",
        examples=["log"],
    )
    first_time: Positive | None = Field(
        None,
        description="The first saved time after 0 of spacing log; horizon·1e-6 if left out.",
        examples=[1e-3],
    )
    times: Annotated[Vector, AfterValidator(saved_times)] | None = Field(
        None,
        description="The saved times, in place of horizon, samples, spacing and first_time.",
        examples=[[0.0, 0.1, 1.0, 6.0]],
    )
    spaces: Annotated[
        tuple[FlowName, ...],
        Listed,
        FailFast(),
        Field(min_length=1, max_length=100),
        AfterValidator(unique),
    ] = Field(
        ("layers", "end_to_end"),
        description="The formulations that are solved: the layers, or the end-to-end matrix by its "
        "entries, by a graded factorization with accurate singular values (spectral), or by modes "
        "with fixed singular vectors (modes).",
        examples=[["layers", "end_to_end"]],
    )
    method: Literal[
        "auto", "tsit5", "dopri5", "dopri8", "rkc2", "rock4", "kvaerno5", "rodas4", "rodas5p"
    ] = Field(
        "auto",
        description="The integrator; the last five are for stiff flows.",
        examples=["tsit5"],
    )
    rtol: float = Field(
        1e-8, ge=SMALLEST_RTOL, le=0.1, description="Relative tolerance.", examples=[1e-8]
    )
    atol: Positive | None = Field(
        None,
        description="Absolute tolerance; rtol × the scale at initialization, per layer, if left "
        "out.",
        examples=[1e-12],
    )
    max_steps: Size = Field(
        10_000_000, description="The largest number of steps per solution.", examples=[10_000_000]
    )
    stop: Stop | None = Field(
        None,
        description="Each solution ends where it reaches one of these values, or, if "
        '"converged", where its loss is at its minimum.',
        examples=[{"gradient_norm": 1e-6}],
    )
    stop_at_loss: float | None = Field(
        None, description="Shorthand for stop = { loss = … }.", examples=[1e-6]
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=LARGEST_RATE,
        description="λ in the term −λW_j of both flows and gradient descent.",
        examples=[1e-3],
    )

    @model_validator(mode="before")
    @classmethod
    def _with_end_of_times(cls, data: Any) -> Any:
        """Return the keys with the horizon and the number of samples that `times` gives."""
        if not isinstance(data, Mapping) or data.get("times") is None:
            return data
        times = data["times"] if isinstance(data["times"], list | tuple) else ()
        number = times and type(times[-1]) in (int, float) and times[-1] > 0
        # where the times are invalid, numbers that are valid: nothing else is wrong
        given = {"horizon": times[-1] if number else 1.0, "samples": max(2, len(times))}
        return given | dict(data)

    @model_serializer(mode="wrap")
    def _without_end_of_times(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the keys as a file gives them: with `times`, without those that they replace."""
        data: dict[str, Any] = written(self)
        if data.get("times") is not None:
            data = {key: value for key, value in data.items() if key not in EXCLUSIVE}
        return data

    @property
    def has_log_times(self) -> bool:
        """Whether the saved times are dense near 0, so that a logarithmic axis suits."""
        if self.times is None:
            return self.spacing == "log"
        early = sum(time < 0.1 * self.horizon for time in self.times)
        return 2 * early > len(self.times)

    @property
    def first_saved_time(self) -> float:
        """The first saved time after 0 of log spacing, by default 1e-6 of the final time."""
        return self.horizon * 1e-6 if self.first_time is None else self.first_time

    @property
    def stop_values(self) -> dict[str, float]:
        """The values at which a flow ends, by name."""
        return self.stop.values if isinstance(self.stop, StopAt) else {}

    def describe(self) -> str:
        """Return the row of the flow in the summary table."""
        stop = f", until {self.stop.describe()}" if isinstance(self.stop, StopAt) else ""
        stop = ", until converged" if self.stop == "converged" else stop
        decay = f", weight decay {self.weight_decay:g}" if self.weight_decay else ""
        spacing = self.spacing if self.times is None else "given"
        return (
            f"{' and '.join(self.spaces)} to time {self.horizon:g}, {self.samples} {spacing} "
            f"times, {self.method}, rtol {self.rtol:g}{decay}{stop}"
        )
