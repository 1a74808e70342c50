"""Tolerances: the error allowed per step of an integration."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowsim.problem.arguments import finite_number, real_number
from flowsim.problem.network import binary_scale

SMALLEST_RTOL = 100 * float(np.finfo(np.float64).eps)
"""Smallest rtol: below it, rounding would be mistaken for truncation error."""

LARGEST_RTOL = 0.1
"""Largest rtol: above it, error estimates, which are valid for small steps, mean nothing."""


@dataclass(frozen=True)
class Tolerances:
    """Error allowed per step: |error| ≤ rtol · (scale_j + |y|) in matrix j of the state.

    By default scale_j is the size of that matrix at initialization (see `scales`). A fixed absolute
    tolerance above the size of the state would delay the exit from a plateau, undetected.

    Raises
    ------
    ValueError
        If rtol is outside [100 eps, 0.1], or atol is not positive.

    """

    rtol: float = 1e-8
    atol: float | None = None

    def __post_init__(self) -> None:
        rtol = real_number("rtol", self.rtol)
        if not SMALLEST_RTOL <= rtol <= LARGEST_RTOL:
            raise ValueError(
                f"rtol must lie between {SMALLEST_RTOL:.2g} (100 times the float64 epsilon) and "
                f"{LARGEST_RTOL:g}, but is {rtol:g}."
            )
        if self.atol is not None:
            finite_number("atol", self.atol, above=0.0)

    def loosened(self, factor: float) -> Tolerances:
        """Return tolerances looser by `factor`, without the limits on rtol.

        The second solve of an error estimate may exceed them.
        """
        # a copy skips the checks of `__post_init__`
        looser = copy(self)
        object.__setattr__(looser, "rtol", factor * self.rtol)
        object.__setattr__(looser, "atol", None if self.atol is None else factor * self.atol)
        return looser

    def scales(self, state: tuple[Any, ...]) -> tuple[float, ...]:
        """Return the unit of each matrix of the state, in which rtol is its absolute tolerance.

        It is atol / rtol where atol is given, else the root mean square entry of the matrix at
        initialization. A matrix initialized at 0 takes the largest of the others, or 1.
        """
        if self.atol is not None:
            return (self.atol / self.rtol,) * len(state)
        sizes = [_root_mean_square(np.asarray(y)) for y in state]
        return tuple(size or max(sizes) or 1.0 for size in sizes)


def _root_mean_square(y: np.ndarray) -> float:
    """Return the root mean square entry, whose squares may be below float64's range."""
    unit = binary_scale([y])
    return float(unit * np.sqrt(np.mean(np.square(y / unit))))
