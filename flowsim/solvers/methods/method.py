"""Named Runge–Kutta methods: properties, solver, and how the stepper treats each family."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax.numpy as jnp

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


NOT_STIFF = 1.0
"""Value of h·ρ below which an explicit method is stable and takes fewer evaluations per step."""

MILDLY_STIFF = 8.0
"""Factor below `largest_useful_stiffness` at which a stabilized method is chosen again.

This hysteresis keeps a flow near the limit from switching, and compiling, repeatedly."""


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
    caveat
        A sentence for the notes of every run that uses the method; empty for most.

    """

    name: str
    order: int
    interpolates: bool
    make: Callable[[], Any]
    reference: str
    caveat: str = field(default="", kw_only=True)

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


def largest_useful_stiffness(rtol: float) -> float:
    """Return the h·ρ above which an implicit method is faster than a stabilized one.

    190 at rtol = 1e-4, measured, falling as rtol^¼. At four times this, the rounding of rock4's
    last stages is as large as the error allowed per step, and the step grows no further. There
    rkc2 takes about as many stages as an implicit step costs.
    """
    return 190.0 * float((rtol / 1e-4) ** 0.25)


@dataclass(frozen=True)
class StabilizedMethod(Method):
    """A stabilized explicit method; `make` returns a `Stabilized` solver."""

    family = "stabilized"

    def successor(self, info: StiffnessInfo) -> tuple[Family, str] | None:
        """Return an implicit method for very stiff flows, an explicit one for non-stiff flows."""
        if info.many_steps_ahead and info.stiffness > largest_useful_stiffness(info.rtol):
            return "implicit", f"very stiff: {info}"
        if info.stiffness < NOT_STIFF:
            return "explicit", f"no longer stiff: {info}"
        return None

    def limit_step(self, solver: Any, memory: Any, h: Array) -> Array:
        """Return the step size h, shortened to what the largest number of stages can take."""
        # fmin ignores a limit that is nan, where no ρ has been estimated or f is not finite
        return jnp.fmin(h, solver.longest_step(memory))

    def after_rejection(self, solver: Any, before: Any, attempted: Any) -> Any:
        """Return the memory after a rejected step, with an estimate of ρ due."""
        return solver.after_rejection(before, attempted)


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


@dataclass(frozen=True)
class RosenbrockMethod(ImplicitMethod):
    """A Rosenbrock method, whose linear systems use the flow's own preconditioner."""

    def prepare(self, solver: Any, system: Any, rtol: Array, norm: Any) -> Any:  # noqa: ARG002
        """Return the solver for a system at a tolerance."""
        return solver.for_system(system, rtol)
