"""Progress reports and stop requests of long computations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


def _ignore(label: str, fraction: float) -> None:
    """Report nothing."""


def _never() -> bool:
    """Never request a stop."""
    return False


@dataclass
class StopRequest:
    """A stop request that stays made, and whether a computation has received it.

    `requested` returns whether it is made at present; `received` is true from its first answer on.
    """

    requested: Callable[[], bool]
    received: bool = False

    def __call__(self) -> bool:
        """Return whether to stop."""
        self.received = self.received or self.requested()
        return self.received


@dataclass(frozen=True)
class Monitor:
    """The two-way link between a long computation and its caller: progress out, stop requests in.

    Computations report progress and check for a stop request between pieces of work of a fraction
    of a second. They return what they have when a stop is requested.

    Attributes
    ----------
    show
        Called with a label and the fraction in [0, 1] of that task that is done.
    stop_requested
        Returns whether to stop.
    label
        The present task, as in `"layers flow"`.
    begin, end
        The fractions of the labelled task between which this computation lies.

    """

    show: Callable[[str, float], None] = _ignore
    stop_requested: Callable[[], bool] = _never
    label: str = ""
    begin: float = 0.0
    end: float = 1.0

    def report(self, fraction: float) -> None:
        """Report the fraction of this computation that is done."""
        # weighted so that 0 and 1 give `begin` and `end` exactly
        self.show(self.label, self.begin * (1 - fraction) + self.end * fraction)

    def named(self, label: str) -> Monitor:
        """Return a monitor of a task within this one, labelled `"outer: inner"` if both are."""
        labels = [text for text in (self.label, label) if text]
        return replace(self, label=": ".join(labels), begin=0.0, end=1.0)

    def part(self, begin: float, end: float) -> Monitor:
        """Return a monitor of the part of this computation between two fractions of it."""
        width = self.end - self.begin
        return replace(self, begin=self.begin + begin * width, end=self.begin + end * width)

    def silent(self) -> Monitor:
        """Return a monitor that reports nothing and still passes on stop requests."""
        return replace(self, show=_ignore)

    def watched(self) -> tuple[Monitor, StopRequest]:
        """Return the same monitor and its stop request, which records whether it was received.

        A computation whose request was received may have left something out.
        """
        stop = StopRequest(self.stop_requested)
        return replace(self, stop_requested=stop), stop


COMPILING = "compiling (first time only)"
"""The label of a task that compiles a program, or loads it from the cache of programs."""

SILENT = Monitor()
"""A monitor that reports nothing and never requests a stop."""
