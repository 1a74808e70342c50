"""Declaration of a diagnostic: what it needs, stores and costs, free of JAX and NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flowsim.dynamics.registry import RULES
from flowsim.scenario.spec.descent import Descent
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers.variables import NOTE, VariableSpec


@dataclass(frozen=True)
class Measure:
    """Declaration of a diagnostic, from which all tables, checks and predictions derive.

    Attributes
    ----------
    name
        Its key in `output.measures`, the name of its group and of its figure.
    question
        The question that it and its figure answer.
    variables
        The stored variables. The declaration of `note`, sentences for the summary, is added.
    needs
        States of the flow kept at every saved time: its "layers", the "matrices" W, or neither.
    on_layers
        Whether it supports a function of the layers that is added to the loss.
    why_unavailable
        Returns the reason why a scenario cannot have it, with what to write instead, or None.
    floats
        Returns the number of float64 that it holds at once.
    seconds
        Returns an upper estimate of its seconds where it may take minutes; 0 where it takes little.
    levels
        Returns the entries of the dimension `level` of its variables.
    folder
        Its subpackage of `flowsim.theory`, by default its name.
    function
        Computes its arrays from a `flowsim.theory.setting.Setting`; by default that of its module
        `measure`.
    figure
        Has the functions that draw it (see `flowsim.experiment.figure_registry`); by default its
        module `figure`.

    """

    name: str
    question: str
    variables: Sequence[VariableSpec]
    needs: Literal["layers", "matrices", ""] = ""
    on_layers: bool = False
    why_unavailable: Callable[[Scenario], str | None] = lambda _: None
    floats: Callable[[Scenario], int] = lambda _: 0
    seconds: Callable[[Scenario], float] = lambda _: 0.0
    levels: Callable[[Scenario], tuple[float, ...]] = lambda _: ()
    folder: str = ""
    function: Callable[[Any], Mapping[str, Any]] | None = None
    figure: Any = None

    @property
    def package(self) -> str:
        """The subpackage that holds its modules `formulas`, `measure` and `figure`."""
        return f"flowsim.theory.{self.folder or self.name}"

    @property
    def stored(self) -> tuple[VariableSpec, ...]:
        """All variables that its group may hold."""
        return (*self.variables, NOTE)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of each variable of numbers, which claims can name."""
        return {spec.name: spec.dims for spec in self.variables if not spec.text}


OPERATIONS_PER_SECOND = 1e9
"""Rate of floating-point operations on small matrices, in one thread."""


def gradient_seconds(scenario: Scenario) -> float:
    """Return an upper estimate of the time of one gradient over the layers in compiled code."""
    return 2 * scenario.network.weights * sum(scenario.network.shape) / OPERATIONS_PER_SECOND


def iterate_copies(scenario: Scenario) -> int:
    """Return the copies of the layers that descent holds at each step size."""
    return (scenario.descent.traits if scenario.descent else RULES["gradient"]).copies


def step_size_count(scenario: Scenario) -> int:
    """Return the number of step sizes, 0 without descent."""
    return len(scenario.descent.written) if scenario.descent else 0


def needs_plain_descent(scenario: Scenario) -> str | None:
    """Return why the iterates are not those of full-batch gradient descent, or None."""
    return has_gradient_noise(scenario) or needs_gradient_descent(scenario)


def has_gradient_noise(scenario: Scenario) -> str | None:
    """Return that descent follows a noisy gradient, or None."""
    if scenario.descent is None or not scenario.descent.noisy:
        return None
    return (
        "it requires the full gradient; remove descent.batch and descent.label_noise, "
        "or leave it out"
    )


def needs_gradient_descent(scenario: Scenario) -> str | None:
    """Return why the iterates are not those of gradient descent, with or without noise, or None."""
    descent = scenario.descent
    if descent is None:
        return "there is no descent; write [descent] with step_sizes, or leave it out"
    if descent.rule != "gradient":
        return 'it requires gradient descent; write descent.rule = "gradient", or leave it out'
    if descent.momentum:
        return "it does not support momentum; remove descent.momentum, or leave it out"
    return needs_double_precision(descent)


def needs_double_precision(descent: Descent) -> str | None:
    """Return that descent is not in double precision, in which iterates are replayed, or None."""
    if descent.precision == "float64":
        return None
    return 'it is computed in float64; write descent.precision = "float64", or leave it out'
