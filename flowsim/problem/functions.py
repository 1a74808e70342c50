"""Real functions of the user with their gradients: of W, of a prediction, of the layers.

The first argument x is an array or a tuple of arrays, with respect to which the gradient is taken.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from flowsim.problem.tracing import NOT_TRACEABLE, Programs, evaluate, narrow_types, trace
from flowsim.problem.types import Array, Scalar

Arrays: TypeAlias = Any
"""An array, or a tuple of arrays."""


class Name:
    """A name for people: equal to any other, so that it chooses no compiled program."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name)

    def __hash__(self) -> int:
        return hash(Name)


def name_of(function: Callable[..., Any], otherwise: str) -> str:
    """Return the name by which a function was defined, or another one for a lambda."""
    name = getattr(function, "__name__", "<lambda>")
    return otherwise if name == "<lambda>" else str(name)


class Function(eqx.Module):
    """A differentiable real function of x and of further arguments."""

    @abc.abstractmethod
    def value(self, x: Arrays, *others: Array) -> Scalar:
        """Return the value."""

    @abc.abstractmethod
    def gradient(self, x: Arrays, *others: Array) -> Arrays:
        """Return the gradient with respect to x, of the form of x."""


class Given(Function):
    """A function as it was given; JAX differentiates it."""

    function: Callable[..., Any]

    def __post_init__(self) -> None:
        """Wrap the function: two from one function may differ in what it reads."""
        self.function = functools.partial(self.function)

    def value(self, x: Arrays, *others: Array) -> Scalar:
        """Return `function(x, …)`."""
        return jnp.asarray(self.function(x, *others))

    def gradient(self, x: Arrays, *others: Array) -> Arrays:
        """Return its gradient by automatic differentiation."""
        return jax.grad(self.function)(x, *others)

    def traced(self, x: Arrays, *others: Array, name: str) -> Traced:
        """Return the function for arguments like these, with whatever it reads now.

        `name` is that of x in messages.

        Raises
        ------
        TypeError
            If the function is not written with jax.numpy, its value is not a single real number,
            or it computes in less than double precision.

        """
        try:
            value, gradient = (trace(f, x, *others) for f in (self.value, self.gradient))
        except NOT_TRACEABLE as error:
            raise TypeError(
                f"it converts {name} to numbers of NumPy or Python; write it with jax.numpy alone, "
                f"without float(), bool() or if on values of {name}."
            ) from error
        if narrow := narrow_types(value) | narrow_types(gradient):
            raise TypeError(
                f"it computes in {' and '.join(sorted(narrow))}, but float64 is required. "
                "Arrays of JAX made before flowsim was imported are float32."
            )

        # rules of custom derivatives cannot be compared, but what they compute can
        def curvature(x: Arrays, *others: Array) -> Arrays:
            return jax.jvp(lambda x: self.gradient(x, *others), (x,), (x,))[1]

        programs = Programs(value, gradient, trace(curvature, x, *others))
        return Traced(programs, tuple(value.consts), tuple(gradient.consts))


class Traced(Function):
    """A function as it was when traced, with copies of the arrays that it read.

    It computes in double precision, and rounds the results to the precision of x.
    """

    programs: Programs = eqx.field(static=True)
    value_constants: tuple[Array, ...]
    gradient_constants: tuple[Array, ...]

    def value(self, x: Arrays, *others: Array) -> Scalar:
        """Return the value."""

        # a rule of a custom derivative runs later, and what it reads may have changed by then
        @jax.custom_jvp
        def value(x: Arrays, others: tuple[Array, ...]) -> Scalar:
            (result,) = self._evaluate(0, self.value_constants, x, others)
            return result

        @value.defjvp
        def _(at: Any, directions: Any) -> tuple[Scalar, Scalar]:
            parts = jax.tree.map(jnp.vdot, self.gradient(at[0], *at[1]), directions[0])
            return value(*at), jnp.asarray(sum(jax.tree.leaves(parts)))

        found: Scalar = value(x, others)
        return found

    def gradient(self, x: Arrays, *others: Array) -> Arrays:
        """Return the gradient."""
        parts = self._evaluate(1, self.gradient_constants, x, others)
        return jax.tree.unflatten(jax.tree.structure(x), parts)

    def _evaluate(
        self, program: int, constants: tuple[Array, ...], x: Arrays, others: tuple[Array, ...]
    ) -> list[Array]:
        arguments = [
            a.astype(float) if eqx.is_inexact_array(a) else a for a in jax.tree.leaves((x, others))
        ]
        results = evaluate(self.programs.jaxprs[program], constants, *arguments)
        precision = jax.tree.leaves(x)[0].dtype
        return [result.astype(precision) for result in results]
