"""Reading scenarios with every rule: those of tables, of diagnostics, of figures and of claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from flowsim.experiment.figure_registry import FIGURES
from flowsim.experiment.plan.claims import broken_claim
from flowsim.scenario import catalog, reading
from flowsim.scenario.build.shapes import used_samples
from flowsim.scenario.plugins import load_plugins
from flowsim.scenario.spec.errors import Mistake, mistake_at
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.validate.examine import RULES, Rules
from flowsim.scenario.validate.keys import not_known
from flowsim.theory.registry import MEASURES

OPTIONS = {"track_within": "step_size_thresholds", "noise_runs": "sgd_noise"}
"""Options in `[output]` of one diagnostic each."""


def names_exist(scenario: Scenario) -> Iterator[Mistake]:
    """Require names of existing diagnostics and of an existing figure."""
    for i, name in enumerate(scenario.output.measures, 1):
        if name not in MEASURES:
            yield mistake_at("output.measures", f"item {i} {not_known(name, MEASURES)}")
    figure = scenario.output.figure
    if figure is not None and figure not in FIGURES:
        yield mistake_at("output.figure", not_known(figure, FIGURES))


def measures_available(scenario: Scenario) -> Iterator[Mistake]:
    """Require the layer flow for diagnostics of the layers, and what each diagnostic needs."""
    for name in scenario.output.measures:
        measure = MEASURES.get(name)
        if measure is None:
            continue
        if measure.needs == "layers" and "layers" not in scenario.flow.spaces:
            text = f"names {name}, which needs the layer flow; leave it out, "
            yield mistake_at("output.measures", text + 'or add "layers" to flow.spaces')
        elif scenario.loss.has("on_layers") and not measure.on_layers:
            text = f"names {name}, which needs a loss of W alone; leave it out"
            yield mistake_at("output.measures", text)
        elif reason := measure.why_unavailable(scenario):
            yield mistake_at("output.measures", f"names {name}, but {reason}")


def holds_out_some(scenario: Scenario) -> Iterator[Mistake]:
    """Require that a fraction of samples to hold out is one sample at least."""
    data = scenario.data
    if data is None or not data.held_out or (data.dataset is None and data.inputs is None):
        return
    if round(data.held_out * (total := used_samples(data))) < 1:
        text = (
            f"is {data.held_out} of {total} samples, which is none; write {1 / total:.2g} or more"
        )
        yield mistake_at("data.held_out", text)


def options_used(scenario: Scenario) -> Iterator[Mistake]:
    """Require the diagnostic that an option of `[output]` belongs to."""
    output = scenario.output
    for option, name in OPTIONS.items():
        if getattr(output, option) is not None and name not in output.measures:
            text = f'is not used without measures = ["{name}"]; remove it, or add that'
            yield mistake_at(f"output.{option}", text)


ALL_RULES = Rules(
    (*RULES, names_exist, measures_available, options_used, holds_out_some), broken_claim
)
"""All rules that a scenario must satisfy."""

from_toml = partial(reading.from_toml, rules=ALL_RULES)
check = partial(reading.check, rules=ALL_RULES)


def read(
    path: Path | str,
    overrides: Mapping[str, Any] | None = None,
    *,
    origin: str = reading.OVERRIDE,
) -> Scenario:
    """Return the scenario of a file, checked by all rules.

    >>> scenario = flowsim.read("saddle-to-saddle")
    >>> scenario = flowsim.read("two-modes.toml", {"network.widths": [4, 5, 5, 3], "seed": 3})
    >>> scenario.network.depth, scenario.flow.rtol
    >>> flowsim.run(scenario)

    A `Scenario` is frozen data, with attributes named as the keys of the file. The variants of a
    scenario are scenarios too: `flowsim.variants(scenario)`.

    Parameters
    ----------
    path
        The name of a scenario in the catalog, or a scenario file; data files in it are relative to
        its folder.
    overrides
        Values that replace those of the file, by dotted key, as `--set` does. They may be scalars
        and arrays of NumPy. A table replaces a whole table.
    origin
        What gave the overrides, for error messages.

    Raises
    ------
    CatalogError
        If there is no such scenario or file.
    ScenarioError
        If the file cannot be read or has mistakes. `error.mistakes` lists all of them as
        `file:line: key: what is wrong; what to write`.

    """
    file = catalog.resolve(path) if isinstance(path, str | PathLike) else path
    return reading.read(file, overrides, ALL_RULES, origin)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files, with the names of diagnostics and figures.

    It accepts every file that `read` accepts. It contains the type and range of each key, but no
    rule that involves several keys.
    """
    load_plugins()
    schema = Scenario.model_json_schema(mode="validation")
    output = schema["$defs"]["Output"]["properties"]
    diagnostics = "; ".join(f"{measure.question} ({name})" for name, measure in MEASURES.items())
    output["measures"]["items"] = {"enum": list(MEASURES), "type": "string"}
    output["measures"]["description"] = f"The diagnostics to compute: {diagnostics}."
    (named,) = (form for form in output["figure"]["anyOf"] if form.get("type") == "string")
    named["enum"] = list(FIGURES)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flowsim scenario",
        **{key: value for key, value in schema.items() if key != "title"},
    }
