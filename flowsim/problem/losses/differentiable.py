"""Losses given by a function, of W or of the prediction on each sample, and what is stated of them.

A problem traces its loss when it is made (`flowsim.problem.tracing`). Equal losses are compiled
once.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.arguments import shown
from flowsim.problem.functions import Function, Given, Name
from flowsim.problem.losses.loss import Loss, value_and_gradient
from flowsim.problem.types import Array, Inputs, Matrix, Scalar

AGREE = 1e-6
"""Largest difference between a stated minimum and the loss at a stated target, relative to how far
the loss at the initialization is above them."""
ROUNDING = 1e3 * float(np.finfo(np.float64).eps)
"""Relative rounding error of a loss."""
STEPS = 0.1 * 0.25 ** np.arange(8)
"""Distances from a stated target at which a lower loss is looked for, relative to that of W(0)."""


class Statement(eqx.Module):
    """What is stated about a loss that is given by a function.

    Attributes
    ----------
    target
        A matrix that minimizes the loss, or None.
    minimum
        The least value of the loss over all matrices, or None.
    convex
        Whether the loss is smooth and convex.
    name
        Its name.

    """

    target: Matrix | None = None
    minimum: Scalar | None = None
    convex: bool = eqx.field(static=True, default=False)
    name: Name = eqx.field(static=True, default=Name("a function of W"))


class Custom(Loss):
    """A loss given by a function, with the properties that are stated of it."""

    function: eqx.AbstractVar[Function]
    stated: eqx.AbstractVar[Statement]

    @abc.abstractmethod
    def arguments(self, shape: tuple[int, ...]) -> tuple[str, tuple[Array, ...]]:
        """Return the name of the function's first argument, and examples of all, for W of a shape.

        Raises
        ------
        ValueError
            If the loss does not take matrices of this shape.

        """

    def traced(self, shape: tuple[int, ...]) -> Custom:
        """Return the loss for matrices W of a shape, with whatever the function reads now.

        Raises
        ------
        TypeError
            If the function is not written with jax.numpy, its value is not a single real number,
            or it computes in less than double precision.

        """
        if not isinstance(self.function, Given):
            return self
        name, examples = self.arguments(shape)
        return replace(self, function=self.function.traced(*examples, name=name))

    def verified(self, W: Matrix, value: float) -> Custom:
        """Return the loss with its minimum, ℓ(Φ) for a target Φ, if the statements hold at W.

        Raises
        ------
        ValueError
            If the minimum is above ℓ(W), or the target does not minimize the loss.

        """
        least, Phi = self.minimum, self.target
        if Phi is not None:
            at_target = _value_at_target(self, Phi, W, value)
            least = at_target if least is None else least
            if abs(least - at_target) > AGREE * abs(value - least) + _rounding(least, at_target):
                raise ValueError(
                    f"minimum must be the loss at target, {at_target:.6g}, but is {least:.6g}; "
                    "leave one of them out, or correct it."
                )
        if least is None:
            return self
        if value < least - _rounding(least, value):
            raise ValueError(
                f"minimum must be at most the loss at the start, {value:.6g}, but is {least:.6g}; "
                "correct it, or leave it out."
            )
        return replace(self, stated=replace(self.stated, minimum=np.asarray(least)))

    def doubted(self) -> Custom:
        """Return the loss without statements but its name and target."""
        unproven = Statement(target=self.stated.target, name=self.stated.name)
        return replace(self, stated=unproven)

    @property
    def label(self) -> str:
        """The stated name."""
        return str(self.stated.name)

    @property
    def target(self) -> Matrix | None:
        """The stated target."""
        return self.stated.target

    @property
    def minimum(self) -> float | None:
        """The stated minimum, or the loss at the stated target."""
        return None if self.stated.minimum is None else float(self.stated.minimum)

    @property
    def convex(self) -> bool:
        """Whether it is stated to be smooth and convex."""
        return self.stated.convex

    @property
    def why_not_smooth_convex(self) -> str:
        """Empty if it is stated to be smooth and convex."""
        return "" if self.convex else super().why_not_smooth_convex


def _rounding(*values: float) -> float:
    return ROUNDING * max(map(abs, values))


def _value_at_target(loss: Loss, Phi: Matrix, W: Matrix, value: float) -> float:
    """Return ℓ(Φ), checked against ℓ(W) and against the loss near Φ, down its gradient."""
    at_target, slope = value_and_gradient(loss, Phi)
    least, size = float(at_target), float(np.linalg.norm(slope))
    lower = [value]
    if np.isfinite(size) and size > 0:
        lengths = STEPS * float(np.linalg.norm(W - Phi)) / size
        lower += [float(value_and_gradient(loss, Phi - t * slope)[0]) for t in lengths]
    if not min(lower) >= least - 1e-3 * AGREE * abs(value - least) - _rounding(least, value):
        raise ValueError(
            f"target must minimize the loss, but the loss is {least:.6g} there, and "
            f"{min(lower):.6g} elsewhere; correct it, or leave it out."
        )
    return least


def _function_of_w(function: Any) -> Function:
    if not isinstance(function, Function) and not callable(function):
        raise ValueError(
            f"Differentiable: function must be a function of W, but is {shown(function)}."
        )
    return function if isinstance(function, Function) else Given(function)


class Differentiable(Custom):
    """Any differentiable `function` of the end-to-end matrix; JAX differentiates it."""

    function: Function = eqx.field(converter=_function_of_w)
    stated: Statement = Statement()

    def arguments(self, shape: tuple[int, ...]) -> tuple[str, tuple[Array, ...]]:
        """Return W alone."""
        return "W", (np.zeros(shape),)

    def value(self, W: Matrix) -> Scalar:
        """Return `function(W)`."""
        return self.function.value(W)

    def gradient(self, W: Matrix) -> Matrix:
        """Return ∇`function`(W)."""
        gradient: Matrix = self.function.gradient(W)
        return gradient


class OverSamples(Custom):
    """ℓ(W) = 1/m Σ_i f(W x_i, y_i) for a `function` f of a prediction and its label.

    Attributes
    ----------
    function
        f, of a prediction of shape (d_N,) and a label.
    inputs
        The samples x_i, the columns of a matrix.
    labels
        The labels y_i along the first axis, of any shape.

    """

    sample_axes: ClassVar[Mapping[str, int]] = {"inputs": 1, "labels": 0}

    function: Function
    stated: Statement
    inputs: Inputs
    labels: Array

    def arguments(self, shape: tuple[int, ...]) -> tuple[str, tuple[Array, ...]]:
        """Return a prediction and the first label."""
        rows = self.inputs.shape[0]
        if shape[1] != rows:
            raise ValueError(
                f"inputs must have a row for each of the {shape[1]} columns of W, but has {rows}."
            )
        return "the prediction", (np.zeros(shape[0]), np.asarray(self.labels[0]))

    def takes(self, shape: tuple[int, ...]) -> str:
        """Return the arguments of the function, in messages."""
        return f"a prediction of shape {shape[:1]} and a label of shape {self.labels.shape[1:]}"

    def _pairs(self, W: Matrix) -> tuple[Array, Array]:
        """Return all predictions and labels, as arrays of JAX: NumPy's cannot be mapped over."""
        return jnp.asarray(W @ self.inputs), jnp.asarray(self.labels)

    def value(self, W: Matrix) -> Scalar:
        """Return the mean of f over the samples."""
        return jnp.mean(jax.vmap(self.function.value, (1, 0))(*self._pairs(W)))

    def gradient(self, W: Matrix) -> Matrix:
        """Return 1/m Σ_i ∂f/∂(W x_i) x_iᵀ."""
        slopes: Any = jax.vmap(self.function.gradient, (1, 0), 1)(*self._pairs(W))
        gradient: Matrix = slopes @ self.inputs.T / self.inputs.shape[1]
        return gradient
