"""What every continuous-time dynamics offers to a solver."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import equinox as eqx

from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Matrix

State: TypeAlias = tuple[Array, ...]
"""The matrices that a flow moves: the layers, or the end-to-end matrix alone."""


class Flow(eqx.Module):
    """A flow ẏ = velocity(y) on a tuple of matrices that determines an end-to-end matrix."""

    space: ClassVar[str]
    symmetric: ClassVar[bool] = False
    """Whether the Jacobian of the velocity is symmetric."""

    @abc.abstractmethod
    def initial_state(self, problem: Problem) -> State:
        """Return the state at t = 0."""

    @abc.abstractmethod
    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return dy/dt."""

    @abc.abstractmethod
    def end_to_end(self, state: State) -> Matrix:
        """Return the end-to-end matrix W of a state."""

    def second_solve(self, problem: Problem) -> tuple[Flow, State]:
        """Return a flow with the same W(t), and its start, that a solution can be checked with.

        Itself, unless there are other coordinates in which it would go wrong in another way.
        """
        return self, self.initial_state(problem)

    def units(self, start: State) -> tuple[float, ...] | None:  # noqa: ARG002
        """Return the unit of each matrix of the state, in which rtol is its absolute tolerance.

        None where the start's own size is the unit (`flowsim.solvers.methods.Tolerances.scales`).
        """
        return None

    def resolvent(
        self,
        state: State,  # noqa: ARG002
        loss: Loss,  # noqa: ARG002
        weight_decay: Array | float,  # noqa: ARG002
        tau: Array,  # noqa: ARG002
    ) -> Callable[[State], State]:
        """Return an approximation of x ↦ (I - τJ)⁻¹ x, J the Jacobian of the velocity: here x.

        Where J is `symmetric`, it must be too, and positive definite where I - τJ is.
        """
        return lambda x: x

    def exact_spectrum(self, state: State) -> tuple[Array, Array] | None:  # noqa: ARG002
        """Return log σ, descending, and the sign of det W (0 if W is not square).

        Only where the state holds them more accurately than W does; None elsewhere.
        """
        return None
