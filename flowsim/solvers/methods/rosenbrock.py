"""Rosenbrock methods whose linear systems are solved by a preconditioned Krylov method.

A step from y over h, with stages i = 1..s:

    (I - γhJ) U_i = γh f(y + Σ_{j<i} a_ij U_j) + γ Σ_{j<i} c_ij U_j,   J = ∂f/∂y,
    y' = y + Σ_{j<s} a_sj U_j + U_s.

The last increment U_s is the error estimate (Hairer & Wanner, Solving ODEs II, §IV.7). A step
solves s linear systems with one matrix and needs no Newton iteration. J is applied to vectors and
never formed, since N·d² entries of the layers would make it (N d²)² large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array
from flowsim.solvers.methods.krylov import (
    Operator,
    Vector,
    conjugate_gradients,
    plus,
    stabilized_biconjugate_gradients,
)

MOST_ITERATIONS = 200
"""Krylov iterations of one linear system after which the step is rejected as too long.

With the flow's resolvent as preconditioner a system takes fewer than 12."""

ERROR_FRACTION = 1e-5
"""Error that a linear system may add, as a fraction of the error allowed per step.

A larger one shows in the solution long before it shows in the error estimate, which consists of the
same inaccurate stages. Five more digits cost a fifth more time."""

LARGEST_RESIDUAL = 1e-3
"""Largest residual of a linear system relative to the state.

Near a minimum the residual is γh times the remaining gradient. Unless it is small, I - γhJ is
indefinite in the next step."""


class Tableau(NamedTuple):
    """The order, γ, and the lower triangles of a_ij and c_ij, row by row."""

    order: int
    gamma: float
    a: tuple[tuple[float, ...], ...]
    c: tuple[tuple[float, ...], ...]


@runtime_checkable
class System(Protocol):
    """A system ẏ = f(y) with what is needed to solve (I - τJ) x = b by a Krylov method."""

    @property
    def symmetric(self) -> bool:
        """Whether J is symmetric under the inner product."""

    def resolvent(self, y: Vector, tau: Array) -> Operator:
        """Return an approximation of x ↦ (I - τJ)⁻¹ x."""

    def inner(self, x: Vector, y: Vector) -> Array:
        """Return the inner product of two states."""


class State(eqx.Module):
    """Costs so far: Krylov iterations in total, and the largest number of one linear system."""

    iterations: Array
    most: Array


class Rosenbrock(diffrax.AbstractAdaptiveSolver[State]):
    """The solver of a Rosenbrock method; `for_system` supplies the system."""

    tableau: Tableau = eqx.field(static=True)
    system: Any = None
    rtol: Any = None

    term_structure: ClassVar[type] = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., Any]] = (
        diffrax.ThirdOrderHermitePolynomialInterpolation
    )

    def for_system(self, system: System, rtol: Array) -> Rosenbrock:
        """Return the solver for a system at a relative tolerance."""
        return replace(self, system=system, rtol=rtol)

    def order(self, terms: Any) -> int:  # noqa: ARG002
        """Return the order."""
        return self.tableau.order

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        """Return f."""
        return terms.vf(t0, y0, args)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> State:  # noqa: ARG002
        """Return the costs before the first step."""
        return State(jnp.asarray(0), jnp.asarray(0))

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: State, made_jump: Any
    ) -> tuple[Any, Any, dict[str, Any], State, Any]:
        """Return the state at t1, the error estimate, dense output, costs, and success.

        A linear system that was not solved makes the error estimate infinite: the step is rejected
        as too long, and a shorter one makes I - γhJ closer to the identity.
        """
        del made_jump
        a, c = (_square(rows) for rows in (self.tableau.a, self.tableau.c))
        gamma, h = self.tableau.gamma, t1 - t0
        f, J = jax.linearize(lambda y: terms.vf(t0, y, args), y0)
        solve = self._linear_solver(y0, J, gamma * h)

        def stage(carry: Any, row: Any) -> Any:
            U, iterations, most, ok = carry
            i, a_i, c_i = row
            slope = terms.vf(t0, plus(y0, _combined(a_i, U)), args)
            solved = solve(plus(_combined(gamma * c_i, U), slope, gamma * h))
            U = tuple(B.at[i].set(u) for B, u in zip(U, solved.x, strict=True))
            most = jnp.maximum(most, solved.iterations)
            return (U, iterations + solved.iterations, most, ok & solved.ok), None

        none = tuple(jnp.zeros((len(a), *y.shape), y.dtype) for y in y0)
        start = (none, solver_state.iterations, solver_state.most, jnp.asarray(True))
        # a scan rather than a Python loop: one compiled linear solver serves all stages
        (U, *costs, ok), _ = jax.lax.scan(stage, start, (jnp.arange(len(a)), a, c))
        y1 = plus(y0, _combined(jnp.asarray(a[-1]).at[-1].set(1.0), U))
        # U_s is the difference between y₁ and the embedded solution, which omits it
        error = tuple(jnp.where(ok, u[-1], jnp.inf) for u in U)
        ends = tuple(tuple(h * v for v in x) for x in (f, terms.vf(t1, y1, args)))
        dense = {"y0": y0, "y1": y1, "k0": ends[0], "k1": ends[1]}
        return y1, error, dense, State(*costs), diffrax.RESULTS.successful

    def _linear_solver(self, y: Vector, J: Operator, tau: Array) -> Callable[[Vector], Any]:
        """Return b ↦ x with (I - τJ) x = b, by conjugate gradients where J is symmetric."""
        system = self.system
        krylov = conjugate_gradients if system.symmetric else stabilized_biconjugate_gradients
        inverse = system.resolvent(y, tau)
        error = ERROR_FRACTION * self.rtol

        def enough(r: Vector, z: Vector) -> Array:
            # z ≈ (I - τJ)⁻¹ r is the error of x; r alone overestimates it along stiff directions
            small = _relative(z, y) <= error
            return jnp.asarray(small & (_relative(r, y) <= LARGEST_RESIDUAL))

        return lambda b: krylov(
            lambda x: plus(x, J(x), -tau), inverse, system.inner, enough, b, MOST_ITERATIONS
        )


def _relative(x: Vector, y: Vector) -> Array:
    """Return the root mean square of x / (1 + |y|), as errors are measured."""
    total = sum(jnp.sum((x_j / (1 + jnp.abs(y_j))) ** 2) for x_j, y_j in zip(x, y, strict=True))
    return jnp.sqrt(total / sum(y_j.size for y_j in y))


def _combined(weights: Any, U: Vector) -> Vector:
    return tuple(jnp.tensordot(weights, u, axes=1) for u in U)


def _square(rows: tuple[tuple[float, ...], ...]) -> np.ndarray:
    matrix = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix
