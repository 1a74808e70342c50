"""Verdicts: how a flow or a descent ended, with cause and advice, each with one outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How a flow or a descent ended; the value is a sentence with the cause and the remedy.

    Each has one `outcome`. "completed" and "diverged" are results, with which the command line
    exits with 0 if all claims hold; with "failed" it exits with 3.
    """

    CONVERGED = "the loss is at its minimum"
    REACHED_HORIZON = "the loss was still decreasing at the horizon: extend the horizon to see more"
    PLATEAU = (
        "the horizon was reached on a plateau: the flow is near a saddle that it will leave; "
        "extend the horizon"
    )
    SADDLE = (
        "the layers are at, or approach, a saddle of the loss, which nothing above rounding makes "
        "them leave; start from any other layers to leave it"
    )
    SLOW = (
        "the loss approaches its minimum only as a power of time: a longer horizon improves it "
        "little; take logarithmic times"
    )
    NO_FINITE_MINIMIZER = (
        "the loss has no finite minimizer: it decreases for ever while ‖W‖ grows, and only the "
        "direction of W converges"
    )
    STOPPED_AT_CRITERION = "the flow met the criterion at which it was to stop"
    OSCILLATING = "the iterates approach a cycle, not a minimum: reduce the step size"
    IRREGULAR = (
        "the iterates stay bounded, but approach neither a minimum nor a cycle: reduce the step "
        "size"
    )
    DIVERGED = "the loss exceeded any bound: reduce the step size"
    DECIDED_BY_ROUNDING = (
        "from this time on rounding errors determine the solution, which the exact flow need not "
        "follow: start further from the saddle, or take the spectral space"
    )
    INVARIANT_BROKEN = (
        "a quantity that the exact flow conserves has changed by more than the error estimate "
        "explains: reduce rtol"
    )
    BUDGET_EXHAUSTED = (
        "max_steps was used up before the horizon: allow more steps, loosen rtol, "
        "or shorten the horizon; for a regression with p < 2 whose residuals reach 0 take "
        'flow.method = "kvaerno5", or a p of at least 1.5'
    )
    STIFF = (
        "max_steps was used up while stability, not accuracy, limited the step: "
        'the flow is stiff; take flow.method = "auto", "rock4" or "rodas5p"'
    )
    BLOW_UP = (
        "the solution grows without bound near this time; nothing past it was kept; "
        "shorten the horizon, or take a loss that is bounded below"
    )
    OUT_OF_RANGE = (
        "W, or the rate at which it changes, is beyond 1e140, whose square float64 can hardly "
        "represent; nothing past it was kept; shorten the horizon, take a loss that is bounded "
        "below, or smaller units"
    )
    TOLERANCE_TOO_TIGHT = (
        "no step is small enough to meet the tolerance in float64: loosen rtol or raise atol; "
        "where the gradient of the loss jumps or is infinite, take a smooth loss"
    )
    INTERRUPTED = "the run was interrupted; what was reached is kept"

    @property
    def outcome(self) -> str:
        """Return "completed", "diverged", "failed" or "interrupted"."""
        if self is Verdict.DIVERGED:
            return "diverged"
        if self is Verdict.INTERRUPTED:
            return "interrupted"
        return "failed" if self in _FAILURES else "completed"


_FAILURES = {
    Verdict.BUDGET_EXHAUSTED,
    Verdict.STIFF,
    Verdict.BLOW_UP,
    Verdict.OUT_OF_RANGE,
    Verdict.TOLERANCE_TOO_TIGHT,
}


@dataclass(frozen=True)
class Ending:
    """A verdict with the numbers that belong to it.

    Attributes
    ----------
    verdict
        How the flow or descent ended.
    at
        When: a time, or the iteration of a descent.
    details
        What is known beside it: `exponent` p of a slow decrease t^{-p}; `period`, `low` and `high`
        of an oscillation; `certificate`, the reason why a minimum is one.

    """

    verdict: Verdict
    at: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The verdict as in `summary.json`: "converged"."""
        return self.verdict.name.lower()

    def __str__(self) -> str:
        numbers = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
            for name, value in self.details.items()
        )
        return self.name.replace("_", " ") + (f" ({numbers})" if numbers else "")

    def record(self, unit: str = "time") -> dict[str, Any]:
        """Return its entry in the summary, `at` under the name of its unit."""
        return {"name": self.name, unit: self.at, "advice": self.verdict.value, **self.details}


@dataclass(frozen=True)
class Invariant:
    """A checked invariant and the first time at which it is violated (None: never)."""

    name: str
    broken_at: float | None

    def record(self) -> dict[str, Any]:
        """Return its entry in the summary."""
        return {"holds": self.broken_at is None, "time": self.broken_at}
