"""`[data]`: inputs and targets of a loss on data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowsim.scenario.spec.forms import Samples
from flowsim.scenario.spec.numbers import Size
from flowsim.scenario.spec.table import Table

DatasetName = Literal["digits", "diabetes", "iris", "wine", "breast_cancer", "linnerud"]


class Data(Table):
    """Inputs and targets; columns are samples."""

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
        description="The number of samples to use, drawn at random; all if left out.",
        examples=[1000],
    )
    held_out: float = Field(
        0.0, ge=0, lt=1, description="The fraction of samples kept for testing.", examples=[0.2]
    )

    def describe(self) -> str:
        """Return the row of the data in the summary table."""
        parts: list[str] = [self.dataset or "inputs and targets of its own"]
        parts += [word for word in ("standardize", "whiten") if getattr(self, word)]
        if self.samples is not None:
            parts.append(f"{self.samples} samples")
        if self.held_out:
            parts.append(f"{self.held_out:g} held out")
        return ", ".join(parts)
