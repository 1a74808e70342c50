"""Rule of the seeds that tables have of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flowsim.scenario.spec.errors import Mistake, mistake_at

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario

UNUSED = {
    "init": "no layers are drawn at random; remove it, or write a random kind or noise",
    "loss": "neither the target nor the observed entries are drawn at random; remove it",
    "data": "no samples are chosen at random; remove it, or write samples or held_out",
    "descent": "descent has no noise; remove it, or write batch or label_noise",
}
"""Why a table does not use its seed, and what to write."""


def seeds_are_used(scenario: Scenario) -> Iterator[Mistake]:
    """Require that a seed of a table draws something."""
    for section, reason in UNUSED.items():
        table: Any = getattr(scenario, section, None)
        if getattr(table, "seed", None) is not None and not table.draws:
            yield mistake_at(f"{section}.seed", f"is not used, as {reason}")


RULES = (seeds_are_used,)
