"""Functions of the user, traced once so that they stay what they were.

JAX compiles a function once and reuses the program wherever the same function object comes again,
even if a global variable, an attribute or an array that it reads has changed since. A function is
therefore traced when it is given, with copies of the arrays that it reads. Traced programs are
compared by what they compute, so that equal ones are compiled once.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun, subjaxprs

from flowsim.problem.types import Array

NOT_TRACEABLE = (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError)
"""Errors of functions that convert arrays of JAX to numbers of NumPy or Python."""


class Programs:
    """Traced programs; equal to others that compute the same from the same constants.

    JAX compares static fields to choose a compiled program, and shares it where they are equal.
    """

    def __init__(self, *traced: ClosedJaxpr) -> None:
        self.jaxprs = tuple(each.jaxpr for each in traced)
        try:
            self.key: Hashable = tuple(map(_operations, self.jaxprs))
            self.hash = hash(self.key)
        except TypeError:  # a parameter that cannot be compared: equal to itself alone
            self.key = object()
            self.hash = hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Programs) and self.key == other.key

    def __hash__(self) -> int:
        return self.hash


_fresh = itertools.count()
_context: Any = jax.make_user_context(default_value=None)  # type: ignore[no-untyped-call]


def trace(function: Callable[..., Any], *arguments: Any) -> ClosedJaxpr:
    """Return the program of a function of arguments like these, with copies of its constants."""
    return trace_with_shapes(function, *arguments)[0]


def trace_with_shapes(function: Callable[..., Any], *arguments: Any) -> tuple[ClosedJaxpr, Any]:
    """Return the program of a function, and its results as a tree of shapes and types.

    The new context keeps JAX from reusing what it traced of inner functions (jit, scan, cond)
    when the variables that they read had other values.
    """
    with _context(next(_fresh)):
        closed, results = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return _with_copies(closed), results


def evaluate(program: Jaxpr, constants: Sequence[Array], *arguments: Array) -> list[Array]:
    """Return the results of a program, its constants in the precision in which it was traced."""
    # descent in single precision rounds the data of its loss
    restored = [
        c.astype(kept) if eqx.is_inexact_array(c) else c
        for c, kept in zip(constants, _types(program.constvars), strict=True)
    ]
    results: list[Array] = jaxpr_as_fun(ClosedJaxpr(program, restored))(*arguments)
    return results


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


def fingerprint(function: Callable[..., Any], *arguments: Any) -> str:
    """Return the SHA-256 of what a function computes: its operations and its arrays."""
    text = repr(_operations(trace(function, *arguments)))
    # addresses of functions differ between processes
    return hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", text).encode()).hexdigest()


def _is_rule(value: Any) -> bool:
    """Return whether a parameter of a custom derivative is a function, not a program."""
    return callable(value) or hasattr(value, "call_wrapped")


def narrow_types(program: ClosedJaxpr) -> set[str]:
    """Return the real types below double precision in which a program computes."""

    def types(jaxpr: Jaxpr) -> set[np.dtype]:
        variables = (*jaxpr.constvars, *(x for eqn in jaxpr.eqns for x in eqn.outvars))
        return set(_types(variables)).union(*map(types, subjaxprs(jaxpr)))

    narrow = {dtype for dtype in types(program.jaxpr) if jnp.issubdtype(dtype, jnp.floating)}
    return {str(dtype) for dtype in narrow if dtype.itemsize < 8}


def _types(variables: Iterable[Any]) -> list[np.dtype]:
    return [x.aval.dtype for x in variables]
