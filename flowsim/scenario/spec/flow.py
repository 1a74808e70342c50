"""`[flow]`: gradient flow, its final time, its saved times and its integration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, FailFast, Field

from flowsim.dynamics.registry import FlowName
from flowsim.problem.limits import LARGEST_RATE
from flowsim.scenario.spec.forms import Listed
from flowsim.scenario.spec.numbers import Positive, Size, unique
from flowsim.scenario.spec.table import Table

SMALLEST_RTOL = 100 * 2.0**-52
"""100 float64 eps: below it rounding, not the step size, makes the error."""


class Flow(Table):
    """Gradient flow: its final time, saved times, formulations, method and tolerances."""

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
    stop_at_loss: float | None = Field(
        None, description="Each solution ends where its loss reaches this value.", examples=[1e-6]
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=LARGEST_RATE,
        description="λ in the term −λW_j of both flows and gradient descent.",
        examples=[1e-3],
    )

    @property
    def first_saved_time(self) -> float:
        """The first saved time after 0 of log spacing, by default 1e-6 of the final time."""
        return self.horizon * 1e-6 if self.first_time is None else self.first_time

    def describe(self) -> str:
        """Return the row of the flow in the summary table."""
        decay = f", weight decay {self.weight_decay:g}" if self.weight_decay else ""
        return (
            f"{' and '.join(self.spaces)} to time {self.horizon:g}, {self.samples} {self.spacing} "
            f"times, {self.method}, rtol {self.rtol:g}{decay}"
        )
