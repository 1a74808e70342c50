"""What `method = "auto"` takes next, from the stiffness that is measured on the way.

Stiffness is h·ρ, the step times the spectral radius of the Jacobian. An explicit method is stable
up to a fixed h·ρ; a stabilized one takes a number of stages that grows as √(h·ρ); an implicit step
costs the same at any h·ρ, as much as some hundred stages.
"""

from __future__ import annotations

from typing import NamedTuple

from flowsim.methods import METHODS, Method
from flowsim.methods.registry import explicit

DECISION_STEPS = 500
"""Steps after which the choice is reconsidered: counted, not timed, so that the solution does not
depend on the machine's pace."""

MANY_STEPS = 5_000
"""Steps of the present size that have to lie ahead for another method to be worth compiling."""

LIMITED = 0.5
"""An explicit step above this share of the stability interval is limited by stability."""

NOT_STIFF = 1.0
"""h·ρ below which a stabilized method gives way to an explicit one."""

REACH = 190.0
"""h·ρ at rtol = 1e-4 above which rock4 may give way: at four times this, falling as rtol^¼, the
rounding of its last stages is as large as the error that a step may make, and the step grows no
further."""

MILDLY = 8.0
"""An implicit method gives way where h·ρ is so much below that."""


SMALL_STATE = 100
"""Entries of the state up to which an implicit method forms the Jacobian."""


class Choice(NamedTuple):
    """A method, the time from which it is used, and why."""

    method: Method
    since: float
    why: str


class Situation(NamedTuple):
    """What is known when the choice is reconsidered; `step` is the mean since the last time."""

    t: float
    step: float
    radius: float
    ahead: float
    entries: int
    rtol: float


def first(method: Method, *, asked_for: bool, rtol: float) -> Choice:
    """Return the choice of the method at the start."""
    why = "asked for" if asked_for else f"explicit, of order {method.order} for rtol = {rtol:g}"
    return Choice(method, 0.0, why)


def next_choice(method: Method, now: Situation) -> Choice | None:
    """Return another method if it would take less work from here, else None."""
    stiffness, reach = now.step * now.radius, REACH * (now.rtol / 1e-4) ** 0.25
    many = now.ahead > MANY_STEPS * now.step
    measured = f"step times spectral radius is {stiffness:.2g}"
    if method.family == "explicit" and method.stability is not None:
        if many and stiffness > LIMITED * method.stability:
            why = f"stability limits the step: {measured}, at most {method.stability:g}"
            return Choice(METHODS["rock4"], now.t, why)
    elif method.family == "stabilized" and many and stiffness > reach:
        implicit = METHODS["kvaerno5" if now.entries <= SMALL_STATE else "rodas5p"]
        return Choice(implicit, now.t, f"very stiff: {measured}")
    elif method.family == "stabilized" and stiffness < NOT_STIFF:
        return Choice(explicit(now.rtol), now.t, f"no longer stiff: {measured}")
    elif method.family == "implicit" and stiffness < reach / MILDLY:
        return Choice(METHODS["rock4"], now.t, f"only mildly stiff: {measured}")
    return None
