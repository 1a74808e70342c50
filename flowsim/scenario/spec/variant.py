"""`[[variant]]`: the scenario with some keys replaced."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flowsim.scenario.spec.table import Table


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
