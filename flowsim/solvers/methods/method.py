"""A named Runge–Kutta method: its properties, its solver, and how the stepper treats its family."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from flowsim.problem.types import Array

Family: TypeAlias = Literal["explicit", "stabilized", "implicit"]
"""Explicit with a fixed stability interval, explicit with an interval that grows with the number
of stages, or implicit."""

MANY_STEPS = 5_000
"""Steps of the present size that must lie ahead before another explicit program is compiled.

Compiling takes as long as thousands of steps of a small network."""

STABILITY_LIMITED = 0.5
"""Fraction of the stability interval above which stability, not accuracy, limits the step: the
controller keeps the mean h·ρ of a stiff flow somewhat inside the interval, never at its end."""


class StiffnessInfo(NamedTuple):
    """The measured stiffness of an integration at the time its method is reconsidered.

    Attributes
    ----------
    t, ahead
        The present time, and the time left to integrate.
    step
        Mean step size since the method was last reconsidered.
    radius
        Spectral radius ρ of the Jacobian.
    entries
        Number of entries of the state.
    rtol
        Relative tolerance.

    """

    t: float
    step: float
    radius: float
    ahead: float
    entries: int
    rtol: float

    @property
    def stiffness(self) -> float:
        """The product h·ρ, which bounds every h·|λ|."""
        return self.step * self.radius

    @property
    def many_steps_ahead(self) -> bool:
        """Whether another method is worth compiling."""
        return self.ahead > MANY_STEPS * self.step

    def __str__(self) -> str:
        return f"step times spectral radius is {self.stiffness:.2g}"


@dataclass(frozen=True)
class Method(abc.ABC):
    """A Runge–Kutta method with an embedded error estimate.

    Each family is a subclass, whose hooks are called where the stepper or the automatic choice of
    the method depends on the family. `solver` is always what `make` returns.

    Attributes
    ----------
    name
        The name in scenario files, as in `"tsit5"`.
    order
        The order p: the error of a solution is O(hᵖ).
    interpolates
        Whether dense output is as accurate as the steps. Where it is not, every saved time ends a
        step.
    make
        Returns a diffrax solver.
    reference
        Author and year of the publication.

    """

    name: str
    order: int
    interpolates: bool
    make: Callable[[], Any]
    reference: str

    family: ClassVar[Family]

    @abc.abstractmethod
    def successor(self, info: StiffnessInfo) -> tuple[Family, str] | None:
        """Return the family that needs less work from here on, and why; None to stay."""

    def limited_by_stability(self, stiffness: float) -> bool:  # noqa: ARG002
        """Return whether stability, not accuracy, limits a step of this h·ρ."""
        return False

    def prepare(self, solver: Any, system: Any, rtol: Array, norm: Any) -> Any:  # noqa: ARG002
        """Return the solver for a system ẏ = f(y) at a tolerance, errors measured in `norm`."""
        return solver

    def limit_step(self, solver: Any, memory: Any, h: Array) -> Array:  # noqa: ARG002
        """Return the step size h, shortened to what the method can take; `memory` is its state."""
        return h

    def after_rejection(self, solver: Any, before: Any, attempted: Any) -> Any:  # noqa: ARG002
        """Return the method's state after a rejected step, given its states before and after."""
        return before


@dataclass(frozen=True)
class ExplicitMethod(Method):
    """An explicit method, stable for h·λ in [-`stability`, 0] on the real axis."""

    stability: float

    family = "explicit"

    def limited_by_stability(self, stiffness: float) -> bool:
        """Return whether stability, not accuracy, limits a step of this h·ρ."""
        return stiffness > STABILITY_LIMITED * self.stability

    def successor(self, info: StiffnessInfo) -> tuple[Family, str] | None:
        """Return a stabilized method where stability limits the step."""
        if info.many_steps_ahead and self.limited_by_stability(info.stiffness):
            return "stabilized", f"stability limits the step: {info}, at most {self.stability:g}"
        return None
