"""Losses that are ½h‖W - Φ‖² up to a constant: the squared loss, in a time of its own."""

from __future__ import annotations

from flowsim.problem.errors import NotApplicable
from flowsim.problem.losses import Isotropic, Loss


def whitened(loss: Loss) -> Isotropic | str:
    """Return Φ and h of a loss of the same curvature in all directions, or why it is not one."""
    try:
        return loss.isotropic()
    except NotApplicable as reason:
        return str(reason)
