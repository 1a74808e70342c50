"""The automatic choice of a method, from the stiffness that is measured during the integration.

Stiffness is h·ρ, the step size times the spectral radius of the Jacobian. An explicit method is
stable up to a fixed h·ρ. The number of stages of a stabilized method grows as √(h·ρ). An implicit
step costs the same at any h·ρ, about as much as a hundred stages. `Method.successor` of each family
returns the family that takes less work.
"""

from __future__ import annotations

from typing import NamedTuple

from flowsim.solvers.methods import Method, StiffnessInfo
from flowsim.solvers.methods.registry import suitable

DECISION_STEPS = 500
"""Steps after which the choice is reconsidered.

Steps are counted rather than timed, so that the solution does not depend on the machine's speed."""

TRIAL_STEPS = 100
"""Steps before a newly chosen method is reconsidered.

A stabilized method may find the flow far stiffer than the short steps of an explicit method showed,
and then takes hundreds of stages per step."""


class Choice(NamedTuple):
    """A method, the time from which it is used, and the reason."""

    method: Method
    since: float
    why: str


def initial_choice(method: Method, *, asked_for: bool, rtol: float) -> Choice:
    """Return the choice of the method at t = 0."""
    why = "asked for" if asked_for else f"explicit, of order {method.order} for rtol = {rtol:g}"
    return Choice(method, 0.0, why)


def next_choice(method: Method, info: StiffnessInfo) -> Choice | None:
    """Return another method if it takes less work from here on, else None."""
    change = method.successor(info)
    if change is None:
        return None
    family, why = change
    return Choice(suitable(family, info.rtol, info.entries), info.t, why)
