"""What every continuous-time dynamics offers to a solver."""

from __future__ import annotations

import abc
from typing import ClassVar, TypeAlias

import equinox as eqx

from flowsim.arrays import Array, Matrix
from flowsim.losses import Loss
from flowsim.problem import Problem

State: TypeAlias = tuple[Array, ...]
"""The matrices that a flow moves: the layers, or the end-to-end matrix alone."""


class Flow(eqx.Module):
    """A flow ẏ = velocity(y) on a tuple of matrices that determines an end-to-end matrix."""

    space: ClassVar[str]

    @abc.abstractmethod
    def start(self, problem: Problem) -> State:
        """Return the state at t = 0."""

    @abc.abstractmethod
    def velocity(self, state: State, loss: Loss, weight_decay: Array | float) -> State:
        """Return dy/dt."""

    @abc.abstractmethod
    def end_to_end(self, state: State) -> Matrix:
        """Return the end-to-end matrix W of a state."""

    def exact_spectrum(self, state: State) -> tuple[Array, Array] | None:  # noqa: ARG002
        """Return log σ, descending, and the sign of det W (0 if W is not square).

        Only where the state holds them more accurately than W does; None elsewhere.
        """
        return None
