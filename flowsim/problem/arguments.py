"""Arguments from Python: numbers and arrays, checked where they enter the package.

Every check takes the name of an argument and its value, returns the value in the form in which it
is used, and raises ValueError with a sentence where it has none.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[str, Any], Any]

LONGEST = 60
"""Characters of a wrong value in a message."""


def checked(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that passes each of these arguments through its check."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def with_checks(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            for name in given.arguments.keys() & checks.keys():
                given.arguments[name] = checks[name](name, given.arguments[name])
            return function(*given.args, **given.kwargs)

        return with_checks

    return decorate


def shown(value: Any) -> str:
    """Return a value as it is written in Python, in one line that is not long."""
    if isinstance(value, int) and value.bit_length() > 1000:  # Python writes out no longer ones
        return "an integer beyond the range of float64"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def real_number(name: str, value: Any, required: str = "") -> float:
    """Return a number as float, which bools, strings and None are not."""
    scalar = _scalar(value)
    if isinstance(scalar, bool | np.bool_) or not isinstance(scalar, Real):
        raise ValueError(f"{name} must be a number{required}, but is {shown(value)}.")
    try:
        return float(scalar)
    except OverflowError:
        return math.inf


def finite_number(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """Return a finite number as float, within its range."""
    limits = ["finite"]
    limits += [f"greater than {above:g}"] if above > -math.inf else []
    limits += [f"at least {least:g}"] if least > -math.inf else []
    limits += [f"at most {most:g}"] if most < math.inf else []
    required = " and ".join(limits)
    number = real_number(name, value, f", {required}")
    if not (math.isfinite(number) and number > above and least <= number <= most):
        raise ValueError(f"{name} must be {required}, but is {number:g}.")
    return number


def whole_number(name: str, value: Any, *, least: int) -> int:
    """Return an integer of at least `least`."""
    number = _scalar(value)
    if isinstance(number, bool | np.bool_) or not isinstance(number, Integral):
        raise ValueError(f"{name} must be a whole number, at least {least}, but is {shown(value)}.")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, but is {number}.")
    return int(number)


def real_array(name: str, value: Any, *, keep_integers: bool = False) -> np.ndarray:
    """Return a read-only copy of an array, list or table of real numbers, in double precision.

    Integers stay integers where they may number classes.

    Raises
    ------
    ValueError
        If it holds anything but real numbers.

    """
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        holds = "rows of unequal lengths or other objects" if array.dtype == object else array.dtype
        raise ValueError(f"{name} must be an array of real numbers, but holds {holds}.")
    is_kept = keep_integers and array.dtype.kind != "f"
    dtype = array.dtype.newbyteorder("=") if is_kept else np.dtype(float)
    # the layout is kept, since it decides how products round
    copy = array.astype(dtype, order="K", copy=True)
    copy.flags.writeable = False
    return copy


def times_from_zero(name: str, value: Any) -> np.ndarray:
    """Return times that increase strictly from 0."""
    times = real_array(name, value)
    if times.ndim != 1 or times.size < 1 or not np.isfinite(times).all():
        raise ValueError(f"{name} must be a non-empty list of finite numbers.")
    if times[0] != 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"{name} must increase strictly from 0, the time of the start.")
    return times


def times_in_any_order(name: str, value: Any) -> np.ndarray:
    """Return times from 0 on, or no times."""
    times = real_array(name, value)
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        raise ValueError(f"{name} must be a list of finite numbers from 0 on.")
    return times


def one_of(name: str, value: Any, names: Collection[str]) -> str:
    """Return a name that is known."""
    if not (isinstance(value, str) and value in names):
        raise ValueError(f"{name} must be one of {', '.join(names)}, but is {shown(value)}.")
    return value


def truth(name: str, value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, but is {shown(value)}.")
    return bool(value)


def widths(name: str, value: Any) -> tuple[int, ...]:
    """Return the widths d_0, …, d_N of a network."""
    entries = list(value) if np.iterable(value) and not isinstance(value, str | bytes) else []
    if len(entries) < 2:
        raise ValueError(
            f"{name} must be a list of two integers or more, d_0, …, d_N, but is {shown(value)}."
        )
    return tuple(whole_number(f"{name}[{j}]", d, least=1) for j, d in enumerate(entries))


def matrix(name: str, value: Any) -> np.ndarray:
    """Return a matrix of finite numbers."""
    array = real_array(name, value)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a matrix of finite numbers, but is {shown(value)}.")
    return array


def random_generator(name: str, value: Any) -> np.random.Generator:
    """Return a generator of NumPy."""
    if not isinstance(value, np.random.Generator):
        raise ValueError(
            f"{name} must be a generator such as numpy.random.default_rng(0), "
            f"but is {shown(value)}."
        )
    return value


def step_sizes(name: str, value: Any) -> list[float]:
    """Return positive numbers, one or more."""
    entries = list(value) if np.iterable(value) and not isinstance(value, str | bytes) else []
    if not entries:
        raise ValueError(f"{name} must be a list of numbers greater than 0, but is {shown(value)}.")
    return [finite_number(f"{name}[{i}]", eta, above=0.0) for i, eta in enumerate(entries)]


def momentum(name: str, value: Any) -> Any:
    """Return μ, 0 ≤ μ < 1, or "increasing"."""
    if isinstance(value, str) and value == "increasing":
        return value
    number = finite_number(name, value, least=0.0)
    if number >= 1:
        raise ValueError(f'{name} must be below 1, or "increasing", but is {number:g}.')
    return number


def constant_momentum(name: str, value: Any) -> float:
    """Return μ, 0 ≤ μ < 1."""
    number = finite_number(name, value, least=0.0)
    if number >= 1:
        raise ValueError(f"{name} must be below 1, but is {number:g}.")
    return number


def mask(name: str, value: Any, count: int) -> np.ndarray:
    """Return one boolean per saved time, all True for None."""
    if value is None:
        return np.ones(count, dtype=bool)
    array = np.array(value)
    if array.dtype != bool or array.shape != (count,):
        raise ValueError(f"{name} must be {count} booleans, one per saved time.")
    return array


def path(name: str, value: Any) -> Any:
    """Return the path of a file or folder."""
    if not (isinstance(value, str) or hasattr(value, "__fspath__")):
        raise ValueError(f"{name} must be a path, a string or Path, but is {shown(value)}.")
    return value


def function(name: str, value: Any) -> Any:
    """Return a function."""
    if not callable(value):
        raise ValueError(f"{name} must be a function, but is {shown(value)}.")
    return value


def instance_of(kind: type[Any] | tuple[type[Any], ...], *, required: str) -> Check:
    """Return the check that a value is of a class; `required` names it in messages."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be {required}, but is {shown(value)}.")
        return value

    return check


def optional(check: Check) -> Check:
    """Return the check that also accepts None."""
    return lambda name, value: None if value is None else check(name, value)


def _scalar(value: Any) -> Any:
    """Return the number in an array of one entry without axes, and anything else as it is."""
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value
