"""The tables of a scenario file that say what is simulated, one model each.

A model knows the type and the range of each of its keys. What keys must fit together, within a
table and across tables, is said in `flowsim.scenario.checks`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, FailFast, Field

from flowsim.scenario.forms import (
    STRICT,
    Layers,
    Listed,
    Observed,
    Place,
    Samples,
    StepSizes,
    Target,
)
from flowsim.scenario.numeric import Momentum

SMALLEST_RTOL = 100 * 2.0**-52
"""100 float64 eps: below it rounding, not the step size, makes the error."""

Size = Annotated[int, Field(ge=1, le=10**15)]
Positive = Annotated[float, Field(gt=0)]


def unique(values: tuple[object, ...]) -> tuple[object, ...]:
    """Return the values if none is named twice."""
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"names {twice[0]} twice; write each once")
    return values


class Network(BaseModel):
    """A linear network: layers W_j of shape d_j × d_{j-1}."""

    model_config = STRICT

    widths: Annotated[
        tuple[Size, ...], Listed, FailFast(), Field(min_length=2, max_length=10_001)
    ] = Field(
        description="Widths d_0 (inputs), hidden ones, … d_N (outputs).", examples=[[4, 6, 5, 3]]
    )

    @property
    def depth(self) -> int:
        """The number N of layers."""
        return len(self.widths) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """The shape d_N × d_0 of the end-to-end matrix."""
        return self.widths[-1], self.widths[0]

    @property
    def weights(self) -> int:
        """The number Σ d_j d_{j-1} of entries of all layers."""
        return sum(a * b for a, b in pairwise(self.widths))

    @property
    def modes(self) -> int:
        """The number min(d_0, d_N) of singular values of the end-to-end matrix."""
        return min(self.shape)


LossKind = Literal[
    "linear", "squared", "completion", "sensing", "regression", "logistic", "cross_entropy"
]


class Loss(BaseModel):
    """The loss ℓ(W) of the end-to-end matrix."""

    model_config = STRICT

    kind: LossKind = Field(
        description="linear −⟨Φ, W⟩; squared ½‖W − Φ‖²; completion ½ Σ_observed (W_ij − Φ_ij)²; "
        "sensing ½ Σ (⟨A_i, W⟩ − b_i)²; regression 1/(p·m) Σ |W X − Y|^p; "
        "logistic 1/m Σ log(1 + e^(−y w x)); cross_entropy 1/m Σ softmax cross-entropy.",
        examples=["squared"],
    )
    p: float | None = Field(
        None, ge=1, description="The power of the regression loss; 2 if left out.", examples=[2.0]
    )
    target: Target | None = Field(
        None,
        description="The target Φ, d_N × d_0, of linear, squared, completion and sensing.",
        examples=[[[1.0, 0.0], [0.0, 1.0]]],
    )
    observed: Observed | None = Field(
        None,
        description="Which entries completion observes: a 0/1 array, a count or a fraction.",
        examples=[{"fraction": 0.4}],
    )
    measurements: Size | None = Field(
        None,
        description="How many Gaussian matrices A_i, E‖A_i‖²_F = 1, sensing measures with.",
        examples=[600],
    )

    @property
    def power(self) -> float:
        """The power p of the regression loss, with its default."""
        return 2.0 if self.p is None else self.p


DatasetName = Literal["digits", "diabetes", "iris", "wine", "breast_cancer", "linnerud"]


class Data(BaseModel):
    """Inputs and targets; columns are samples."""

    model_config = STRICT

    inputs: Samples | None = Field(
        None, description="Inputs X, d_0 × m.", examples=[[[1.0, 2.0], [0.0, 1.0]]]
    )
    targets: Samples | None = Field(
        None,
        description="Targets Y, d_N × m; for logistic 1 × m of ±1, "
        "for cross_entropy 1 × m of classes from 0.",
        examples=[[[1.0, -1.0]]],
    )
    dataset: DatasetName | None = Field(
        None, description="A data set that comes with scikit-learn.", examples=["digits"]
    )
    standardize: bool = Field(
        False,
        description="Give each input row mean 0 and standard deviation 1 (constant rows 0), "
        "and each target row too for regression on real targets.",
        examples=[True],
    )
    whiten: bool = Field(
        False, description="Make XXᵀ/m the identity on its range.", examples=[True]
    )
    samples: Size | None = Field(
        None,
        description="How many samples to use, drawn at random; all if left out.",
        examples=[1000],
    )
    held_out: float = Field(
        0.0, ge=0, lt=1, description="The share of samples kept for testing.", examples=[0.2]
    )


InitKind = Literal[
    "explicit", "balanced", "gaussian", "xavier", "orthogonal", "identity", "aligned",
    "lambda_balanced",
]  # fmt: skip


class Init(BaseModel):
    """The starting layers."""

    model_config = STRICT

    kind: InitKind = Field(description="How the layers are drawn.", examples=["balanced"])
    scale: Annotated[float, Field(ge=1e-150)] | None = Field(
        None,
        description="The scale of the end-to-end matrix at the start, "
        "for all kinds but explicit and xavier.",
        examples=[1e-3],
    )
    imbalance: float | None = Field(
        None,
        description="λ in W_{j+1}ᵀW_{j+1} − W_jW_jᵀ = λI, for lambda_balanced.",
        examples=[0.5],
    )
    noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of Gaussian noise added to every entry of every layer.",
        examples=[1e-6],
    )
    layers: Layers | None = Field(
        None,
        description="W_1 … W_N for explicit: an array of matrices, or a .npz file with arrays "
        "named W_1 … W_N.",
        examples=[[[[0.1, 0.0], [0.0, 0.1]]]],
    )


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
