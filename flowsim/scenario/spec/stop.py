"""`flow.stop`: where a flow ends before its final time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from flowsim.scenario.spec.errors import format_value
from flowsim.scenario.spec.numbers import Positive
from flowsim.scenario.spec.table import Table


class StopAt(Table):
    """Values at which a flow ends, the first that is reached."""

    loss: float | None = Field(None, description="A value of the loss.", examples=[1e-6])
    gradient_norm: Positive | None = Field(
        None, description="A value of ‖∇ℓ(W)‖_F.", examples=[1e-6]
    )
    distance: Positive | None = Field(
        None, description="A distance ‖W − Φ‖_F from the target.", examples=[1e-3]
    )
    held_out_loss: float | None = Field(
        None, description="A value of the loss on held-out samples.", examples=[0.1]
    )
    effective_rank: float | None = Field(
        None, ge=1, description="A value of the effective rank, from either side.", examples=[1.5]
    )

    @model_validator(mode="after")
    def _names_one(self) -> StopAt:
        if not self.values:
            raise ValueError("is empty; write { gradient_norm = 1e-6 }")
        return self

    @property
    def values(self) -> dict[str, float]:
        """The values that are given, by name."""
        return self.model_dump(exclude_none=True)

    def describe(self) -> str:
        """Return the criteria in words."""
        return " or ".join(f"{name} {value:g}" for name, value in self.values.items())


def _known(value: object) -> object:
    """Return the one word that is known."""
    if value != "converged":
        required = '"converged" or a table such as { gradient_norm = 1e-6 } is required'
        raise ValueError(f"is {format_value(value)}, but {required}")
    return value


def _form(value: Any) -> str:
    return "<StopAt>" if isinstance(value, dict | StopAt) else "<word>"


Stop = Annotated[
    Annotated[Literal["converged"], BeforeValidator(_known), Tag("<word>")]
    | Annotated[StopAt, Tag("<StopAt>")],
    Discriminator(_form),
]
