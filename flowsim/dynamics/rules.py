"""The update rules of descent by their names, and whatever else can be given as a rule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from flowsim.dynamics.custom_rules import FORMS, Custom, Step, from_optax
from flowsim.dynamics.registry import RHO, RULES, Momentum, RuleName
from flowsim.dynamics.update_rules import (
    SAM,
    TABLEAUS,
    HeavyBall,
    Nesterov,
    NormalizedDescent,
    Rule,
    RungeKutta,
)
from flowsim.problem.arguments import shown
from flowsim.problem.types import Scalar

__all__ = [
    "SAM",
    "Custom",
    "HeavyBall",
    "Nesterov",
    "NormalizedDescent",
    "Rule",
    "RungeKutta",
    "as_rule",
    "from_optax",
    "named",
    "written",
]

GivenRule: TypeAlias = RuleName | Rule | Step | Callable[[Scalar], Any]
"""What is accepted as a rule: a name, an object, a function, or a factory of optax."""


def named(rule: str, *, momentum: Momentum = 0.0, rho: float = RHO) -> Rule:
    """Return the update rule of a name in files, with its parameters.

    Raises
    ------
    ValueError
        If momentum is not 0 for a rule without momentum, or "increasing" for another than
        "nesterov".

    """
    if rule == "nesterov":
        return Nesterov(momentum)
    if momentum == "increasing":
        raise ValueError(f"Momentum increases in 'nesterov' alone, not in {rule!r}.")
    if momentum != 0 and "momentum" not in RULES[rule].parameters:
        raise ValueError(f"Momentum is not used by {rule!r}, but is {momentum}.")
    if rule == "gradient":
        return HeavyBall(momentum)
    if rule == "sam":
        return SAM(rho)
    if rule == "normalized":
        return NormalizedDescent()
    if RULES[rule].of_optax:
        import optax

        return from_optax(getattr(optax, rule))
    return RungeKutta(TABLEAUS[rule])


def as_rule(rule: GivenRule, momentum: Momentum = 0.0) -> Rule:
    """Return the update rule that a name, an object, a function or a factory of optax gives.

    Raises
    ------
    ValueError
        If it is none of these; or with momentum, if it is not a name.

    """
    if isinstance(rule, str) and rule in RULES:
        return named(rule, momentum=momentum)
    forms = isinstance(rule, Rule | type) or _accepts(rule, 1) or _accepts(rule, 4)
    if not forms:
        raise ValueError(
            f"rule must be one of {', '.join(RULES)}, or {FORMS}, but is {shown(rule)}."
        )
    if momentum != 0:
        raise ValueError(
            "momentum is a parameter of rules that are given by name; write it in the rule, as in "
            "rule=flowsim.rules.HeavyBall(0.9)."
        )
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, type) and issubclass(rule, Rule):
        raise ValueError(f"rule must be an object, as in {rule.__name__}(…), but is the class.")
    given: Any = rule
    return from_optax(given) if _accepts(rule, 1) else Custom(given)


def written(rule: Rule) -> dict[str, Any] | None:
    """Return the keys of `[descent]` that give a rule; None for one that no file can give."""
    match rule:
        case HeavyBall():
            return {"rule": "gradient", "momentum": float(rule.momentum)}
        case Nesterov():
            increasing = isinstance(rule.momentum, str)
            return {
                "rule": "nesterov",
                "momentum": rule.momentum if increasing else float(rule.momentum),
            }
        case SAM():
            return {"rule": "sam", "rho": float(rule.rho)}
        case NormalizedDescent():
            return {"rule": "normalized"}
        case RungeKutta() if rule.tableau in TABLEAUS.values():
            return {"rule": rule.label}
    return None


def _accepts(function: object, count: int) -> bool:
    """Return whether this is a function that can be called with `count` positional arguments."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True
