"""What a method is: data about a Runge–Kutta method, and how to make its solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Family: TypeAlias = Literal["explicit", "stabilized", "implicit"]
"""Explicit with a fixed stability interval, explicit with one that grows with the stages, or
implicit."""


@dataclass(frozen=True)
class Method:
    """A Runge–Kutta method with an embedded error estimate.

    `stability` is where its stability region ends on the negative real axis (None where it adapts
    to the spectrum), which tells a step limited by stiffness from one limited by accuracy.
    `interpolates` says whether its dense output is as accurate as its error estimate; where it is
    not, every wanted time is a step.
    """

    name: str
    order: int
    family: Family
    stability: float | None
    interpolates: bool
    make: Callable[[], Any]
    reference: str

    @property
    def implicit(self) -> bool:
        """Say whether every step solves a nonlinear system in all entries of the state."""
        return self.family == "implicit"
