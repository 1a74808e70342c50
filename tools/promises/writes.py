"""Writing a run while operations of the file system fail, each in turn."""

from __future__ import annotations

import builtins
import errno
import functools
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flowsim.results import archive
from flowsim.results.archive import netcdf
from promises import stored
from promises.part import Part, Record, Verdict

ERRORS = (errno.ENOSPC, errno.EIO)
OPERATIONS = ("fsync", "rename", "replace", "mkdir", "sendfile", "write", "ftruncate")
"""Functions of `os` that fail, beside writes to files that Python opened."""


STRIDE = 7919
"""A prime number larger than the number of operations."""


class Faults:
    """Lets the n-th operation fail with an error, and all after it if `lasting`."""

    def __init__(self, n: int, code: int = 0, *, lasting: bool = False) -> None:
        self.n, self.code, self.lasting = n, code, lasting
        self.count = 0

    def check(self) -> None:
        """Count one operation, and raise if it is to fail."""
        self.count += 1
        if self.count == self.n or (self.lasting and self.count > self.n):
            raise OSError(self.code, os.strerror(self.code))

    def failing(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a check before it."""

        @functools.wraps(act)
        def checked(*arguments: Any, **options: Any) -> Any:
            self.check()
            return act(*arguments, **options)

        return checked

    def open(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """Open a file as Python does, with checked writes."""
        if not set(mode) & set("wxa+") or isinstance(file, int):
            return _OPEN(file, mode, *arguments, **options)
        check = self.check

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                check()
                return super().write(data)

        raw = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")))
        if "b" in mode:
            return raw
        return io.TextIOWrapper(raw, encoding=options.get("encoding") or "utf-8")


_OPEN = io.open


@contextmanager
def injected(faults: Faults) -> Iterator[None]:
    """Let operations of the file system fail within the block."""
    with ExitStack() as stack:
        for name in OPERATIONS:
            stack.enter_context(patch.object(os, name, faults.failing(getattr(os, name))))
        stack.enter_context(patch.object(io, "open", faults.open))
        stack.enter_context(patch.object(builtins, "open", faults.open))
        sink: Any = netcdf._Sink
        checked = faults.failing(sink._write_all)
        stack.enter_context(patch.object(sink, "_write_all", checked))
        yield


@functools.cache
def operations() -> int:
    """Return the number of operations of one write that succeeds."""
    faults = Faults(0)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        shutil.copytree(stored.folder("old"), directory)
        _write(directory, faults)
        assert stored.which(directory) == "new"
    return faults.count


def _write(directory: Path, faults: Faults) -> str:
    """Return the error of writing the new run over the old one, "" if there is none."""
    run = archive.read(stored.folder("new"))
    try:
        with injected(faults):
            archive.write(run, directory, force=True)
    except archive.ArchiveError as error:
        return str(error)
    return ""


def case(seed: int, k: int) -> Record:
    """Return what a directory holds after operation n failed while the new run was written."""
    # neighbours in time are far apart in k, so that few cases already cover the whole write
    n = 1 + (k // 4 + seed) * STRIDE % operations()
    faults = Faults(n, ERRORS[k % 2], lasting=k // 2 % 2 == 1)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        shutil.copytree(stored.folder("old"), directory)
        error = _write(directory, faults)
        found = stored.which(directory)
        stored.tidy(directory)
        left = stored.leftovers(directory)
    about = {"n": n, "code": errno.errorcode[faults.code], "lasting": faults.lasting}
    return {**about, "of": operations(), "found": found, "message": error, "left": left}


def judge(records: Sequence[Record]) -> Verdict:
    """Return how often each run was found, and where none was, or a false one."""
    wrong = [
        record
        for record in records
        if record["found"] not in stored.SETTINGS
        or record["left"]
        # a write that reports success must have stored the new run
        or (not record["message"] and record["found"] != "new")
    ]
    reported = sum(bool(record["message"]) for record in records)
    old = sum(record["found"] == "old" for record in records)
    operations = max(record["of"] for record in records)
    line = (
        f"{len(records)} failures over {operations} operations of one write: {reported} reported, "
        f"old run {old}, new run {len(records) - old - len(wrong)}, wrong {len(wrong)}"
    )
    return Verdict(line + "".join(f"; {record}" for record in wrong[:3]), not wrong)


PART = Part(
    "If a write fails for lack of space or an error of the disk, no run is lost.", 1000, case, judge
)
