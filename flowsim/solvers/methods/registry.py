"""The named methods, each a line of data and its reference."""

from __future__ import annotations

from difflib import get_close_matches

import diffrax

from flowsim.solvers.methods.method import Method
from flowsim.solvers.methods.rkc2 import rkc2
from flowsim.solvers.methods.rock4 import rock4
from flowsim.solvers.methods.rodas import rodas4, rodas5p

AUTO = "auto"

METHODS = {
    method.name: method
    for method in (
        Method("tsit5", 5, "explicit", 3.5, True, diffrax.Tsit5, "Tsitouras 2011"),
        Method("dopri5", 5, "explicit", 3.3, True, diffrax.Dopri5, "Dormand & Prince 1980"),
        Method("dopri8", 8, "explicit", 5.1, False, diffrax.Dopri8, "Prince & Dormand 1981"),
        Method("rkc2", 2, "stabilized", None, True, rkc2, "Sommeijer, Shampine & Verwer 1998"),
        Method("rock4", 4, "stabilized", None, False, rock4, "Abdulle 2002"),
        Method("kvaerno5", 5, "implicit", None, False, diffrax.Kvaerno5, "Kværnø 2004"),
        Method("rodas4", 4, "implicit", None, False, rodas4, "Hairer & Wanner 1996"),
        Method("rodas5p", 5, "implicit", None, False, rodas5p, "Steinebach 2023"),
    )
}

TIGHT = 1e-9
"""Tolerance at which order 8 begins to pay over order 5."""

LOOSE = 1e-5
"""Tolerance down to which, among stabilized methods, order 2 takes no longer than order 4."""

MODERATE = 1e-7
"""Tolerance down to which, among Rosenbrock methods, order 4 takes no longer than order 5."""

SMALL_STATE = 100
"""Entries of the state up to which an implicit method may form the Jacobian."""


def named(name: str) -> Method:
    """Return the method of that name.

    Raises
    ------
    ValueError
        If there is none, naming the nearest one.

    """
    if name in METHODS:
        return METHODS[name]
    near = get_close_matches(name, METHODS, n=1)
    hint = f"did you mean {near[0]!r}" if near else f"choose from {', '.join([AUTO, *METHODS])}"
    raise ValueError(f"There is no method {name!r}; {hint}.")


def explicit(rtol: float) -> Method:
    """Return the explicit method that suits a tolerance."""
    return METHODS["dopri8"] if rtol < TIGHT else METHODS["tsit5"]


def stabilized(rtol: float) -> Method:
    """Return the stabilized method that suits a tolerance."""
    return METHODS["rkc2"] if rtol >= LOOSE else METHODS["rock4"]


def implicit(rtol: float, entries: int) -> Method:
    """Return the implicit method that suits a tolerance and a state of so many entries."""
    if entries <= SMALL_STATE:
        return METHODS["kvaerno5"]
    return METHODS["rodas4"] if rtol >= MODERATE else METHODS["rodas5p"]


def first_choice(name: str, rtol: float) -> Method:
    """Return the named method; for "auto" the explicit one that suits the tolerance."""
    return explicit(rtol) if name == AUTO else named(name)
