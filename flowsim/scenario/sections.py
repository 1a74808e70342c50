"""The tables of a scenario file that say what is simulated, but how it moves, one model each.

A model knows the type and the range of each of its keys. What keys must fit together, within a
table and across tables, is said in `flowsim.scenario.checks`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, FailFast, Field

from flowsim.scenario.forms import (
    STRICT,
    Layers,
    Listed,
    Observed,
    Samples,
    Target,
)

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
