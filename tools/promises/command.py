"""The command line of tools/promises.py."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from promises.part import Part, judged, records

PARTS = (
    "scenarios", "spaces", "singular", "orders", "bugs", "bitwise", "fuzz", "kill", "writes",
    "disk", "damage",
)  # fmt: skip
"""The parts, each a module of this package with a `PART`."""

RESULTS = Path(__file__).resolve().parents[2] / "build" / "promises"


def part(name: str) -> Part:
    """Return the part of a name; the libraries that it needs are imported only then."""
    found: Part = import_module(f"promises.{name}").PART
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a part, print its line of numbers, and return 1 if its promise is broken."""
    parser = argparse.ArgumentParser(prog="tools/promises.py", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--count", type=int, help="number of cases (default: a full run)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all cases (default: 0)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="begin no case after this time"
    )
    chosen = parser.parse_args(arguments)
    wanted = part(chosen.part)
    count = wanted.full if chosen.count is None else chosen.count
    chosen.results.mkdir(parents=True, exist_ok=True)
    path = chosen.results / f"{chosen.part}.jsonl"
    found = records(wanted, range(count), chosen.seed, path, chosen.seconds)
    verdict = judged(wanted, found)
    kept = "kept" if verdict.kept else "BROKEN"
    print(f"{chosen.part}: {len(found)} of {count} cases, {kept}: {verdict.line}")
    return 0 if verdict.kept else 1
