"""Verification of an installation: every formulation and method against exact solutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowsim.dynamics.registry import FLOWS
from flowsim.solvers.methods import METHODS
from flowsim.theory.exact.verification.basics import (
    agreement,
    descent,
    every_loss,
    float64,
    gradient,
)
from flowsim.theory.exact.verification.cases import cases
from flowsim.theory.exact.verification.check import Check
from flowsim.theory.exact.verification.solved import flows

__all__ = ["Check", "checks", "expected"]

STEP_SIZES = (0.1, 0.9, 1.05)


def checks(
    spaces: Sequence[str] | None = None, methods: Sequence[str] | None = None
) -> Iterator[Check]:
    """Yield every check as soon as it is done, for all or for the given formulations and methods.

    The tolerance of a flow is steps × rtol × magnification: a step's error may be rtol relative to
    the state (`flowsim.solvers.methods.Tolerances`), and the flow amplifies it by at most
    `Case.magnification`. This is an upper bound; errors are usually far below it.
    """
    yield float64()
    yield from map(gradient, every_loss())
    yield from descent(STEP_SIZES)
    known = cases()
    yield from map(agreement, known)
    yield from flows(known, spaces or tuple(FLOWS), methods or tuple(METHODS))


def expected(spaces: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> int:
    """Return the largest possible number of checks."""
    plain, known = 1 + len(every_loss()) + len(STEP_SIZES), len(cases())
    return plain + known * (1 + len(spaces or FLOWS) * len(methods or METHODS))
