"""Stabilized explicit Runge–Kutta methods: as many stages as the spectrum of the Jacobian asks for.

Their stability interval on the negative real axis grows with the square of the number of stages,
so that long steps cost few evaluations and no linear algebra. They are made for Jacobians with a
real spectrum, which every gradient flow has, and take the field as autonomous.
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
"""Steps for which an estimate of the spectral radius is used."""

DISTANCE = 0.9

Field: TypeAlias = Callable[[Any], Any]


class Memory(NamedTuple):
    """What a step leaves to the next: f at its end, and the last estimate of the spectral radius.

    `age` counts the steps since it was made.
    """

    slope: Any
    radius: Array
    eigenvector: Any
    age: Array


class Recurrences(eqx.Module):
    """Three-term recurrences with ever more stages, a row each, ordered by their `reach`.

    u_j = μ_j u_{j-1} + ν_j u_{j-2} + h (α_j f(y + u_{j-1}) + β_j f(y)), j = 2..`length`, from
    u_0 = 0 and u_1 = h α_1 f(y). A method of row i is stable for h times the spectral radius up to
    reach_i.
    """

    reach: Array
    length: Array
    mu: Array
    nu: Array
    alpha: Array
    beta: Array

    def run(self, row: Array, field: Field, h: Array, y: Any, slope: Any) -> Any:
        """Return the last u of a row."""
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
    """A method that chooses its number of stages in every step.

    A step longer than the largest number of stages can take is answered with an infinite error.
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
        """Return the memory before the first step, with an estimate due."""
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
        """Return the state at t1, the estimated error, the dense output, the memory, success."""
        field: Field = lambda y: terms.vf(t0, y, args)  # noqa: E731
        h = terms.contr(t0, t1)
        memory = _refreshed(field, y0, solver_state)
        reach = jnp.asarray(self.recurrences.reach)
        row = jnp.searchsorted(reach, h * memory.radius)
        beyond = row == reach.size
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
        """Return the longest step worth trying with all stages.

        It keeps some distance, since the radius may grow by the next estimate.
        """
        return DISTANCE * self.recurrences.reach[-1] / memory.radius

    def refused(self, before: Memory, after: Memory) -> Memory:
        """Return the memory after a step that was not accepted.

        The estimate is due again, unless that step had just made it.
        """
        fresh = after.age == 1
        return after._replace(slope=before.slope, age=jnp.where(fresh, 0, LIFETIME))


def _refreshed(field: Field, y: Any, memory: Memory) -> Memory:
    """Return the memory with an estimate of the spectral radius young enough."""

    def renewed(old: Memory) -> Memory:
        radius, vector = spectral_radius(field, y, old.slope, old.eigenvector)
        return old._replace(radius=radius, eigenvector=vector, age=jnp.zeros_like(old.age))

    young: Memory = jax.lax.cond(memory.age >= LIFETIME, renewed, lambda old: old, memory)
    return young
