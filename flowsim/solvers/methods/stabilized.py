"""Stabilized explicit Runge–Kutta methods, whose number of stages follows the stiffness.

Their stability interval on the negative real axis grows as c s² with the number of stages s, so a
step of h costs √(hρ/c) evaluations and no linear algebra. They require a Jacobian with a real
spectrum, which every gradient flow has, and an autonomous right-hand side.

References: van der Houwen & Sommeijer 1980; Hairer & Wanner, Solving ODEs II, §IV.2.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from flowsim.problem.types import Array
from flowsim.solvers.methods.spectral_radius import chirp, spectral_radius

LIFETIME = 25
"""Steps for which an estimate of the spectral radius ρ is used, as in RKC and ROCK4.

A few power iterations then cost less than one evaluation per step."""

REACH_FRACTION = 0.9
"""Fraction of the longest stable step that is attempted: ρ may grow by its next estimate, and a
step beyond all stages is rejected after its work is done."""

Field: TypeAlias = Callable[[Any], Any]


class Memory(NamedTuple):
    """The state passed from one step to the next.

    Attributes
    ----------
    slope
        f at the end of the step.
    radius, eigenvector
        The last estimate of the spectral radius ρ, and its eigenvector.
    age
        Number of steps since that estimate.

    """

    slope: Any
    radius: Array
    eigenvector: Any
    age: Array


class Recurrences(eqx.Module):
    """Coefficients of three-term recurrences, one row per number of stages.

    u_j = μ_j u_{j-1} + ν_j u_{j-2} + h (α_j f(y + u_{j-1}) + β_j f(y)), j = 2..`length`, from
    u_0 = 0 and u_1 = h α_1 f(y). Row i is stable for h·ρ up to reach_i, which increases with i.
    The increments u rather than the stages y + u are carried, since on a long plateau u is many
    orders of magnitude smaller than y and would lose its digits in the sum.
    """

    reach: Array
    length: Array
    mu: Array
    nu: Array
    alpha: Array
    beta: Array

    def run(self, row: Array, field: Field, h: Array, y: Any, slope: Any) -> Any:
        """Return the last increment u of a row, for a step h from y with f(y) = slope."""
        mu, nu, alpha, beta = (
            jnp.asarray(c)[row] for c in (self.mu, self.nu, self.alpha, self.beta)
        )

        def stage(j: Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            u, before = carry
            f = field(jax.tree.map(jnp.add, y, u))
            after = jax.tree.map(
                lambda u, b, f, s: mu[j] * u + nu[j] * b + h * alpha[j] * f + h * beta[j] * s,
                *(u, before, f, slope),
            )
            return after, u

        first = jax.tree.map(lambda s: h * alpha[0] * s, slope)
        nothing = jax.tree.map(jnp.zeros_like, y)
        return jax.lax.fori_loop(1, jnp.asarray(self.length)[row], stage, (first, nothing))[0]


class Stabilized(diffrax.AbstractAdaptiveSolver[Memory]):
    """A solver with, in every step, the smallest number of stages that is stable for h·ρ.

    A step that no number of stages can take has an infinite error estimate.
    """

    recurrences: eqx.AbstractVar[Recurrences]

    term_structure: ClassVar[Any] = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Any] = diffrax.ThirdOrderHermitePolynomialInterpolation

    @abc.abstractmethod
    def finish(
        self, row: Array, field: Field, h: Array, y: Any, slope: Any, u: Any
    ) -> tuple[Any, Any, Any]:
        """Return the state at the step's end, f there, and the estimated error."""

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Memory:  # noqa: ARG002
        """Return the memory before the first step, with an estimate of ρ due."""
        return Memory(terms.vf(t0, y0, args), jnp.zeros(()), chirp(y0), jnp.asarray(LIFETIME))

    def step(
        self,
        terms: Any,
        t0: Any,
        t1: Any,
        y0: Any,
        args: Any,
        solver_state: Memory,
        made_jump: Any,  # noqa: ARG002
    ) -> tuple[Any, Any, dict[str, Any], Memory, Any]:
        """Return the state at t1, the error estimate, dense output, the memory, and success."""
        field: Field = lambda y: terms.vf(t0, y, args)  # noqa: E731
        h = terms.contr(t0, t1)
        memory = _refreshed(field, y0, solver_state)
        # `reach` ascends, so that this is the smallest number of stages that is stable
        reach = jnp.asarray(self.recurrences.reach)
        row = jnp.searchsorted(reach, h * memory.radius)
        beyond = row == reach.size
        # the shortest recurrence, since its result is discarded by the infinite error
        row = jnp.where(beyond, 0, row)
        u = self.recurrences.run(row, field, h, y0, memory.slope)
        y1, slope, error = self.finish(row, field, h, y0, memory.slope, u)
        error = jax.tree.map(lambda e: jnp.where(beyond, jnp.inf, e), error)
        dense = {
            "y0": y0,
            "y1": y1,
            "k0": jax.tree.map(lambda f: h * f, memory.slope),
            "k1": jax.tree.map(lambda f: h * f, slope),
        }
        after = memory._replace(slope=slope, age=memory.age + 1)
        return y1, error, dense, after, diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        """Return the field."""
        return terms.vf(t0, y0, args)

    def longest_step(self, memory: Memory) -> Array:
        """Return the longest step that is attempted with the largest number of stages."""
        return REACH_FRACTION * self.recurrences.reach[-1] / memory.radius

    def after_rejection(self, before: Memory, after: Memory) -> Memory:
        """Return the memory after a rejected step, with an estimate of ρ due.

        Too small a ρ makes a step unstable, which shows as a large error. An estimate made in the
        rejected step itself is at the same point y and stays.
        """
        # age 1: estimated in this step
        fresh = after.age == 1
        return after._replace(slope=before.slope, age=jnp.where(fresh, 0, LIFETIME))


def _refreshed(field: Field, y: Any, memory: Memory) -> Memory:
    """Return the memory with an estimate of ρ that is at most `LIFETIME` steps old."""

    def renewed(old: Memory) -> Memory:
        radius, vector = spectral_radius(field, y, old.slope, old.eigenvector)
        return old._replace(radius=radius, eigenvector=vector, age=jnp.zeros_like(old.age))

    young: Memory = jax.lax.cond(memory.age >= LIFETIME, renewed, lambda old: old, memory)
    return young
