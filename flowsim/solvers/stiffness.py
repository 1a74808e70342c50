"""What `method = "auto"` takes next, from the stiffness that is measured on the way.

Stiffness is h·ρ, the step times the spectral radius of the Jacobian. An explicit method is stable
up to a fixed h·ρ; a stabilized one takes a number of stages that grows as √(h·ρ); an implicit step
costs the same at any h·ρ, as much as some hundred stages.
"""

from __future__ import annotations

from typing import NamedTuple

from flowsim.solvers.methods import Method
from flowsim.solvers.methods.registry import explicit, implicit, stabilized

DECISION_STEPS = 500
"""Steps after which the choice is reconsidered: counted, not timed, so that the solution does not
depend on the machine's pace."""

TRIAL_STEPS = 100
"""Steps after which a choice that was just made is: a stabilized method may find a flow far stiffer
than an explicit one could see, and then takes hundreds of stages a step."""

MANY_STEPS = 5_000
"""Steps of the present size that have to lie ahead for another method to be worth compiling."""

LIMITED = 0.5
"""An explicit step above this share of the stability interval is limited by stability."""

NOT_STIFF = 1.0
"""h·ρ below which a stabilized method gives way to an explicit one."""

REACH = 190.0
"""h·ρ at rtol = 1e-4 above which a stabilized method gives way: at four times this, falling as
rtol^¼, the rounding of rock4's last stages is as large as the error that a step may make, and the
step grows no further; rkc2 takes about as many stages there as an implicit step costs."""

MILDLY = 8.0
"""An implicit method gives way where h·ρ is so much below that."""


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
            return Choice(stabilized(now.rtol), now.t, why)
    elif method.family == "stabilized" and many and stiffness > reach:
        return Choice(implicit(now.rtol, now.entries), now.t, f"very stiff: {measured}")
    elif method.family == "stabilized" and stiffness < NOT_STIFF:
        return Choice(explicit(now.rtol), now.t, f"no longer stiff: {measured}")
    elif method.family == "implicit" and stiffness < reach / MILDLY:
        return Choice(stabilized(now.rtol), now.t, f"only mildly stiff: {measured}")
    return None
