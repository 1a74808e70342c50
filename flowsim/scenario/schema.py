"""The JSON Schema of scenario files, for editors."""

from __future__ import annotations

from typing import Any


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files.

    It accepts every file that `read` accepts. It says the type and range of each key; what keys
    must fit together is beyond it.
    """
    from flowsim.scenario.model import Scenario

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flowsim scenario",
        **{
            key: value
            for key, value in Scenario.model_json_schema(mode="validation").items()
            if key != "title"
        },
    }
