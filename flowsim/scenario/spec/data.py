"""`[data]`: inputs and targets; and the losses on them, one model per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Discriminator, Field

from flowsim.scenario.spec.forms import Samples
from flowsim.scenario.spec.loss import (
    Completion,
    Linear,
    Loss,
    Sensing,
    Shape,
    Squared,
    Trait,
)
from flowsim.scenario.spec.numbers import Seed, Size, seed_row
from flowsim.scenario.spec.python import PythonLoss
from flowsim.scenario.spec.table import Table, by_kind

if TYPE_CHECKING:
    import numpy as np

    from flowsim.problem import losses
    from flowsim.problem.types import Array
    from flowsim.scenario.build.loss_data import LossData

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
    seed: Seed | None = Field(
        None,
        description="Draws which samples are used and held out in place of the scenario's seed.",
        examples=[1],
    )

    @property
    def draws(self) -> bool:
        """Whether anything of it is drawn at random."""
        return self.samples is not None or self.held_out > 0

    def describe(self) -> str:
        """Return the row of the data in the summary table."""
        parts: list[str] = [self.dataset or "inputs and targets of its own"]
        parts += [word for word in ("standardize", "whiten") if getattr(self, word)]
        if self.samples is not None:
            parts.append(f"{self.samples} samples")
        if self.held_out:
            parts.append(f"{self.held_out:g} held out")
        return ", ".join([*parts, *seed_row(self.seed)])


class DataLoss(Loss):
    """A mean over the samples of `[data]`."""

    traits = frozenset({"on_data", "sampled"})

    classes: ClassVar[tuple[int, int]] = (0, 0)
    """The least and the largest number of classes; (0, 0) where targets may be real."""
    needs: ClassVar[str] = ""
    """What the loss needs of a bundled data set, in words."""

    def arrays(self, data: LossData) -> tuple[Array, ...]:
        """Return X and Y."""
        return data.arrays

    def accepts(self, classes: int) -> bool:
        """Return whether a data set with this number of classes (0: real targets) can be used."""
        least, most = self.classes
        return most == 0 or least <= classes <= most

    def target_rows(self, outputs: int) -> int:  # noqa: ARG002
        """Return the number of rows of the targets for this number of outputs."""
        return 1

    def wrong_outputs(self, outputs: int) -> str:  # noqa: ARG002
        """Return the reason why a network cannot have this number of outputs, or ""."""
        return ""

    def wrong_label(self, label: float, outputs: int) -> str:  # noqa: ARG002
        """Return the reason why a target cannot have this value, or ""."""
        return ""

    def outputs(self, classes: int, rows: int) -> int:
        """Return the number of outputs for a data set of these classes, or rows of targets."""
        return classes or rows

    def encode(self, classes: np.ndarray) -> np.ndarray:
        """Return targets for classes 0, 1, …: by default one-hot columns."""
        import numpy as np

        return np.eye(classes.max() + 1)[:, classes]


class Regression(DataLoss):
    """The mean p-th power of the errors of predictions W X of targets Y; p = 2: least squares."""

    kind: Literal["regression"] = Field(
        description="ℓ(W) = 1/(p·m) Σ |W X − Y|^p", examples=["regression"]
    )
    p: float | None = Field(
        None, ge=1, description="The power p of the errors; 2 if left out.", examples=[2.0]
    )

    traits = DataLoss.traits | {"labelled"}

    @property
    def power(self) -> float:
        """The power p, with its default 2."""
        return 2.0 if self.p is None else self.p

    @property
    def quadratic(self) -> bool:
        """Whether p = 2."""
        return self.power == 2

    @property
    def differentiable(self) -> bool:
        """Whether p > 1."""
        return self.power > 1

    @property
    def label(self) -> str:
        """The name with the power p."""
        return f"regression, p = {self.power:g}"

    def build(self, data: LossData) -> losses.Loss:
        """Return ℓ(W) = 1/(p·m) Σ |W X − Y|^p, compressed to the size of W for p = 2."""
        from flowsim.problem import losses

        if self.quadratic:
            # least squares depend on the samples through XXᵀ, YXᵀ and ‖Y‖² alone
            return losses.LeastSquares.from_data(*data.samples)
        return self.build_sampled(data)

    def build_sampled(self, data: LossData) -> losses.Loss:
        """Return the loss with all samples, for any p."""
        from flowsim.problem import losses

        return losses.PowerRegression(*data.arrays, self.power)

    def target_rows(self, outputs: int) -> int:
        """Return one row per output."""
        return outputs

    def labels_per_sample(self, shape: Shape) -> int:
        """Return one label per output."""
        return shape[0]


class Logistic(DataLoss):
    """The logistic loss of one output and labels ±1."""

    kind: Literal["logistic"] = Field(
        description="ℓ(w) = 1/m Σ log(1 + e^(−y w x))", examples=["logistic"]
    )

    traits = DataLoss.traits | {"classifies"}
    classes = (2, 2)
    needs = "two classes"

    def wrong_outputs(self, outputs: int) -> str:
        """Require one output."""
        text = f'end with {outputs}, but loss.kind = "logistic" needs one output; write d_N = 1'
        return "" if outputs == 1 else text

    def wrong_label(self, label: float, outputs: int) -> str:  # noqa: ARG002
        """Require labels −1 and +1."""
        text = f'holds {label}, but loss.kind = "logistic" needs −1 and +1; write these'
        return "" if label in (-1.0, 1.0) else text

    def outputs(self, classes: int, rows: int) -> int:  # noqa: ARG002
        """Return the one output."""
        return 1

    def encode(self, classes: np.ndarray) -> np.ndarray:
        """Return +1 for class 1 and −1 for class 0."""
        import numpy as np

        return np.where(classes == 1, 1.0, -1.0)[None, :]


class CrossEntropy(DataLoss):
    """The softmax cross-entropy with one output per class."""

    kind: Literal["cross_entropy"] = Field(
        description="ℓ(W) = 1/m Σ −log softmax(W x)_class", examples=["cross_entropy"]
    )

    traits = DataLoss.traits | {"classifies"}
    classes = (2, 10**9)
    needs = "classes"

    def arrays(self, data: LossData) -> tuple[Array, ...]:
        """Return X and the classes of the samples."""
        return data.arrays[0], data.class_numbers

    def wrong_outputs(self, outputs: int) -> str:
        """Require two outputs or more."""
        text = (
            f"end with {outputs}, but loss.kind = "
            '"cross_entropy" needs one output per class; write d_N ≥ 2'
        )
        return "" if outputs >= 2 else text

    def wrong_label(self, label: float, outputs: int) -> str:
        """Require the integers 0 … d_N − 1."""
        text = (
            f"holds {label}, but with {outputs} outputs the classes are the integers "
            f"0 … {outputs - 1}; write these"
        )
        return "" if label.is_integer() and 0 <= label < outputs else text

    def encode(self, classes: np.ndarray) -> np.ndarray:
        """Return the class numbers."""
        return classes[None, :].astype(float)


AnyLoss = Annotated[
    Linear | Squared | Completion | Sensing | Regression | Logistic | CrossEntropy | PythonLoss,
    Discriminator("kind"),
]
LOSSES: dict[str, type[Loss]] = by_kind(AnyLoss)
"""The models of all losses by kind."""


def kinds_with(trait: Trait) -> list[str]:
    """Return the kinds of losses that have a trait."""
    return [kind for kind, loss in LOSSES.items() if trait in loss.traits]
