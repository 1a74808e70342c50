"""How a flow is integrated: named methods, and the error that a step may make."""

from flowsim.solvers.methods.method import Family, Method, StiffnessInfo
from flowsim.solvers.methods.registry import (
    AUTO,
    METHODS,
    Choice,
    first_choice,
    named,
)
from flowsim.solvers.methods.tolerances import LARGEST_RTOL, SMALLEST_RTOL, Tolerances

__all__ = [
    "AUTO",
    "LARGEST_RTOL",
    "METHODS",
    "SMALLEST_RTOL",
    "Choice",
    "Family",
    "Method",
    "StiffnessInfo",
    "Tolerances",
    "first_choice",
    "named",
]
