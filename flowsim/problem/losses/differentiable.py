"""Losses given by a function of W, traced once so that they stay what they were.

A problem traces its loss when it is made (`flowsim.problem.tracing`). Equal losses are compiled
once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem.arguments import shown
from flowsim.problem.losses.loss import Loss
from flowsim.problem.tracing import NOT_TRACEABLE, Programs, evaluate, narrow_types, trace
from flowsim.problem.types import Array, Matrix, Scalar


class Differentiable(Loss):
    """Any differentiable `function` of the end-to-end matrix; JAX differentiates it."""

    function: Callable[[Matrix], Scalar]

    def __post_init__(self) -> None:
        """Wrap the function: two losses from one function may differ in what it reads."""
        if not callable(self.function):
            raise ValueError(
                f"Differentiable: function must be a function of W, but is {shown(self.function)}."
            )
        self.function = functools.partial(self.function)

    def value(self, W: Matrix) -> Scalar:
        """Return `function(W)`."""
        return jnp.asarray(self.function(W))

    def gradient(self, W: Matrix) -> Matrix:
        """Return ∇`function`(W)."""
        gradient: Matrix = jax.grad(self.function)(W)
        return gradient

    def traced(self, shape: tuple[int, ...]) -> Loss:
        """Return the loss for matrices W of a shape, with whatever the function reads now.

        Raises
        ------
        TypeError
            If the function is not written with jax.numpy, its value is not a single real number,
            or it computes in less than double precision.

        """
        try:
            value, gradient = (trace(f, np.zeros(shape)) for f in (self.value, self.gradient))
        except NOT_TRACEABLE as error:
            raise TypeError(
                "it converts W to numbers of NumPy or Python; write it with jax.numpy alone, "
                "without float(), bool() or if on values of W."
            ) from error
        if narrow := narrow_types(value) | narrow_types(gradient):
            raise TypeError(
                f"it computes in {' and '.join(sorted(narrow))}, but float64 is required. "
                "Arrays of JAX made before flowsim was imported are float32."
            )
        # rules of custom derivatives cannot be compared, but what they compute can
        curvature = trace(lambda W: jax.jvp(self.gradient, (W,), (W,))[1], np.zeros(shape))
        programs = Programs(value, gradient, curvature)
        return Traced(programs, tuple(value.consts), tuple(gradient.consts))


class Traced(Loss):
    """A differentiable function of W as it was when traced, with copies of the arrays it read.

    It computes in double precision, and rounds the results to the precision of W.
    """

    programs: Programs = eqx.field(static=True)
    value_constants: tuple[Array, ...]
    gradient_constants: tuple[Array, ...]

    @property
    def label(self) -> str:
        """The loss in the card of a problem: the class by which it was made."""
        return Differentiable.__name__

    def value(self, W: Matrix) -> Scalar:
        """Return the function's value at W."""

        # a rule of a custom derivative runs later, and what it reads may have changed by then
        @jax.custom_jvp
        def value(W: Matrix) -> Scalar:
            return self._evaluate(0, self.value_constants, W)

        value.defjvp(lambda W, dW: (value(*W), jnp.vdot(self.gradient(*W), *dW)))
        of_W: Scalar = value(W)
        return of_W

    def gradient(self, W: Matrix) -> Matrix:
        """Return the function's gradient at W."""
        return self._evaluate(1, self.gradient_constants, W)

    def _evaluate(self, program: int, constants: tuple[Array, ...], W: Matrix) -> Array:
        (result,) = evaluate(self.programs.jaxprs[program], constants, W.astype(float))
        value: Array = result.astype(W.dtype)
        return value
