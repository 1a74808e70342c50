"""The exact solutions of flows, and the first of them that applies to a problem."""

from __future__ import annotations

from flowsim.problem.problem import Problem
from flowsim.theory.exact.modes import ExactModes
from flowsim.theory.exact.one_output import OneOutput
from flowsim.theory.exact.quadratic import LinearFlow
from flowsim.theory.exact.solution import ExactSolution
from flowsim.theory.exact.two_layers import TwoLayers
from flowsim.theory.exact.unbalanced_modes import UnbalancedModes

SOLUTIONS: tuple[type[ExactSolution], ...] = (
    ExactModes,
    UnbalancedModes,
    LinearFlow,
    OneOutput,
    TwoLayers,
)
"""Those of the layer flow, the sharpest first where several apply."""


def exact_solutions(problem: Problem) -> list[ExactSolution]:
    """Return every exact solution that applies to a problem."""
    found = [solution.of(problem) for solution in SOLUTIONS]
    return [solution for solution in found if isinstance(solution, ExactSolution)]


def exact_solution(problem: Problem) -> ExactSolution | None:
    """Return the first exact solution that applies to a problem, or None."""
    for kind in SOLUTIONS:
        solution = kind.of(problem)
        if isinstance(solution, ExactSolution):
            return solution
    return None
