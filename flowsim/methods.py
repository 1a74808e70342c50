"""How a flow is integrated: named methods, each a line of data and its reference."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import diffrax
import numpy as np

SMALLEST_RTOL = 100 * float(np.finfo(np.float64).eps)
"""Below this, roundoff would be mistaken for truncation error."""

LARGEST_RTOL = 0.1


@dataclass(frozen=True)
class Method:
    """A Runge–Kutta method with an embedded error estimate.

    `stability` is where its stability region ends on the negative real axis (None: never), which
    tells a step limited by stiffness from one limited by accuracy. `interpolates` says whether its
    dense output is as accurate as its error estimate; where it is not, every wanted time is a step.
    """

    name: str
    order: int
    stability: float | None
    interpolates: bool
    make: Callable[[], Any]
    reference: str

    @property
    def implicit(self) -> bool:
        """Say whether every step solves a nonlinear system in all entries of the state."""
        return self.stability is None


AUTO = "auto"

METHODS = {
    method.name: method
    for method in (
        Method("tsit5", 5, 3.5, True, diffrax.Tsit5, "Tsitouras 2011"),
        Method("dopri5", 5, 3.3, True, diffrax.Dopri5, "Dormand & Prince 1980"),
        Method("dopri8", 8, 5.1, False, diffrax.Dopri8, "Prince & Dormand 1981"),
        Method("kvaerno5", 5, None, False, diffrax.Kvaerno5, "Kværnø 2004"),
    )
}

TIGHT = 1e-9
"""Tolerance at which order 8 begins to pay over order 5."""


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


def first_choice(name: str, rtol: float) -> Method:
    """Return the named method; for "auto" the explicit one that suits the tolerance."""
    if name != AUTO:
        return named(name)
    return METHODS["dopri8"] if rtol < TIGHT else METHODS["tsit5"]


@dataclass(frozen=True)
class Tolerances:
    """Error allowed per step: |error| ≤ rtol · (scale_j + |y|) in matrix j of the state.

    Raises
    ------
    ValueError
        If rtol is outside [100 eps, 0.1], or atol is not positive.

    """

    rtol: float = 1e-8
    atol: float | None = None

    def __post_init__(self) -> None:
        if not SMALLEST_RTOL <= self.rtol <= LARGEST_RTOL:
            raise ValueError(
                f"rtol must lie between {SMALLEST_RTOL:.2g} (100 times the float64 epsilon) and "
                f"{LARGEST_RTOL:g}, but is {self.rtol:g}."
            )
        if self.atol is not None and not (np.isfinite(self.atol) and self.atol > 0):
            raise ValueError(f"atol must be finite and greater than 0, but is {self.atol:g}.")

    def loosened(self, factor: float) -> Tolerances:
        """Return tolerances looser by `factor`, even past what may be asked for."""
        looser = copy(self)
        object.__setattr__(looser, "rtol", factor * self.rtol)
        object.__setattr__(looser, "atol", None if self.atol is None else factor * self.atol)
        return looser

    def scales(self, state: tuple[Any, ...]) -> tuple[float, ...]:
        """Return the unit of each matrix of the state, in which rtol is its absolute tolerance.

        It is atol / rtol where atol is given, else the root mean square entry of the matrix at the
        start; a matrix that starts at 0 takes the largest of the others.
        """
        if self.atol is not None:
            return (self.atol / self.rtol,) * len(state)
        sizes = [float(np.sqrt(np.mean(np.square(np.asarray(y))))) for y in state]
        return tuple(size or max(sizes) or 1.0 for size in sizes)
