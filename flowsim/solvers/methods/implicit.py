"""Implicit methods: the cost of a step does not depend on the stiffness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx

from flowsim.problem.types import Array
from flowsim.solvers.methods.method import Family, Method, StiffnessInfo
from flowsim.solvers.methods.stabilized import largest_useful_stiffness

MILDLY_STIFF = 8.0
"""Factor below `largest_useful_stiffness` at which a stabilized method is chosen again.

This hysteresis keeps a flow near the limit from switching, and compiling, repeatedly."""


@dataclass(frozen=True)
class ImplicitMethod(Method):
    """A diagonally implicit method, whose stages are solved by Newton's method with dense LU."""

    family = "implicit"

    def successor(self, info: StiffnessInfo) -> tuple[Family, str] | None:
        """Return a stabilized method where the flow is only mildly stiff."""
        if info.stiffness < largest_useful_stiffness(info.rtol) / MILDLY_STIFF:
            return "stabilized", f"only mildly stiff: {info}"
        return None

    def prepare(self, solver: Any, system: Any, rtol: Array, norm: Any) -> Any:  # noqa: ARG002
        """Return the solver with Newton's method solving to the tolerance of the step."""
        return eqx.tree_at(
            lambda s: (s.root_finder.rtol, s.root_finder.atol, s.root_finder.norm),
            solver,
            (rtol, rtol, norm),
        )
