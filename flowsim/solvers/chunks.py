"""How many steps of a compiled program to take at once: as many as fill a fraction of a second.

Between such pieces of work progress is shown and interrupts are heard. What a step of a program
takes is remembered in the process, so that only its first run has to feel its way.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

PIECE_SECONDS = 0.25
FIRST_PIECE, LARGEST_PIECE = 4, 1 << 20
GROWTH = 8

_SLOWEST: dict[Hashable, float] = {}
"""Seconds a step of each program that was run, the most that a piece took on average."""


class Pacing:
    """The size of the next piece of one compiled program."""

    def __init__(self, *arguments: Any) -> None:
        """Take what the program is called with: its structure, shapes and types identify it."""
        leaves, structure = jax.tree.flatten(arguments)
        self._program = structure, tuple(map(_kind, leaves))
        self.known = self._program in _SLOWEST
        self.piece = _filling(_SLOWEST[self._program]) if self.known else FIRST_PIECE

    def learn(self, steps: int, seconds: float) -> None:
        """Adapt the next piece to how long the steps of the last one took."""
        pace = max(seconds, 1e-6) / steps
        _SLOWEST[self._program] = max(pace, _SLOWEST.get(self._program, 0.0))
        self.piece = min(_filling(pace), GROWTH * self.piece)


def _filling(pace: float) -> int:
    return int(np.clip(PIECE_SECONDS / pace, 1, LARGEST_PIECE))


def _kind(leaf: Any) -> Hashable:
    """Return shape and type of an array, and all else itself."""
    return (leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else leaf
