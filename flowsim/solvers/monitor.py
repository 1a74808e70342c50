"""Progress and interruption of a computation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Watcher: TypeAlias = Callable[[float], None]
"""Called with the fraction of the horizon that is done."""


Interrupted: TypeAlias = Callable[[], bool]
"""Asked between pieces whether to stop."""


def unwatched(fraction: float) -> None:
    """Watch nothing."""


def uninterrupted() -> bool:
    """Never ask to stop."""
    return False
