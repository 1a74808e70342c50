"""`[network]`: the widths of a linear network."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import FailFast, Field

from flowsim.scenario.spec.forms import Listed
from flowsim.scenario.spec.numbers import Size
from flowsim.scenario.spec.table import Table


class Network(Table):
    """A linear network: layers W_j of shape d_j × d_{j-1}."""

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

    def describe(self) -> str:
        """Return the row of the network in the summary table."""
        widths = [str(width) for width in self.widths]
        if len(widths) > 12:
            widths = [*widths[:6], "…", *widths[-5:]]
        return f"{' → '.join(widths)}, depth {self.depth}"
