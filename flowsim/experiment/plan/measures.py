"""Which diagnostics and figures a scenario asks for, and whether it can have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flowsim.experiment.figures import FIGURES
from flowsim.scenario.spec.errors import Mistake, found, listed, wrong
from flowsim.scenario.spec.output import Output
from flowsim.scenario.spec.scenario import Scenario
from flowsim.scenario.validate.keys import nearest
from flowsim.theory.registry import MEASURES


def holds_layers(output: Output) -> bool:
    """Return whether W_1 … W_N over time are needed, to be saved or to be measured."""
    return output.layers or _needed(output, "layers")


def holds_matrices(output: Output) -> bool:
    """Return whether W is needed at every saved time, to be measured."""
    return _needed(output, "matrices")


def _needed(output: Output, kept: str) -> bool:
    return any(MEASURES[name].needs == kept for name in output.measures)


def names_exist(scenario: Scenario) -> Iterator[Mistake]:
    """Require the names of diagnostics and of a figure that there are."""
    for i, name in enumerate(scenario.output.measures, 1):
        if name not in MEASURES:
            yield wrong("output.measures", f"item {i} {_unknown(name, MEASURES)}")
    figure = scenario.output.figure
    if figure is not None and figure not in FIGURES:
        yield wrong("output.figure", _unknown(figure, FIGURES))


def _unknown(name: str, names: Iterable[str]) -> str:
    near = nearest(name, names)
    hint = f'; did you mean "{near}"? Known are ' if near else "; write one of "
    return f"is {found(name)}, which is not known{hint}{listed(names)}"


def measures_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require the layer flow where layers are to be measured, and what each measure needs."""
    for name in scenario.output.measures:
        measure = MEASURES.get(name)
        if measure is None:
            continue
        if measure.needs == "layers" and "layers" not in scenario.flow.spaces:
            text = f"names {name}, which needs the layer flow; leave it out, "
            yield wrong("output.measures", text + 'or add "layers" to flow.spaces')
        elif reason := measure.why_unavailable(scenario):
            yield wrong("output.measures", f"names {name}, but {reason}")


def tracking_fits(scenario: Scenario) -> Iterator[Mistake]:
    """Require the measure that asks which step sizes track the flow."""
    output = scenario.output
    if output.track_within is not None and "step_size_thresholds" not in output.measures:
        text = 'is not used without measures = ["step_size_thresholds"]; remove it, or add that'
        yield wrong("output.track_within", text)


def runs_fit(scenario: Scenario) -> Iterator[Mistake]:
    """Require that a number of runs is asked of something that averages over them."""
    output = scenario.output
    if output.noise_runs is not None and "sgd_noise" not in output.measures:
        text = 'is not used without measures = ["sgd_noise"]; remove it, or add that'
        yield wrong("output.noise_runs", text)


RULES = (names_exist, measures_fit, tracking_fits, runs_fit)
