"""The result of one check, a line of the table that `flowsim verify` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes
    ----------
    name, space, method
        The case, the formulation and the method.
    error, tolerance
        The largest error, nan if there is none, and its upper bound.
    steps, seconds
        Costs.
    note
        Why there is no error: the reason of a rejection, or how the integration ended before the
        final time.
    refused
        Whether the formulation or method does not apply to the case, which is no failure.

    """

    name: str
    space: str = ""
    method: str = ""
    error: float = float("nan")
    tolerance: float = float("nan")
    steps: int = 0
    seconds: float = 0.0
    note: str = ""
    refused: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance, or the check does not apply."""
        return self.refused or self.error <= self.tolerance
