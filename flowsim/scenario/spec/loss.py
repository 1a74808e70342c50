"""`[loss]`: the loss ℓ(W) of the end-to-end matrix."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from flowsim.scenario.spec.forms import STRICT, Observed, Target
from flowsim.scenario.spec.numbers import Size

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
