"""Losses given by a function of W, traced once so that they stay what they were.

JAX compiles a function once and reuses the program wherever the same function object comes again,
even if a global variable, an attribute or an array that it reads has changed since. A problem
therefore traces its loss when it is made, and keeps copies of the arrays that the function read.
Programs are compared by what they compute, so that equal losses are compiled once.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun, subjaxprs

from flowsim.problem.arguments import shown
from flowsim.problem.losses.loss import Loss
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
            value, gradient = (_trace(f, shape) for f in (self.value, self.gradient))
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise TypeError(
                "it converts W to numbers of NumPy or Python; write it with jax.numpy alone, "
                "without float(), bool() or if on values of W."
            ) from error
        if narrow := _narrow_types(value) | _narrow_types(gradient):
            raise TypeError(
                f"it computes in {' and '.join(sorted(narrow))}, but float64 is required. "
                "Arrays of JAX made before flowsim was imported are float32."
            )
        # rules of custom derivatives cannot be compared, but what they compute can
        curvature = _trace(lambda W: jax.jvp(self.gradient, (W,), (W,))[1], shape)
        key = tuple(_operations(f.jaxpr) for f in (value, gradient, curvature))
        programs = _Programs(value.jaxpr, gradient.jaxpr, key)
        return Traced(programs, tuple(value.consts), tuple(gradient.consts))


class Traced(Loss):
    """A differentiable function of W as it was when traced, with copies of the arrays it read.

    It computes in double precision, and rounds the results to the precision of W.
    """

    programs: _Programs = eqx.field(static=True)
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
            return _evaluate(self.programs.value, self.value_constants, W)

        value.defjvp(lambda W, dW: (value(*W), jnp.vdot(self.gradient(*W), *dW)))
        of_W: Scalar = value(W)
        return of_W

    def gradient(self, W: Matrix) -> Matrix:
        """Return the function's gradient at W."""
        return _evaluate(self.programs.gradient, self.gradient_constants, W)


def _evaluate(program: Jaxpr, constants: tuple[Array, ...], W: Matrix) -> Array:
    # descent in single precision rounds the data of its loss
    restored = [
        c.astype(kept) if eqx.is_inexact_array(c) else c
        for c, kept in zip(constants, _types(program.constvars), strict=True)
    ]
    (result,) = jaxpr_as_fun(ClosedJaxpr(program, restored))(W.astype(float))
    value: Array = result.astype(W.dtype)
    return value


class _Programs:
    """What a loss and its gradient compute; equal where two losses compute the same.

    JAX compares static fields to choose a compiled program, and shares it where they are equal.
    """

    def __init__(self, value: Jaxpr, gradient: Jaxpr, key: Hashable) -> None:
        self.value, self.gradient = value, gradient
        try:
            self.hash, self.key = hash(key), key
        except TypeError:  # a parameter that cannot be compared: equal to itself alone
            self.key = object()
            self.hash = hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Programs) and self.key == other.key

    def __hash__(self) -> int:
        return self.hash


_fresh = itertools.count()
_context: Any = jax.make_user_context(default_value=None)  # type: ignore[no-untyped-call]


def _trace(function: Callable[[Matrix], Array], shape: tuple[int, ...]) -> ClosedJaxpr:
    """Return the program of a function of W, with copies of its constants.

    The new context keeps JAX from reusing what it traced of inner functions (jit, scan, cond)
    when the variables that they read had other values.
    """
    with _context(next(_fresh)):
        closed = jax.make_jaxpr(function)(np.zeros(shape))
    traced: ClosedJaxpr = _with_copies(closed)
    return traced


def _with_copies(value: Any) -> Any:
    """Return a program, or a parameter of an operation, with all its NumPy arrays copied."""
    if isinstance(value, ClosedJaxpr):
        constants = [c if isinstance(c, jax.Array) else np.array(c) for c in value.consts]
        return ClosedJaxpr(_with_copies(value.jaxpr), constants)
    if isinstance(value, Jaxpr):
        copies = [
            eqn.replace(params={k: _with_copies(v) for k, v in eqn.params.items()})
            for eqn in value.eqns
        ]
        return value.replace(eqns=copies)  # type: ignore[no-untyped-call]
    return tuple(map(_with_copies, value)) if type(value) is tuple else value


def _operations(value: Any) -> Hashable:
    """Return a program as nested tuples that can be compared, its variables numbered."""
    if isinstance(value, ClosedJaxpr):
        constants = tuple((c.dtype, c.shape, np.asarray(c).tobytes()) for c in value.consts)
        return _operations(value.jaxpr), constants
    if isinstance(value, Jaxpr):
        numbers: defaultdict[Any, int] = defaultdict(itertools.count().__next__)

        def described(variables: Iterable[Any]) -> Hashable:
            return tuple(
                (x.aval, np.asarray(x.val).tobytes() if isinstance(x, Literal) else numbers[x])
                for x in variables
            )

        inputs = described((*value.constvars, *value.invars))
        operations = tuple(
            (
                eqn.primitive,
                tuple(
                    (name, _operations(value))
                    for name, value in sorted(eqn.params.items())
                    if not (eqn.primitive.name.startswith("custom_") and _is_rule(value))
                ),
                described(eqn.invars),
                described(eqn.outvars),
            )
            for eqn in value.eqns
        )
        return inputs, operations, described(value.outvars)
    return tuple(map(_operations, value)) if isinstance(value, tuple | list) else value


def _is_rule(value: Any) -> bool:
    """Return whether a parameter of a custom derivative is a function, not a program."""
    return callable(value) or hasattr(value, "call_wrapped")


def _narrow_types(program: ClosedJaxpr) -> set[str]:
    """Return the real types below double precision in which a program computes."""

    def types(jaxpr: Jaxpr) -> set[np.dtype]:
        variables = (*jaxpr.constvars, *(x for eqn in jaxpr.eqns for x in eqn.outvars))
        return set(_types(variables)).union(*map(types, subjaxprs(jaxpr)))

    narrow = {dtype for dtype in types(program.jaxpr) if jnp.issubdtype(dtype, jnp.floating)}
    return {str(dtype) for dtype in narrow if dtype.itemsize < 8}


def _types(variables: Iterable[Any]) -> list[np.dtype]:
    return [x.aval.dtype for x in variables]
