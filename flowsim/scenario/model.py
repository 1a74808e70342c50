"""A scenario: what to simulate, what to save, and what it should show. Frozen and validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    FailFast,
    Field,
    ValidationInfo,
    model_validator,
)

from flowsim import cards
from flowsim.scenario.asks import Claim, Output, Variant
from flowsim.scenario.forms import STRICT, Listed
from flowsim.scenario.motion import Descent, Flow
from flowsim.scenario.sections import Data, Init, Loss, Network

if TYPE_CHECKING:
    from flowsim.problem import Problem


def _line(value: str) -> str:
    if not value.strip():
        raise ValueError('is empty; write title = "One line"')
    if len(value.splitlines()) > 1:
        raise ValueError('holds a line break; write one line, and more in summary = "…"')
    return value


class Scenario(BaseModel):
    """What to simulate, as a scenario file says it: frozen, validated, with all defaults.

    Attributes are named as in the file: `scenario.flow.rtol` is `rtol` of `[flow]`. An option that
    depends on another (`loss.p`, `flow.first_time`, `flow.atol`) is None where it is left out.

    Raises
    ------
    ValueError
        If a value, or how values fit together, is mistaken; all mistakes at once.

    """

    model_config = STRICT

    title: Annotated[str, AfterValidator(_line)] = Field(
        description="One line that names the scenario.", examples=["One line"]
    )
    summary: str = Field(
        "", description="What to look at, and why it matters.", examples=["What to look at."]
    )
    sources: Annotated[tuple[str, ...], Listed, FailFast()] = Field(
        (), description="Where it comes from.", examples=[["arXiv:1802.06509, Theorem 1"]]
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Every random draw derives from it and the draw's name.",
        examples=[0],
    )
    network: Network = Field(description="The network.")
    loss: Loss = Field(description="The loss of the end-to-end matrix.")
    data: Data | None = Field(None, description="Inputs and targets of a loss on data.")
    init: Init = Field(description="The starting layers.")
    flow: Flow = Field(description="Gradient flow.")
    descent: Descent | None = Field(None, description="Gradient descent, if wanted.")
    output: Output = Field(default_factory=Output, description="What is saved and drawn.")
    variant: Annotated[tuple[Variant, ...], Listed, FailFast(), Field(max_length=1000)] = Field(
        (), description="The scenario with some keys replaced; the base itself is then not run."
    )
    claims: Annotated[tuple[Claim, ...], Listed, FailFast(), Field(max_length=1000)] = Field(
        (), description="What this scenario shows, checked after every run."
    )

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Scenario:
        if not (info.context or {}).get("examined"):
            from flowsim.scenario.examine import examine

            mistakes = examine(dict(self)).mistakes
            if mistakes:
                raise ValueError("\n".join(map(str, mistakes)))
        return self

    @classmethod
    def from_toml(
        cls,
        text: str,
        name: str = "<text>",
        base: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Scenario:
        """Return the scenario that a TOML text says.

        Parameters
        ----------
        text
            The text of a scenario file.
        name
            What the text is called in complaints.
        base
            The folder that data files are relative to; the current one if None.
        overrides
            Dotted keys and the values that replace those of the text.

        Raises
        ------
        ScenarioError
            With every mistake as `name:line: key: what is wrong; what to write`.

        """
        from flowsim.scenario.reading import from_toml

        return from_toml(text, name, base, overrides)

    def to_toml(self, data_folder: str | None = None) -> str:
        """Return the scenario as the text of a scenario file, with all defaults written out.

        With `data_folder` the data files are named as in `data_files`, in that folder.
        """
        from flowsim.scenario.writing import to_toml

        return to_toml(self, data_folder)

    def data_files(self) -> dict[str, Path]:
        """Return the data files that the scenario reads, by a unique name for each copy."""
        from flowsim.scenario.references import data_files

        return data_files(self)

    def expanded(self) -> dict[str, Scenario]:
        """Return each variant as a scenario of its own, without variants and claims."""
        from flowsim.scenario.variants import expanded

        return expanded(self)

    def digest(self) -> str:
        """Return the SHA-256 of the resolved scenario, its data files and flowsim's version.

        It does not depend on where the data files lie.
        """
        from flowsim.scenario.references import digest

        return digest(self)

    def problem(self) -> Problem:
        """Return the loss, the starting layers and the horizon that the scenario asks for."""
        from flowsim.scenario.building import problem

        return problem(self)

    def __repr__(self) -> str:
        from flowsim.scenario.describe import rows, title

        return cards.as_text(title(self), rows(self))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from flowsim.scenario.describe import rows, title

        return cards.as_html(title(self), rows(self))


SECTIONS: dict[str, type[BaseModel]] = {
    "network": Network,
    "loss": Loss,
    "data": Data,
    "init": Init,
    "flow": Flow,
    "descent": Descent,
    "output": Output,
}
"""The tables of a scenario that stand once."""

ITEMS: dict[str, type[BaseModel]] = {"variant": Variant, "claims": Claim}
"""The arrays of tables of a scenario."""
