"""One line of the table that `flowsim verify` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was solved in which space by which method, and how well.

    `note` says why there is no error: what was refused, which is no failure, or how an integration
    ended that should have reached the horizon.
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
        """Say whether the error is within the tolerance, or nothing was to be solved."""
        return self.refused or self.error <= self.tolerance
