"""`[init]`: how the layers are initialized."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from flowsim.scenario.spec.forms import STRICT, Layers

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
