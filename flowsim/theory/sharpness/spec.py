"""The sharpness: declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    pass


LANCZOS = 28
"""Copies of the layers that Lanczos' method holds: its twenty vectors, and what it works in."""


SHARPNESS = Measure(
    says="the extreme eigenvalues of the Hessian over the layers",
    variables=dict.fromkeys(("time", "smallest", "largest", "error"), ("time",)),
    needs="layers",
    numbers=lambda scenario: LANCZOS * scenario.network.weights,
)
