"""The tables of a scenario file that say how it moves: `[flow]` and `[descent]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, FailFast, Field

from flowsim.scenario.forms import STRICT, Listed, Place, StepSizes
from flowsim.scenario.numeric import Momentum
from flowsim.scenario.sections import Positive, Size, unique

SMALLEST_RTOL = 100 * 2.0**-52
"""100 float64 eps: below it rounding, not the step size, makes the error."""


class Flow(BaseModel):
    """Gradient flow: how long, saved when, in which spaces, solved how."""

    model_config = STRICT

    horizon: Positive = Field(description="The time at which the flow ends.", examples=[6.0])
    samples: Annotated[int, Field(ge=2, le=10**15)] = Field(
        200, description="How many times are saved, both ends included.", examples=[200]
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
        tuple[Literal["layers", "end_to_end", "spectral", "modes"], ...],
        Listed,
        FailFast(),
        Field(min_length=1, max_length=100),
        AfterValidator(unique),
    ] = Field(
        ("layers", "end_to_end"),
        description="Which flows are solved: of the layers; of the end-to-end matrix, by its "
        "entries, by a graded factorization that keeps every singular value (spectral), or by "
        "modes that do not turn (modes).",
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
        description="Absolute tolerance; rtol × the scale of the start, per layer, if left out.",
        examples=[1e-12],
    )
    max_steps: Size = Field(
        10_000_000, description="The largest number of steps of a flow.", examples=[10_000_000]
    )
    stop_at_loss: float | None = Field(
        None, description="A flow ends where its loss reaches this value.", examples=[1e-6]
    )
    weight_decay: float = Field(
        0.0, ge=0, description="λ in −λW_j, on flows and descent alike.", examples=[1e-3]
    )

    @property
    def first_saved_time(self) -> float:
        """The first saved time after 0 of log spacing, with its default horizon·1e-6."""
        return self.horizon * 1e-6 if self.first_time is None else self.first_time


AlgorithmName = Literal["gradient", "nesterov", "midpoint", "heun", "rk4", "adagrad", "adadelta"]
"""As in `flowsim.dynamics.rules`."""

ADAPTIVE = ("adagrad", "adadelta")
"""Algorithms that optax brings; η is no time in them."""


class Descent(BaseModel):
    """Descent from the same start, at each step size."""

    model_config = STRICT

    step_sizes: StepSizes = Field(
        description="Step sizes η, or a set of them; iterate k is compared with the flow at time "
        "kη.",
        examples=[[0.4, 0.1]],
    )
    algorithm: AlgorithmName = Field(
        "gradient",
        description="gradient descent, nesterov, Runge-Kutta's midpoint, heun or rk4, or "
        "adagrad or adadelta, which optax brings.",
        examples=["nesterov"],
    )
    momentum: Momentum = Field(
        0.0,
        description="μ of the heavy ball (gradient) or of nesterov, which also takes increasing.",
        examples=[0.9],
    )
    precision: Literal["float64", "float32"] = Field(
        "float64", description="float32 exposes rounding.", examples=["float32"]
    )
    batch: Size | None = Field(
        None,
        description="How many samples, measurements or observed entries a step goes by, drawn "
        "without replacement, anew at every step; all if left out.",
        examples=[16],
    )
    label_noise: Positive | None = Field(
        None,
        description="The standard deviation of Gaussian noise on the labels, drawn anew at every "
        "step.",
        examples=[0.5],
    )

    @property
    def noisy(self) -> bool:
        """Whether the gradient is an estimate that is drawn anew at every step."""
        return self.batch is not None or self.label_noise is not None

    @property
    def follows_flow(self) -> bool:
        """Whether iterate k is compared with the flow at time kη."""
        return self.algorithm not in ADAPTIVE and self.momentum != "increasing"

    @property
    def plain(self) -> bool:
        """Whether it is gradient descent without momentum or noise in double precision."""
        usual = (self.algorithm, self.momentum, self.precision) == ("gradient", 0, "float64")
        return usual and not self.noisy

    @property
    def written(self) -> tuple[float, ...]:
        """The step sizes in the unit in which they are written."""
        return self.step_sizes if isinstance(self.step_sizes, tuple) else self.step_sizes.values

    @property
    def relative_to(self) -> Place | None:
        """Where 2/sharpness is their unit, or None where the unit is 1."""
        return None if isinstance(self.step_sizes, tuple) else self.step_sizes.relative_to

    @property
    def sizes(self) -> tuple[float, ...]:
        """The step sizes η.

        Raises
        ------
        ValueError
            If they are relative to a sharpness, which is only known of the problem.

        """
        if self.relative_to is not None:
            raise ValueError(f"Step sizes are relative to the sharpness at {self.relative_to}.")
        return self.written

    def most_iterations(self, horizon: float) -> int:
        """Return how many iterations the smallest step size takes to the horizon."""
        return round(horizon / min(self.sizes))
