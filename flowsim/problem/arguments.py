"""Arguments from Python: numbers and arrays, checked where they enter the package."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np


def real_number(name: str, value: Any, required: str = "") -> float:
    """Return a number as float; raises ValueError if it is none: a bool, a string, None."""
    scalar = _scalar(value)
    if isinstance(scalar, bool | np.bool_) or not isinstance(scalar, Real):
        raise ValueError(f"{name} must be a number{required}, but is {value!r}.")
    return float(scalar)


def finite_number(
    name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf
) -> float:
    """Return a finite number as float; raises ValueError if it is none or out of its range."""
    limits = ["finite"]
    limits += [f"greater than {above:g}"] if above > -math.inf else []
    limits += [f"at least {least:g}"] if least > -math.inf else []
    required = " and ".join(limits)
    number = real_number(name, value, f", {required}")
    if not (math.isfinite(number) and number > above and number >= least):
        raise ValueError(f"{name} must be {required}, but is {number:g}.")
    return number


def whole_number(name: str, value: Any, *, least: int) -> int:
    """Return an integer of at least `least`; raises ValueError for everything else."""
    number = _scalar(value)
    if isinstance(number, bool | np.bool_) or not isinstance(number, Integral):
        raise ValueError(f"{name} must be a whole number, at least {least}, but is {value!r}.")
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
    """Return times that increase strictly from 0; raises ValueError for others."""
    times = real_array(name, value)
    if times.ndim != 1 or times.size < 1 or not np.isfinite(times).all():
        raise ValueError(f"{name} must be a non-empty list of finite numbers.")
    if times[0] != 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"{name} must increase strictly from 0, the time of the start.")
    return times


def _scalar(value: Any) -> Any:
    """Return the number in an array of one entry without axes, and anything else as it is."""
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value
