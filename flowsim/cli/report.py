"""The results of a run as a short table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowsim.results.run import Run

Summary = Mapping[str, Any]

MOST_STEP_SIZES = 12
"""If a run has more step sizes, neighbours with the same verdict share a row."""


def table_lines(name: str, summary: Summary, variants: Mapping[str, Summary]) -> Iterator[str]:
    """Yield the table of a run, one line per formulation and step size, then claims and notes."""
    rows = [
        row
        for variant, inner in (variants or {"": summary}).items()
        for row in _rows(inner, f"{variant}: " if variant else "")
    ]
    yield from _table(name, rows)
    claims, notes = summary.get("claims"), summary.get("notes")
    if claims:
        yield "\nclaims"
        for claim in claims:
            mark = "✓" if claim["holds"] else "✗"
            value = claim.get("text") or number(claim["value"])
            yield f"  {mark} {claim['claim']}  (value {value})"
    if notes:
        yield "\nnotes"
        yield from (f"  {note}" for note in notes)


def interruption(run: Run, directory: str) -> str:
    """Return in words what an interrupted run contains, and what was not reached."""
    kept: list[str] = []
    missing: list[str] = []
    for variant, part in (run.variants or {"": run}).items():
        prefix = f"{variant}: " if variant else ""
        for name, outcome in part.summary["outcome"].items():
            reached = _reached(part, name, outcome)
            (missing if reached is None else kept).append(f"{prefix}{name}{reached or ''}")
    if run.variants:
        missing += [name for name in run.summary["outcome"] if name not in run.variants]
    if not kept:
        return (
            "Interrupted before the first step: nothing was reached, and "
            f"{directory} contains the initialization alone."
        )
    left_out = f"; not reached: {', '.join(missing)}" if missing else ""
    return f"Interrupted: {directory} contains {', '.join(kept)}{left_out}."


def _reached(run: Run, name: str, outcome: Any) -> str | None:
    """Return how far a group of an interrupted run came, "" for its end, None for nothing."""
    outcomes = set(outcome.values()) if isinstance(outcome, Mapping) else {outcome}
    if "interrupted" not in outcomes:
        return ""
    if name not in run.groups:
        return None
    variables = run.groups[name]
    if "end_to_end" in variables and name != "descent":
        end = float(variables["time"].values[-1])
        return f" up to t = {end:.4g}" if end > 0 else None
    return " in part"


def _rows(summary: Summary, prefix: str) -> Iterator[tuple[str, ...]]:
    from flowsim.results.run import endings  # imports NumPy, which `run --help` does without

    losses = summary.get("final_loss") or {}
    errors = summary.get("error_estimate") or {}
    seconds = summary.get("seconds") or {}
    for space, outcome in endings(summary).items():
        if isinstance(outcome, Mapping):
            written = summary.get("relative_step_sizes") or {}
            yield from _step_size_rows(
                f"{prefix}{space}", outcome, losses.get(space) or {}, written
            )
            continue
        yield (
            f"{prefix}{space}",
            str(outcome),
            number(losses.get(space)),
            number(errors.get(space)),
            f"{seconds[space]:.2f} s" if seconds.get(space) is not None else "",
        )


def _step_size_rows(
    name: str,
    outcome: Mapping[str, str],
    losses: Mapping[str, float],
    written: Mapping[str, float],
) -> Iterator[tuple[str, ...]]:
    """Yield one row per step size; of many, one per group of neighbours with the same verdict.

    Step sizes are in the unit of the scenario, multiples `written` of 2/λ_max where there are any.
    """
    unit = " · 2/λ_max" if written else ""
    if len(outcome) <= MOST_STEP_SIZES:
        for size, result in outcome.items():
            yield (
                f"{name}, step {written.get(size, float(size)):.12g}{unit}",
                str(result),
                number(losses.get(size), _missing(result)),
                "",
                "",
            )
        return
    # groupby joins neighbours only, so the step sizes have to be in order
    for result, group in groupby(sorted(outcome, key=float), key=lambda size: outcome[size]):
        sizes = list(group)
        finite = [x for size in sizes if math.isfinite(x := losses.get(size, math.nan))]
        loss = " to ".join(map(number, sorted({min(finite), max(finite)}))) if finite else ""
        ends = (written.get(size, float(size)) for size in dict.fromkeys((sizes[0], sizes[-1])))
        between = " to ".join(map(number, ends)) + unit
        label = f"{name}, {len(sizes)} steps {between}" if sizes[1:] else f"{name}, step {between}"
        yield label, str(result), loss or _missing(result), "", ""


def _missing(result: str) -> str:
    """Return what stands for a final loss that is not a number."""
    return "–" if result == "interrupted" else "not finite"


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    table = [(title, "verdict", "final loss", "error estimate", "integrated in"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def number(value: float | None, missing: str = "–") -> str:
    """Return a number with three digits, or `missing` if it is unknown or not finite."""
    return f"{value:.3g}" if value is not None and math.isfinite(value) else missing
