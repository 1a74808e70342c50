"""A loss from Python, which a scenario describes but cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PrivateAttr

from flowsim.scenario.spec.errors import UnplacedError, mistake_at
from flowsim.scenario.spec.forms import Listed
from flowsim.scenario.spec.loss import Loss, Shape, Trait

if TYPE_CHECKING:
    from flowsim.problem import losses
    from flowsim.problem.problem import Problem
    from flowsim.problem.types import Array
    from flowsim.scenario.build.loss_data import LossData


class PythonLoss(Loss):
    """A loss from Python that no file can hold: described in words, and hashed.

    `flowsim.run` writes it for a problem whose loss is a function, or has a term on the layers.
    Only the scenario that it made has the problem; one that was read from a file cannot be built.
    """

    kind: Literal["python"] = Field(
        description="A loss from Python, described but not written out", examples=["python"]
    )
    description: str = Field(description="The loss in words.", examples=["Σ log cosh(W − Φ)"])
    sha256: str = Field(
        description="A hash of the program and the arrays of the loss.",
        pattern="^[0-9a-f]{64}$",
        examples=["0" * 64],
    )
    properties: Annotated[tuple[Trait, ...], Listed] = Field(
        (), description="The properties that the loss has.", examples=[["quadratic"]]
    )
    samples: Annotated[int, Field(ge=0)] = Field(
        0, description="The number of samples that batches are drawn of.", examples=[100]
    )

    _problem: Problem | None = PrivateAttr(None)

    def of(self, problem: Problem) -> PythonLoss:
        """Return the same description with the problem that it describes."""
        described = self.model_copy()
        described._problem = problem
        return described

    @property
    def problem(self) -> Problem | None:
        """The problem whose loss it describes, or None if it was read from a file."""
        return self._problem

    @property
    def label(self) -> str:
        """The loss in words."""
        return self.description

    def has(self, trait: Trait) -> bool:
        """Return whether the loss has a property."""
        return trait in self.properties

    def describe(self) -> str:
        """Return the row of the loss in the summary table."""
        return f"{self.description} (from Python)"

    def arrays(self, data: LossData) -> tuple[Array, ...]:  # noqa: ARG002
        """Return no arrays: they are those of the problem."""
        return ()

    def build(self, data: LossData) -> losses.Loss:  # noqa: ARG002
        """Return the loss of the problem.

        Raises
        ------
        UnplacedError
            If there is no problem, because the scenario was read from a file.

        """
        if self._problem is None:
            text = (
                f'is "python": the loss ({self.description}) was given in Python and cannot be '
                "built from this file alone; call flowsim.run with the same flowsim.Problem"
            )
            raise UnplacedError(mistake_at("loss.kind", text))
        return self._problem.loss

    def sample_count(self, shape: Shape, trained: int) -> int:  # noqa: ARG002
        """Return the number of samples that batches are drawn of."""
        return self.samples
