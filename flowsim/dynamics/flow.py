"""The interface between a formulation of the gradient flow and the solvers."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flowsim.problem.initialization import from_svd
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Layers, Matrix, Scalar

State: TypeAlias = tuple[Array, ...]
"""The matrices that evolve: the layers, the end-to-end matrix alone, or factors of it."""


class Flow(eqx.Module):
    """A flow ẏ = velocity(y) on a tuple of matrices y that determines an end-to-end matrix W(y).

    A flow is a JAX pytree: what it holds as arrays is data of the compiled program, and static
    fields (depth, rank) choose the program.

    Attributes
    ----------
    space
        The name of the formulation, a key of `flowsim.dynamics.registry.FLOWS`.
    symmetric
        Whether the Jacobian of the velocity is symmetric, as that of a gradient is.

    """

    space: ClassVar[str]
    symmetric: ClassVar[bool] = False

    @abc.abstractmethod
    def initial_state(self, problem: Problem) -> State:
        """Return the state y(0)."""

    @abc.abstractmethod
    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return dy/dt for weight decay λ on every layer."""

    @abc.abstractmethod
    def end_to_end(self, state: State) -> Matrix:
        """Return W(y), of shape d_N × d_0."""

    def layers(self, state: State, depth: int) -> Layers:
        """Return layers W_1, …, W_N whose product is W(y), here balanced ones."""
        W = np.asarray(self.end_to_end(state))
        widths = (W.shape[1], *(min(W.shape),) * (depth - 1), W.shape[0])
        return from_svd(widths, *np.linalg.svd(W, full_matrices=False))

    def loss(self, state: State, W: Matrix, loss: Loss) -> Scalar:  # noqa: ARG002
        """Return the loss of a state with the end-to-end matrix W."""
        return loss.value(W)

    def log_size(self, state: State) -> Scalar:
        """Return about log max|W|, without forming W: here of a product of the state's matrices."""
        return jnp.sum(jnp.log(jnp.stack([jnp.max(jnp.abs(y)) for y in state])))

    def second_solve(self, problem: Problem) -> tuple[Flow, State]:
        """Return the flow, and its initial state, of the second solve that estimates the error.

        It has the same W(t). Where other coordinates exist in which rounding acts differently, it
        is the flow in those, so that an error common to both solutions is unlikely.
        """
        return self, self.initial_state(problem)

    def units(self, initial: State) -> tuple[float, ...] | None:  # noqa: ARG002
        """Return the size of each matrix of the state to which rtol is relative, or None.

        None stands for the size of the initial state (`Tolerances.scales` of the solvers).
        """
        return None

    def resolvent(
        self,
        state: State,  # noqa: ARG002
        loss: Loss,  # noqa: ARG002
        weight_decay: Array | float,  # noqa: ARG002
        tau: Array,  # noqa: ARG002
    ) -> Callable[[State], State]:
        """Return an approximation of x ↦ (I - τJ)⁻¹ x, J the Jacobian of the velocity.

        It preconditions the Krylov methods that implicit integrators solve with; here it is the
        identity. Where J is `symmetric` it must be symmetric and positive definite too, as
        conjugate gradients require.
        """
        return lambda x: x

    def exact_spectrum(self, state: State) -> tuple[Array, Array] | None:  # noqa: ARG002
        """Return log σ, descending, and the sign of det W (0 if W is not square), or None.

        None where the state holds them no more accurately than W does: singular values of W below
        eps·σ_1 are noise in its entries.
        """
        return None
