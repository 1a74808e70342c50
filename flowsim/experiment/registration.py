"""Diagnostics, initializations and losses from outside the package."""

from __future__ import annotations

from flowsim.experiment.figure_registry import FIGURES, FigureSpec
from flowsim.experiment.plan.variables import VARIABLES
from flowsim.scenario.spec.init import Init
from flowsim.scenario.spec.loss import Loss
from flowsim.scenario.spec.scenario import add_kind
from flowsim.scenario.validate.keys import known_keys
from flowsim.theory.measure import Measure
from flowsim.theory.registry import MEASURES


def register(addition: Measure | type[Init] | type[Loss]) -> None:
    """Add a diagnostic, a kind of initialization or a kind of loss.

    From then on scenario files, `flowsim.run`, `flowsim.measure`, claims, figures, the JSON Schema
    and archives take it like those of flowsim. A package names the module that registers as an
    entry point of the group `flowsim`; it is then imported when a scenario is first read.

    >>> flowsim.register(Measure("stable_rank", question=..., variables=..., function=stable_rank))

    Parameters
    ----------
    addition
        A `Measure` with its `function`, and its `figure` if it has one; or a subclass of `Init` or
        `Loss` with its `kind`, its options and `build`.

    Raises
    ------
    ValueError
        If it is none of these, or its name is taken.

    """
    if isinstance(addition, Measure):
        _add_measure(addition)
    elif isinstance(addition, type) and issubclass(addition, Init):
        add_kind("init", addition)
    elif isinstance(addition, type) and issubclass(addition, Loss):
        add_kind("loss", addition)
    else:
        raise ValueError(
            f"register takes a Measure or a subclass of Init or Loss, but got {addition!r}."
        )
    known_keys.cache_clear()


def _add_measure(measure: Measure) -> None:
    name = measure.name
    if not name.isidentifier():
        raise ValueError(f"The name of a diagnostic must be an identifier, but is {name!r}.")
    if name in MEASURES or name in VARIABLES or name in FIGURES:
        raise ValueError(f"There is a group or figure {name!r} already; use another name.")
    if measure.function is None:
        raise ValueError(f"The diagnostic {name!r} has no function that computes it.")
    MEASURES[name] = measure
    if measure.figure is not None:
        FIGURES[name] = FigureSpec(name, measure.question, measure.figure)
