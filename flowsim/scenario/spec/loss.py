"""`[loss]`: the loss ℓ(W) of the end-to-end matrix, one model per kind.

A model holds the options of its kind and its traits, which are all that other modules ask of it. A
new loss is a class in `flowsim.problem.losses` and a model here, added to `AnyLoss`.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Discriminator, Field

from flowsim.scenario.spec.forms import Count, Fraction, Observed, Target
from flowsim.scenario.spec.numbers import Size
from flowsim.scenario.spec.table import Table, by_kind

if TYPE_CHECKING:
    import numpy as np

    from flowsim.problem import losses
    from flowsim.scenario.build.loss_data import LossData

Shape = tuple[int, int]


class Loss(Table):
    """The traits of a loss, and what they are for most kinds."""

    kind: str

    on_data: ClassVar[bool] = False
    """Whether ℓ is a mean over the samples of `[data]`."""
    classifies: ClassVar[bool] = False
    """Whether the targets are classes."""
    sampled: ClassVar[bool] = False
    """Whether ℓ is a sum or mean over samples, of which descent can draw batches."""
    samples_name: ClassVar[str] = "samples to train on"
    """What these samples are, in words."""
    labelled: ClassVar[bool] = False
    """Whether ℓ has real-valued labels, to which descent can add Gaussian noise."""
    partial_target: ClassVar[bool] = False
    """Whether ℓ depends on some entries, or on linear combinations, of a target alone."""
    minimized_by_target: ClassVar[bool] = False
    """Whether the target Φ minimizes ℓ."""
    bounded_below: ClassVar[bool] = True
    """Whether ℓ has an infimum above −∞."""

    @property
    def quadratic(self) -> bool:
        """Whether ℓ has a minimum and a gradient that is linear in W."""
        return False

    @property
    def differentiable(self) -> bool:
        """Whether ∇ℓ exists everywhere."""
        return True

    @property
    def has_directions(self) -> bool:
        """Whether ℓ has a matrix whose singular vectors an aligned initialization can take."""
        return self.quadratic

    @property
    def sensing_matrices(self) -> int:
        """The number of measurement matrices A_i."""
        return 0

    @property
    def label(self) -> str:
        """The name in tables and pictures."""
        return self.kind.replace("_", "-")

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        return self.label

    @abc.abstractmethod
    def build(self, data: LossData) -> losses.Loss:
        """Return the loss ℓ(W)."""

    def build_sampled(self, data: LossData) -> losses.Loss:
        """Return the loss as a sum over samples, of which batches can be drawn."""
        return self.build(data)

    def sample_count(self, shape: Shape, trained: int) -> int:  # noqa: ARG002
        """Return the number of samples for W of this shape, given that of `[data]`."""
        return trained

    def label_count(self, shape: Shape) -> int:
        """Return how many labels receive noise at a step that uses all samples."""
        return shape[0] * shape[1]

    def labels_per_sample(self, shape: Shape) -> int:  # noqa: ARG002
        """Return how many labels a sample has."""
        return 1


class MatrixLoss(Loss):
    """A loss that is given by a matrix Φ."""

    target: Target = Field(
        description="The target Φ, d_N × d_0.", examples=[[[1.0, 0.0], [0.0, 1.0]]]
    )

    labelled = True
    minimized_by_target = True

    @property
    def quadratic(self) -> bool:
        """True: the gradient is linear in W − Φ."""
        return True

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        form = self.target
        target = (
            f"{len(form)} × {len(form[0])} as written"
            if isinstance(form, tuple)
            else form.describe()
        )
        return f"{self.label}, target {target}"


class Linear(MatrixLoss):
    """The inner product with a matrix Φ, of constant gradient and without a minimum."""

    kind: Literal["linear"] = Field(description="ℓ(W) = −⟨Φ, W⟩", examples=["linear"])

    labelled = minimized_by_target = bounded_below = False

    @property
    def quadratic(self) -> bool:
        """False: there is no minimum."""
        return False

    @property
    def has_directions(self) -> bool:
        """True: the singular vectors of Φ."""
        return True

    def build(self, data: LossData) -> losses.Loss:
        """Return ℓ(W) = −⟨Φ, W⟩."""
        from flowsim.problem import losses

        return losses.Linear(data.target(self.target))


class Squared(MatrixLoss):
    """Half the squared Frobenius distance from a target Φ."""

    kind: Literal["squared"] = Field(description="ℓ(W) = ½‖W − Φ‖²_F", examples=["squared"])

    def build(self, data: LossData) -> losses.Loss:
        """Return ℓ(W) = ½‖W − Φ‖²_F."""
        from flowsim.problem import losses

        return losses.Squared(data.target(self.target))


class Completion(MatrixLoss):
    """Matrix completion: the squared distance from a target Φ over its observed entries."""

    kind: Literal["completion"] = Field(
        description="ℓ(W) = ½ Σ_observed (W_ij − Φ_ij)²", examples=["completion"]
    )
    observed: Observed = Field(
        description="The observed entries: an array of 0 and 1, a count or a fraction.",
        examples=[{"fraction": 0.4}],
    )

    sampled = partial_target = True
    samples_name = "observed entries"

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        form = self.observed
        observed = (
            f"{sum(map(sum, form))} entries as written"
            if isinstance(form, tuple)
            else form.describe()
        )
        return f"{super().describe()}, observed {observed}"

    def build(self, data: LossData) -> losses.Completion:
        """Return ℓ(W) = ½ Σ_observed (W_ij − Φ_ij)²."""
        from flowsim.problem import losses

        return losses.Completion(data.target(self.target), data.observed(self.observed))

    def build_sampled(self, data: LossData) -> losses.Loss:
        """Return the loss as a sum over the observed entries."""
        from flowsim.problem.losses import Entries

        return Entries.of(self.build(data))

    def sample_count(self, shape: Shape, trained: int) -> int:  # noqa: ARG002
        """Return the number of observed entries."""
        match self.observed:
            case Count(count=count):
                return count
            case Fraction(fraction=fraction):
                # as drawn in `build.loss_data`
                return max(1, round(fraction * shape[0] * shape[1]))
            case rows:
                return sum(map(sum, rows))


class Sensing(MatrixLoss):
    """Matrix sensing: squared residuals of random linear measurements of a target Φ."""

    kind: Literal["sensing"] = Field(description="ℓ(W) = ½ Σ_i ⟨A_i, W − Φ⟩²", examples=["sensing"])
    measurements: Size = Field(
        description="The number of Gaussian measurement matrices A_i, E‖A_i‖²_F = 1.",
        examples=[600],
    )

    sampled = partial_target = True
    samples_name = "measurements"

    @property
    def sensing_matrices(self) -> int:
        """The number of measurement matrices A_i."""
        return self.measurements

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        return f"{super().describe()}, {self.measurements} measurements"

    def build(self, data: LossData) -> losses.Loss:
        """Return ℓ(W) = ½ Σ_i ⟨A_i, W − Φ⟩² with Gaussian A_i."""
        from flowsim.problem import losses

        return losses.Sensing(data.target(self.target), data.measurements(self.measurements))

    def sample_count(self, shape: Shape, trained: int) -> int:  # noqa: ARG002
        """Return the number of measurements."""
        return self.measurements

    def label_count(self, shape: Shape) -> int:  # noqa: ARG002
        """Return the number of measurements, each of which has one label."""
        return self.measurements


class DataLoss(Loss):
    """A mean over the samples of `[data]`."""

    on_data = sampled = True

    classes: ClassVar[tuple[int, int]] = (0, 0)
    """The least and the largest number of classes; (0, 0) where targets may be real."""
    needs: ClassVar[str] = ""
    """What the loss needs of a bundled data set, in words."""

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

    labelled = True

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

    classifies = True
    classes = (2, 2)
    needs = "two classes"

    def build(self, data: LossData) -> losses.Loss:
        """Return ℓ(w) = 1/m Σ log(1 + e^(−y w x))."""
        from flowsim.problem import losses

        return losses.Logistic(*data.arrays)

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

    classifies = True
    classes = (2, 10**9)
    needs = "classes"

    def build(self, data: LossData) -> losses.Loss:
        """Return ℓ(W) = 1/m Σ −log softmax(W x)_class."""
        from flowsim.problem import losses

        return losses.CrossEntropy(data.arrays[0], data.class_numbers)

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
    Linear | Squared | Completion | Sensing | Regression | Logistic | CrossEntropy,
    Discriminator("kind"),
]
LOSSES: dict[str, type[Loss]] = by_kind(AnyLoss)
"""The models of all losses by kind."""


def kinds_with(trait: str) -> list[str]:
    """Return the kinds of losses that have a trait."""
    return [kind for kind, loss in LOSSES.items() if getattr(loss, trait)]
