"""`[loss]`: the traits of a loss ℓ(W) of the end-to-end matrix, and the losses of a matrix Φ.

A model holds the options of its kind and its traits, which are all that other modules ask of it. A
new loss is a class in `flowsim.problem.losses`, a model of the same name here or, for a loss on
data, in `flowsim.scenario.spec.data`, and its name in `AnyLoss` there.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from flowsim.scenario.spec.forms import (
    Count,
    Fraction,
    Observed,
    RankNorm,
    Spectrum,
    Target,
)
from flowsim.scenario.spec.numbers import Seed, Size, seed_row
from flowsim.scenario.spec.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowsim.problem import losses
    from flowsim.problem.problem import Problem
    from flowsim.problem.types import Array
    from flowsim.scenario.build.loss_data import LossData

Shape = tuple[int, int]

Trait = Literal[
    "on_data", "classifies", "sampled", "labelled", "partial_target", "minimized_by_target",
    "unbounded", "quadratic", "on_layers",
]  # fmt: skip
"""Properties of losses that rules and diagnostics ask for.

on_data
    ℓ is a mean over the samples of `[data]`.
classifies
    The targets are classes.
sampled
    ℓ is a sum or mean over samples, of which descent can draw batches.
labelled
    ℓ has real-valued labels, to which descent can add Gaussian noise.
partial_target
    ℓ depends on some entries, or on linear combinations, of a target alone.
minimized_by_target
    The target Φ minimizes ℓ.
unbounded
    ℓ has no infimum above −∞.
quadratic
    ℓ has a minimum and a gradient that is linear in W.
on_layers
    A function of the layers is added to ℓ, so that the loss is no function of W.
"""


class Loss(Table):
    """The traits of a loss, and what they are for most kinds."""

    kind: str

    traits: ClassVar[frozenset[Trait]] = frozenset()
    """Properties that ℓ has for all values of its options."""
    samples_name: ClassVar[str] = "samples to train on"
    """What the samples are that batches are drawn of, in words."""

    def has(self, trait: Trait) -> bool:
        """Return whether ℓ has a property."""
        return trait in self.traits

    @property
    def problem(self) -> Problem | None:
        """The problem from Python whose loss it describes, if it is not written out."""
        return None

    @property
    def quadratic(self) -> bool:
        """Whether ℓ has a minimum and a gradient that is linear in W."""
        return self.has("quadratic")

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
    def arrays(self, data: LossData) -> tuple[Array, ...]:
        """Return the arrays that the loss is built from."""

    def build(self, data: LossData) -> losses.Loss:
        """Return the loss ℓ(W), of the class in `flowsim.problem.losses` with the same name."""
        from flowsim.problem import losses

        build: Callable[..., losses.Loss] = getattr(losses, type(self).__name__)
        return build(*self.arrays(data))

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
    seed: Seed | None = Field(
        None,
        description="Draws the target and what is measured of it in place of the scenario's seed.",
        examples=[1],
    )

    traits = frozenset({"labelled", "minimized_by_target", "quadratic"})

    @property
    def draws(self) -> bool:
        """Whether anything of it is drawn at random: here Φ or its singular vectors."""
        return isinstance(self.target, RankNorm | Spectrum)

    def arrays(self, data: LossData) -> tuple[Array, ...]:
        """Return Φ."""
        return (data.target(self.target),)

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        form = self.target
        target = (
            f"{len(form)} × {len(form[0])} as written"
            if isinstance(form, tuple)
            else form.describe()
        )
        return ", ".join([self.label, f"target {target}", *seed_row(self.seed)])


class Linear(MatrixLoss):
    """The inner product with a matrix Φ, of constant gradient and without a minimum."""

    kind: Literal["linear"] = Field(description="ℓ(W) = −⟨Φ, W⟩", examples=["linear"])

    traits = frozenset({"unbounded"})

    @property
    def has_directions(self) -> bool:
        """True: the singular vectors of Φ."""
        return True


class Squared(MatrixLoss):
    """Half the squared Frobenius distance from a target Φ."""

    kind: Literal["squared"] = Field(description="ℓ(W) = ½‖W − Φ‖²_F", examples=["squared"])


class Completion(MatrixLoss):
    """Matrix completion: the squared distance from a target Φ over its observed entries."""

    kind: Literal["completion"] = Field(
        description="ℓ(W) = ½ Σ_observed (W_ij − Φ_ij)²", examples=["completion"]
    )
    observed: Observed = Field(
        description="The observed entries: an array of 0 and 1, a count or a fraction.",
        examples=[{"fraction": 0.4}],
    )

    traits = MatrixLoss.traits | {"sampled", "partial_target"}
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

    @property
    def draws(self) -> bool:
        """Whether Φ or the observed entries are drawn at random."""
        return super().draws or isinstance(self.observed, Count | Fraction)

    def arrays(self, data: LossData) -> tuple[Array, ...]:
        """Return Φ and the matrix that is 1 at observed entries, else 0."""
        return (*super().arrays(data), data.observed(self.observed))

    def build_sampled(self, data: LossData) -> losses.Loss:
        """Return the loss as a sum over the observed entries."""
        from flowsim.problem.losses import Completion, Entries

        return Entries.of(Completion(*self.arrays(data)))

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

    traits = MatrixLoss.traits | {"sampled", "partial_target"}
    samples_name = "measurements"

    @property
    def draws(self) -> bool:
        """True: the measurement matrices are."""
        return True

    @property
    def sensing_matrices(self) -> int:
        """The number of measurement matrices A_i."""
        return self.measurements

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        return f"{super().describe()}, {self.measurements} measurements"

    def arrays(self, data: LossData) -> tuple[Array, ...]:
        """Return Φ and Gaussian A_i."""
        return (*super().arrays(data), data.measurements(self.measurements))

    def sample_count(self, shape: Shape, trained: int) -> int:  # noqa: ARG002
        """Return the number of measurements."""
        return self.measurements

    def label_count(self, shape: Shape) -> int:  # noqa: ARG002
        """Return the number of measurements, each of which has one label."""
        return self.measurements
