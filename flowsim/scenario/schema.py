"""The JSON Schema of scenario files, for editors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowsim.scenario.spec.scenario import Scenario


def json_schema(measures: Mapping[str, str], figures: Sequence[str]) -> dict[str, Any]:
    """Return the JSON Schema of scenario files.

    `measures` are the names of diagnostics, with what they measure; `figures` those of figures.
    """
    schema = Scenario.model_json_schema(mode="validation")
    output = schema["$defs"]["Output"]["properties"]
    diagnostics = "; ".join(f"{question} ({name})" for name, question in measures.items())
    output["measures"]["items"] = {"enum": list(measures), "type": "string"}
    output["measures"]["description"] = f"The diagnostics to compute: {diagnostics}."
    (named,) = (form for form in output["figure"]["anyOf"] if form.get("type") == "string")
    named["enum"] = list(figures)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flowsim scenario",
        **{key: value for key, value in schema.items() if key != "title"},
    }
