"""Norms of W: declaration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowsim.theory.measure import Measure

if TYPE_CHECKING:
    pass


SCHATTEN: Mapping[str, float] = {
    "schatten_half": 1 / 2,
    "schatten_two_thirds": 2 / 3,
    "nuclear_norm": 1.0,
    "frobenius": 2.0,
    "spectral": math.inf,
}
"""The p of each Schatten norm and quasi-norm that is measured; that of `schatten_depth` is 2/N."""


EVERY_NORM = (*SCHATTEN, "schatten_depth", "effective_rank")
"""What is measured of singular values, along a flow and of the least nuclear norm's."""


NORMS = Measure(
    says="Schatten norms, quasi-norms and the effective rank of W",
    variables=dict.fromkeys(("time", *EVERY_NORM), ("time",)),
    numbers=lambda scenario: 3 * scenario.flow.samples * scenario.network.modes,
)
