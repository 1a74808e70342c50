"""The number of steps that a compiled program takes at once, for a fraction of a second.

Between such chunks progress is reported and stop requests are answered. The time that a step of a
program takes is remembered in the process, so that only its first run has to start from few steps.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

CHUNK_SECONDS = 0.25
"""Duration of a chunk, after which an interrupt is answered.

It is long beside the 0.5 ms that returning to Python costs."""

FIRST_CHUNK = 4
"""Steps of the first chunk of a program whose speed is unknown."""

LARGEST_CHUNK = 1 << 20
"""Largest number of steps of a chunk."""

GROWTH = 8
"""Largest ratio of one chunk to the previous one: the first steps may be unusually fast."""

_SLOWEST: dict[Hashable, float] = {}
"""Largest mean seconds per step over a chunk, by program.

The largest rather than the latest, since chunks that are too long delay answers to interrupts."""


class ChunkSize:
    """The number of steps of the next chunk of one compiled program.

    Parameters
    ----------
    *arguments
        The arguments of the program, whose structure, shapes and types identify it.

    """

    def __init__(self, *arguments: Any) -> None:
        leaves, structure = jax.tree.flatten(arguments)
        self._program = structure, tuple(map(_shape_and_type, leaves))
        self.known = self._program in _SLOWEST
        self.steps = _steps_of_a_chunk(_SLOWEST[self._program]) if self.known else FIRST_CHUNK

    def update(self, steps: int, seconds: float) -> None:
        """Adapt the next chunk to the time that the steps of the last one took."""
        # a clock may return 0 seconds for few steps
        per_step = max(seconds, 1e-6) / steps
        _SLOWEST[self._program] = max(per_step, _SLOWEST.get(self._program, 0.0))
        self.steps = min(_steps_of_a_chunk(per_step), GROWTH * self.steps)


def _steps_of_a_chunk(seconds_per_step: float) -> int:
    return int(np.clip(CHUNK_SECONDS / seconds_per_step, 1, LARGEST_CHUNK))


def _shape_and_type(leaf: Any) -> Hashable:
    """Return shape and type of an array, and anything else itself."""
    return (leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else leaf
