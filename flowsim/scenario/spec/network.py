"""`[network]`: the widths of a linear network."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, FailFast, Field

from flowsim.scenario.spec.forms import STRICT, Listed
from flowsim.scenario.spec.numbers import Size


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
