"""Stored runs with one file damaged: every reader must refuse them."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import flowsim
from flowsim.results import archive
from promises import stored
from promises.part import Part, Record, Verdict, generator

KINDS = ("flip", "flip", "flip", "truncate", "extend", "delete", "exchange")
"""Kinds of damage; bits are flipped most often."""


@functools.cache
def _run() -> Path:
    """Return a copy of a stored run, which is damaged and restored."""
    path = stored.scenario().with_name("damaged")
    shutil.copytree(stored.folder("new"), path)
    return path


def case(seed: int, k: int) -> Record:
    """Return the damage of one file, and which readers still accepted the run."""
    rng, folder = generator("damage", seed, k), _run()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, kind = files[int(rng.integers(len(files)))], str(rng.choice(KINDS))
    content = path.read_bytes()
    damaged = _damaged(kind, content, path, rng)
    try:
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        # figures hold no numbers that are read: a damaged one is drawn again instead
        is_figure = path.parent.name == "figures"
        accepted = _figures_left(path) if is_figure else _accepted(folder)
    finally:
        path.write_bytes(content)
    return {"file": path.relative_to(folder).as_posix(), "kind": kind, "accepted": accepted}


def _damaged(kind: str, content: bytes, path: Path, rng: np.random.Generator) -> bytes | None:
    """Return the damaged content of a file, which differs from `content`; None for no file."""
    at = int(rng.integers(len(content)))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]
    if kind == "truncate":
        return content[:at]
    if kind == "extend":
        return content + bytes(rng.integers(0, 256, int(rng.integers(1, 64)), dtype=np.uint8))
    if kind == "exchange":
        # the file of another intact run, if it differs
        other = stored.folder("old") / path.relative_to(_run())
        found = other.read_bytes() if other.exists() else b""
        return found if found != content else content + b"\n"
    return None


def _accepted(folder: Path) -> list[str]:
    """Return the readers that accept the run in a folder, or fail otherwise than by refusing it."""
    readers: dict[str, Callable[[Path], object]] = {
        "read": archive.read,
        "summaries": archive.summaries,
        "load": flowsim.load,
        "plot": flowsim.plot,
    }
    accepted = []
    for name, reader in readers.items():
        try:
            reader(folder)
        except archive.ArchiveError:
            continue
        accepted.append(name)
    return accepted


def _figures_left(path: Path) -> list[str]:
    return ["figures"] if archive.figures(path.parent.parent) else []


def judge(records: Sequence[Record]) -> Verdict:
    """Return how many damaged runs were refused by all readers."""
    missed = [record for record in records if record["accepted"]]
    counts = {kind: sum(record["kind"] == kind for record in records) for kind in sorted({*KINDS})}
    line = f"{len(records) - len(missed)} of {len(records)} refused by every reader ("
    line += ", ".join(f"{count} {kind}" for kind, count in counts.items()) + ")"
    return Verdict(line + "".join(f"; {record}" for record in missed[:3]), not missed)


PART = Part(
    "A stored run in which any file was changed is refused by all readers.", 2000, case, judge
)
