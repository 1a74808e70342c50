"""What a part is: a promise, random cases of it, and the numbers that decide whether it is kept."""

from __future__ import annotations

import json
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Record: TypeAlias = Mapping[str, Any]
"""The numbers of one case; the key `error` holds the traceback of a case that raised."""


@dataclass(frozen=True)
class Verdict:
    """One line of numbers, and whether the promise is kept."""

    line: str
    kept: bool


@dataclass(frozen=True)
class Part:
    """One promise.

    Attributes
    ----------
    promise
        The promise in one sentence.
    full
        The number of cases of a full run.
    case
        Returns the numbers of case k for a seed.
    judge
        Returns the verdict on the records of all cases.

    """

    promise: str
    full: int
    case: Callable[[int, int], Record]
    judge: Callable[[Sequence[Record]], Verdict]


def generator(name: str, seed: int, *numbers: int) -> np.random.Generator:
    """Return the generator of a draw: that of the part called `name`, for a seed and numbers."""
    return np.random.default_rng([zlib.crc32(name.encode()), seed, *numbers])


def stored(path: Path, seed: int) -> dict[int, Record]:
    """Return the records of a seed in a file of results, by the number of their case."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text("utf-8").splitlines():
        # a killed process may leave half a line, and the first one is empty
        with suppress(ValueError):
            record = json.loads(line)
            if record["seed"] == seed:
                found[record["k"]] = record
    return found


def records(
    part: Part, cases: Sequence[int], seed: int, path: Path | None = None, seconds: float = np.inf
) -> list[Record]:
    """Return the records of cases by their numbers, computing those that `path` lacks.

    No case is begun after `seconds`; then fewer records are returned.
    """
    deadline = time.monotonic() + seconds
    known = {} if path is None else stored(path, seed)
    for record in _computed(part, (k for k in cases if k not in known), seed):
        known[record["k"]] = record
        if path is not None:
            with path.open("a", encoding="utf-8") as file:
                # the line end comes first, so that half a line does not spoil the next one
                file.write("\n" + json.dumps(record))
        if time.monotonic() > deadline:
            break
    return [known[k] for k in cases if k in known]


def _computed(part: Part, cases: Iterator[int], seed: int) -> Iterator[Record]:
    for k in cases:
        try:
            found = part.case(seed, k)
        except Exception:
            found = {"error": traceback.format_exc(limit=-4)}
        yield {"seed": seed, "k": k, **found}


def judged(part: Part, found: Sequence[Record]) -> Verdict:
    """Return the verdict of a part; a case that raised breaks its promise."""
    raised = [record["k"] for record in found if "error" in record]
    whole = [record for record in found if "error" not in record]
    verdict = part.judge(whole) if whole else Verdict("no case", False)
    if not raised:
        return verdict
    return Verdict(f"{verdict.line}; {len(raised)} cases raised: {raised[:5]}", False)
