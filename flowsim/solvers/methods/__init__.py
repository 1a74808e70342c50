"""The named integration methods, one row of data each, and the choice among them.

The choice follows from the tolerance, and from the stiffness that is measured during the
integration: h·ρ, the step size times the spectral radius of the Jacobian. An explicit method is
stable up to a fixed h·ρ. The number of stages of a stabilized method grows as √(h·ρ). An implicit
step costs the same at any h·ρ, about as much as a hundred stages. `Method.successor` of each family
returns the family that takes less work.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from typing import NamedTuple

import diffrax

from flowsim.solvers.methods.chord import kvaerno5
from flowsim.solvers.methods.method import (
    ExplicitMethod,
    Family,
    ImplicitMethod,
    Method,
    RosenbrockMethod,
    StabilizedMethod,
    StiffnessInfo,
)
from flowsim.solvers.methods.rkc2 import CAVEAT, rkc2
from flowsim.solvers.methods.rock4 import rock4
from flowsim.solvers.methods.rodas import RODAS4, RODAS5P
from flowsim.solvers.methods.rosenbrock import Rosenbrock

AUTO = "auto"

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        # the last column: length of the stability interval on the negative real axis
        ExplicitMethod("tsit5", 5, True, diffrax.Tsit5, "Tsitouras 2011", 3.5),
        ExplicitMethod("dopri5", 5, True, diffrax.Dopri5, "Dormand & Prince 1980", 3.3),
        ExplicitMethod("dopri8", 8, False, diffrax.Dopri8, "Prince & Dormand 1981", 5.1),
        StabilizedMethod("rkc2", 2, True, rkc2, "Sommeijer, Shampine & Verwer 1998", caveat=CAVEAT),
        StabilizedMethod("rock4", 4, False, rock4, "Abdulle 2002"),
        ImplicitMethod("kvaerno5", 5, False, kvaerno5, "Kværnø 2004"),
        RosenbrockMethod("rodas4", 4, False, partial(Rosenbrock, RODAS4), "Hairer & Wanner 1996"),
        RosenbrockMethod("rodas5p", 5, False, partial(Rosenbrock, RODAS5P), "Steinebach 2023"),
    )
}
"""The methods by name, with order, whether dense output is accurate, solver and reference."""

TIGHT = 1e-9
"""Tolerance below which order 8 takes less time than order 5, measured on benchmarks."""

LOOSE = 1e-5
"""Tolerance down to which, among stabilized methods, order 2 takes no longer than order 4."""

MODERATE = 1e-7
"""Tolerance down to which, among Rosenbrock methods, order 4 takes no longer than order 5."""

SMALL_STATE = 100
"""Entries of the state up to which an implicit method may form the Jacobian and factorize it."""


DECISION_STEPS = 500
"""Steps after which the choice is reconsidered.

Steps are counted rather than timed, so that the solution does not depend on the machine's speed."""

TRIAL_STEPS = 100
"""Steps before a newly chosen method is reconsidered.

A stabilized method may find the flow far stiffer than the short steps of an explicit method showed,
and then takes hundreds of stages per step."""


FREE_CHANGES = 8
"""Changes of the method after which the steps before each further one double.

Flows that pass a few saddles change that often. Where no method suits for long, as near rest at a
condition number of 1e18, the doubling bounds the changes by the logarithm of the steps, and the
steps taken by an unsuitable method by about as many as were taken before."""


def patience(changes: int) -> int:
    """Return the factor on `DECISION_STEPS` and `TRIAL_STEPS` after a number of changes."""
    return int(2 ** max(0, changes - FREE_CHANGES))


def named(name: str) -> Method:
    """Return the method of this name.

    Raises
    ------
    ValueError
        If there is no such method; the message proposes the nearest name.

    """
    if name in METHODS:
        return METHODS[name]
    near = get_close_matches(str(name), METHODS, n=1)
    hint = f"did you mean {near[0]!r}" if near else f"choose from {', '.join([AUTO, *METHODS])}"
    raise ValueError(f"There is no method {name!r}; {hint}.")


def explicit(rtol: float) -> Method:
    """Return the fastest explicit method for a tolerance."""
    return METHODS["dopri8"] if rtol < TIGHT else METHODS["tsit5"]


def stabilized(rtol: float) -> Method:
    """Return the fastest stabilized method for a tolerance."""
    return METHODS["rkc2"] if rtol >= LOOSE else METHODS["rock4"]


def implicit(rtol: float, entries: int) -> Method:
    """Return the fastest implicit method for a tolerance and a number of entries of the state.

    Dense LU in Newton's method costs O(entries³). Above `SMALL_STATE` entries a Rosenbrock method
    is chosen, whose Krylov iterations never form the Jacobian.
    """
    if entries <= SMALL_STATE:
        return METHODS["kvaerno5"]
    return METHODS["rodas4"] if rtol >= MODERATE else METHODS["rodas5p"]


def suitable(family: Family, rtol: float, entries: int) -> Method:
    """Return the fastest method of a family for a tolerance and a number of state entries."""
    if family == "implicit":
        return implicit(rtol, entries)
    return explicit(rtol) if family == "explicit" else stabilized(rtol)


def first_choice(name: str, rtol: float) -> Method:
    """Return the named method; for "auto" the fastest explicit one, until stiffness is measured."""
    return explicit(rtol) if name == AUTO else named(name)


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
