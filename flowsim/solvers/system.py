"""A flow in scaled units: the system of differential equations that a solver integrates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flowsim.dynamics.flow import Flow, State
from flowsim.problem.losses import Completion, Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array, Matrix, Scalar
from flowsim.solvers.methods.spectral_radius import SAFETY, chirp, spectral_radius
from flowsim.solvers.methods.tolerances import Tolerances

LARGEST = 1e140
"""Largest max|W| of a solution: losses and norms square it, and float64 ends at 1.8e308."""

LOG_LARGEST = np.log(LARGEST)


class ScaledFlow(eqx.Module):
    """A flow ẏ = f(y) of a problem, with each matrix of the state in units of its own scale.

    The scaled state is one row of numbers: all matrices divided by their scales, raveled and
    concatenated. One relative tolerance then serves matrices of different sizes, and a step costs
    few operations of XLA, each of which takes microseconds however small its arrays are.
    """

    flow: Flow
    loss: Loss
    weight_decay: Array
    scales: tuple[Array, ...]
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    @classmethod
    def of(cls, flow: Flow, problem: Problem, start: State, tolerances: Tolerances) -> ScaledFlow:
        """Return the system of a flow, with the scales of its initial state.

        The scales are the flow's own units, if it has any and no absolute tolerance is given, else
        those of `Tolerances.scales`. Every number is an array, so that a new value does not
        recompile.
        """
        own = flow.units(start) if tolerances.atol is None else None
        return cls(
            flow=flow,
            loss=problem.loss,
            weight_decay=np.asarray(problem.weight_decay),
            scales=tuple(np.asarray(s) for s in own or tolerances.scales(start)),
            shapes=tuple(y.shape for y in start),
        )

    def velocity(self, t: Any, y: State, args: None) -> State:  # noqa: ARG002
        """Return dy/dt of a scaled state, in scaled units."""
        return self.scaled(self.flow.velocity(self.unscaled(y), self.loss, self.weight_decay))

    def scaled(self, state: State) -> State:
        """Return a state in scaled units, as one row."""
        parts = (jnp.ravel(y) / s for y, s in zip(state, self.scales, strict=True))
        return (jnp.concatenate(list(parts)),)

    def unscaled(self, y: State) -> State:
        """Return a scaled state, or many along leading axes, in its own units."""
        (row,) = y
        parts = jnp.split(row, list(accumulate(map(prod, self.shapes)))[:-1], axis=-1)
        return tuple(
            (part * s).reshape(*row.shape[:-1], *shape)
            for part, s, shape in zip(parts, self.scales, self.shapes, strict=True)
        )

    def end_to_end(self, y: State) -> Matrix:
        """Return the end-to-end matrix of a scaled state."""
        return self.flow.end_to_end(self.unscaled(y))

    def log_size(self, y: State) -> Scalar:
        """Return about log max|W| at a scaled state."""
        return self.flow.log_size(self.unscaled(y))

    def in_range(self, y: State) -> Array:
        """Return whether the squares of W's entries are far from overflow."""
        return jnp.less(self.log_size(y), LOG_LARGEST)

    def loss_at(self, y: State) -> Scalar:
        """Return the loss at a scaled state."""
        state = self.unscaled(y)
        return self.flow.loss(state, self.flow.end_to_end(state), self.loss)

    @property
    def symmetric(self) -> bool:
        """Return whether the Jacobian in scaled units is symmetric under `inner`."""
        return self.flow.symmetric

    def resolvent(self, y: State, tau: Array) -> Callable[[State], State]:
        """Return an approximation of x ↦ (I - τJ)⁻¹ x, J the Jacobian in scaled units."""
        inverse = self.flow.resolvent(self.unscaled(y), self.loss, self.weight_decay, tau)
        # with scales D, (I - τD⁻¹JD)⁻¹ = D⁻¹ (I - τJ)⁻¹ D
        return lambda x: self.scaled(inverse(self.unscaled(x)))

    def inner(self, x: State, y: State) -> Scalar:
        """Return ⟨x, y⟩ of two scaled states in their own units.

        With scales D the scaled Jacobian is D⁻¹JD, symmetric under ⟨Dx, Dy⟩ where J is symmetric.
        """
        pairs = zip(self.unscaled(x), self.unscaled(y), strict=True)
        return jnp.asarray(sum(jnp.vdot(x_j, y_j) for x_j, y_j in pairs))

    @eqx.filter_jit
    def spectral_radius(self, t: Scalar, y: State) -> Scalar:
        """Return an estimate of the largest |eigenvalue| of the Jacobian, by power iteration.

        Power iteration converges since the spectrum is real: the Jacobian of a gradient flow is
        symmetric, and in end-to-end space it is similar to a symmetric one.
        """
        bound, _ = spectral_radius(
            lambda x: self.velocity(t, x, None), y, self.velocity(t, y, None), chirp(y)
        )
        return bound / SAFETY


def unobserved_error(loss: Loss, W: Array) -> Array:
    """Return ‖W - Φ‖_F over the entries of Φ that are not observed; nan if not of completion."""
    if not isinstance(loss, Completion):
        return jnp.asarray(jnp.nan)
    return jnp.asarray(jnp.linalg.norm(jnp.where(loss.observed == 0, W - loss.Phi, 0.0)))


def distance_to_target(loss: Loss, W: Array) -> Array:
    """Return ‖W - Φ‖_F, or nan for a loss without a target Φ."""
    return jnp.asarray(jnp.nan) if loss.target is None else jnp.linalg.norm(W - loss.target)
