"""The exact solutions of flows, and the first of them that applies to a problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from flowsim.problem import network
from flowsim.problem.errors import NotApplicable
from flowsim.problem.problem import Problem
from flowsim.theory.exact.modes import ExactModes, UnbalancedModes
from flowsim.theory.exact.one_output import OneOutput
from flowsim.theory.exact.quadratic import LinearFlow
from flowsim.theory.exact.solution import ExactSolution
from flowsim.theory.exact.two_layers import TwoLayers

SOLUTIONS: tuple[type[ExactSolution], ...] = (
    ExactModes,
    UnbalancedModes,
    LinearFlow,
    OneOutput,
    TwoLayers,
)
"""Exact solutions of the layer flow, the most accurate first where several apply."""


def exact_solutions(problem: Problem) -> list[ExactSolution]:
    """Return every exact solution that applies to a problem."""
    return list(_applicable(problem))


def exact_solution(problem: Problem) -> ExactSolution | None:
    """Return the first exact solution that applies to a problem, or None."""
    return next(_applicable(problem), None)


def _applicable(problem: Problem) -> Iterator[ExactSolution]:
    with suppress(NotApplicable):
        # their formulas are in W, which underflows before the layers do
        network.require_size(problem.layers)
        yield from _solutions(problem)


def _solutions(problem: Problem) -> Iterator[ExactSolution]:
    for solution in SOLUTIONS:
        with suppress(NotApplicable):
            yield solution.of(problem)
