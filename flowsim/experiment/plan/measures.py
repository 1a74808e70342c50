"""Rules of the diagnostics and figures that a scenario asks for."""

from __future__ import annotations

from collections.abc import Iterator

from flowsim.experiment.figures import FIGURES
from flowsim.scenario.spec.errors import Mistake, mistake_at
from flowsim.scenario.spec.output import Output
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.validate.keys import not_known
from flowsim.theory.registry import MEASURES


def holds_layers(output: Output) -> bool:
    """Return whether layers must be kept at every saved time, to be saved or for diagnostics."""
    return output.layers or _needed(output, "layers")


def holds_matrices(output: Output) -> bool:
    """Return whether diagnostics need W at every saved time."""
    return _needed(output, "matrices")


def _needed(output: Output, kept: str) -> bool:
    return any(MEASURES[name].needs == kept for name in output.measures)


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
        elif reason := measure.why_unavailable(scenario):
            yield mistake_at("output.measures", f"names {name}, but {reason}")


def options_used(scenario: Scenario) -> Iterator[Mistake]:
    """Require the diagnostic that an option of `[output]` belongs to."""
    output = scenario.output
    for option, name in OPTIONS.items():
        if getattr(output, option) is not None and name not in output.measures:
            text = f'is not used without measures = ["{name}"]; remove it, or add that'
            yield mistake_at(f"output.{option}", text)


OPTIONS = {"track_within": "step_size_thresholds", "noise_runs": "sgd_noise"}
"""Options in `[output]` of one diagnostic each."""

RULES = (names_exist, measures_available, options_used)
