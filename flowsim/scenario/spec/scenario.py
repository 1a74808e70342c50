"""A scenario: what to simulate, what to save, and what it should show. Frozen and validated."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, FailFast, Field, ValidationError
from pydantic.fields import FieldInfo

from flowsim import cards
from flowsim.scenario.former import with_present_keys
from flowsim.scenario.spec.claim import Claim
from flowsim.scenario.spec.data import LOSSES, AnyLoss, Data
from flowsim.scenario.spec.descent import Descent
from flowsim.scenario.spec.errors import ScenarioError, complaint, printable
from flowsim.scenario.spec.flow import Flow
from flowsim.scenario.spec.forms import Listed
from flowsim.scenario.spec.init import INITS, AnyInit
from flowsim.scenario.spec.network import Network
from flowsim.scenario.spec.numbers import Seed
from flowsim.scenario.spec.output import Output
from flowsim.scenario.spec.plain import plain
from flowsim.scenario.spec.table import Table, kind_of


def _line(value: str) -> str:
    if not value.strip():
        raise ValueError('is empty; write title = "One line"')
    if len(value.splitlines()) > 1:
        raise ValueError('holds a line break; write one line, and more in summary = "…"')
    return value


class Head(Table):
    """The keys above the tables of a scenario."""

    title: Annotated[str, AfterValidator(_line)] = Field(
        description="One line that names the scenario.", examples=["One line"]
    )
    summary: str = Field(
        "", description="What to look at, and why it matters.", examples=["What to look at."]
    )
    sources: Annotated[tuple[str, ...], Listed, FailFast()] = Field(
        (),
        description="The literature behind it.",
        examples=[["arXiv:1802.06509, Theorem 1"]],
    )
    seed: Seed = Field(
        0,
        description="Every random draw derives from it and the draw's name, unless its table has a "
        "seed of its own.",
        examples=[0],
    )


class Variant(Table):
    """The scenario with some keys replaced."""

    name: str = Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="A name of letters, digits, dots, dashes and underscores.",
        examples=["depth-2"],
    )
    set: dict[str, Any] = Field(
        description="Dotted keys and the values that replace the scenario's; "
        "a table replaces the whole table.",
        examples=[{"network.widths": [6, 6, 6]}],
    )


class Scenario(Head):
    """What to simulate: the content of a scenario file as frozen data, with all defaults.

    The type and the range of every value are validated here; whether values fit together is checked
    by `flowsim.experiment.plan.reading.check`, which every run begins with.

    Attributes are named as in the file: `scenario.flow.rtol` is `rtol` of `[flow]`. An option that
    depends on another (`loss.p`, `flow.first_time`, `flow.atol`) is None where it is left out.

    Raises
    ------
    ScenarioError
        If a value has the wrong type or is out of range, with every such value.

    """

    network: Network = Field(description="The network.")
    loss: AnyLoss = Field(description="The loss of the end-to-end matrix.")
    data: Data | None = Field(None, description="Inputs and targets of a loss on data.")
    init: AnyInit = Field(description="The initialization of the layers.")
    flow: Flow = Field(description="Gradient flow.")
    descent: Descent | None = Field(None, description="Gradient descent, if any.")
    output: Output = Field(default_factory=Output, description="What is saved, measured and drawn.")
    variant: Annotated[tuple[Variant, ...], Listed, FailFast(), Field(max_length=1000)] = Field(
        (), description="The scenario with some keys replaced; the base itself is then not run."
    )
    claims: Annotated[tuple[Claim, ...], Listed, FailFast(), Field(max_length=1000)] = Field(
        (), description="What this scenario shows, checked after every run."
    )

    if not TYPE_CHECKING:  # for type checkers the keywords stay those of the fields

        def __init__(self, *unnamed: object, **values: object) -> None:
            if unnamed:
                raise TypeError(
                    "Scenario takes keywords alone: title, network, loss, init, flow, …; "
                    "flowsim.read(path) returns the scenario of a file."
                )
            try:
                super().__init__(**plain(with_present_keys(values)))
            except ValidationError as error:
                details = error.errors(include_url=False)
                raise ScenarioError(*dict.fromkeys(map(complaint, details))) from None
            except ValueError as error:
                raise ScenarioError(str(error)) from None

    @property
    def holds_out(self) -> bool:
        """Whether samples are held out, on which W is scored at every saved time."""
        return self.data is not None and self.data.held_out > 0

    def _rows(self) -> dict[str, str]:
        tables = ("network", "loss", "data", "init", "flow", "descent")
        given = {name: getattr(self, name) for name in tables}
        rows = {name: table.describe() for name, table in given.items() if table is not None}
        if self.output.measures:
            rows["measures"] = ", ".join(self.output.measures)
        if self.variant:
            names = [variant.name for variant in self.variant]
            more = [f"and {len(names) - 8} more"] if len(names) > 8 else []
            rows["variants"] = ", ".join(names[:8] + more)
        if self.claims:
            rows["claims"] = str(len(self.claims))
        return rows

    def _title(self) -> str:
        return f"Scenario: {printable(self.title, 200)}"

    def __repr__(self) -> str:
        return cards.as_text(self._title(), self._rows())

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return cards.as_html(self._title(), self._rows())


SECTIONS: dict[str, tuple[type[Table], ...]] = {
    "network": (Network,),
    "loss": tuple(LOSSES.values()),
    "data": (Data,),
    "init": tuple(INITS.values()),
    "flow": (Flow,),
    "descent": (Descent,),
    "output": (Output,),
}
"""The models of each table that occurs once: one, or one per kind."""

ITEMS: dict[str, type[Table]] = {"variant": Variant, "claims": Claim}
"""The arrays of tables of a scenario."""


UNIONS: dict[str, dict[str, type[Any]]] = {"loss": LOSSES, "init": INITS}
"""The models by kind of the tables that have several kinds."""


def add_kind(section: str, model: type[Table]) -> None:
    """Add a kind to a table, which files and `Scenario` accept from then on.

    Raises
    ------
    ValueError
        If the table has this kind already.

    """
    models, kind = UNIONS[section], kind_of(model)
    if kind in models:
        raise ValueError(f'There is a kind "{kind}" of {section} already; use another name.')
    models[kind] = model
    SECTIONS[section] = tuple(models.values())
    Scenario.model_fields[section].annotation = reduce(or_, models.values())
    Scenario.model_rebuild(force=True)


def options(section: str) -> dict[str, FieldInfo]:
    """Return the keys of a table that occurs once, those of all its kinds together."""
    return {key: field for model in SECTIONS[section] for key, field in model.model_fields.items()}
