"""What a run came to, as a short table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Summary = Mapping[str, Any]


def lines(name: str, summary: Summary, variants: Mapping[str, Summary]) -> Iterator[str]:
    """Yield the table of a run, a line a space and step size, then its claims and notes."""
    rows = [
        row
        for variant, told in (variants or {"": summary}).items()
        for row in _rows(told, f"{variant}: " if variant else "")
    ]
    yield from _table(name, rows)
    claims, notes = summary.get("claims"), summary.get("notes")
    if claims:
        yield "\nclaims"
        for claim in claims:
            mark = "✓" if claim["holds"] else "✗"
            yield f"  {mark} {claim['claim']}  (value {number(claim['value'])})"
    if notes:
        yield "\nnotes"
        yield from (f"  {note}" for note in notes)


def _rows(summary: Summary, prefix: str) -> Iterator[tuple[str, ...]]:
    losses = summary.get("final_loss") or {}
    errors = summary.get("error_estimate") or {}
    seconds = summary.get("seconds") or {}
    for space, outcome in (summary.get("outcome") or {}).items():
        if isinstance(outcome, Mapping):
            for size, result in outcome.items():
                loss = number((losses.get(space) or {}).get(size), "not finite")
                yield f"{prefix}{space}, step {size}", str(result), loss, "", ""
            continue
        yield (
            f"{prefix}{space}",
            str(outcome),
            number(losses.get(space)),
            number(errors.get(space)),
            f"{seconds[space]:.2f} s" if seconds.get(space) is not None else "",
        )


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    table = [(title, "outcome", "final loss", "error estimate", "integrated in"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def number(value: float | None, missing: str = "–") -> str:
    """Write a number shortly; what is not finite or not known is `missing`."""
    return f"{value:.3g}" if value is not None and math.isfinite(value) else missing
