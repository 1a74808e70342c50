"""Writers killed at random moments: the old run or the new one is there, whole."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from promises import stored
from promises.part import Part, Record, Verdict, generator

COMMANDS = 20
"""One case in so many kills `flowsim run`; the others kill a process that writes all the time."""

WRITERS = """
import os, sys
from pathlib import Path
from flowsim.results import archive
runs = [archive.read(Path(path)) for path in sys.argv[1:]]
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        while True:
            for run in runs:
                archive.write(run, line.strip(), force=True)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
"""A program that reads names of directories and forks, for each, a process that writes there."""


def case(seed: int, k: int) -> Record:
    """Return which run a directory holds after its writer was killed."""
    rng = generator("kill", seed, k)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        shutil.copytree(stored.folder("old"), directory)
        whole = k % COMMANDS == 0
        delay = _kill_command(directory, rng) if whole else _kill_writer(directory, rng)
        restored = not (directory / "manifest.json").exists()
        found = stored.which(directory)
        stored.tidy(directory)
        left = stored.leftovers(directory)
    return {"command": whole, "delay": delay, "found": found, "restored": restored, "left": left}


@functools.cache
def _writers() -> subprocess.Popen[str]:
    """Return the process that forks writers, so that none has to import anything."""
    sources = [stored.folder("new"), stored.folder("old")]
    command = [sys.executable, "-c", WRITERS, *map(str, sources)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # it ends with its input
    assert process.stdin is not None
    atexit.register(process.stdin.close)
    return process


def _kill_writer(directory: Path, rng: np.random.Generator) -> float:
    writers, delay = _writers(), float(rng.uniform(0, 1.5))
    assert writers.stdin is not None
    assert writers.stdout is not None
    print(directory, file=writers.stdin, flush=True)
    writer = int(writers.stdout.readline())
    time.sleep(delay)
    os.kill(writer, signal.SIGKILL)
    assert writers.stdout.readline() == "ended\n"
    return delay


def _kill_command(directory: Path, rng: np.random.Generator) -> float:
    delay = float(rng.uniform(0, 1.1 * _command_seconds()))
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(_command(directory), stdout=quiet, stderr=quiet)
    time.sleep(delay)
    process.kill()
    process.wait()
    return delay


def _command(directory: Path) -> list[str]:
    rtol = f"flow.rtol={stored.SETTINGS['new']}"
    command = [sys.executable, "-m", "flowsim", "run", str(stored.scenario())]
    return [*command, "-o", str(directory), "--force", "--set", rtol, "--no-figures"]


@functools.cache
def _command_seconds() -> float:
    """Return the time of the command that is killed, programs compiled before."""
    with tempfile.TemporaryDirectory() as place:
        for _ in range(2):
            started = time.monotonic()
            subprocess.run(_command(Path(place) / "run"), check=True, capture_output=True)
    return time.monotonic() - started


def judge(records: Sequence[Record]) -> Verdict:
    """Return how often the old run, the new one, or none was found."""
    counts = {name: sum(r["found"] == name for r in records) for name in stored.SETTINGS}
    lost = [record for record in records if record["found"] not in stored.SETTINGS]
    left = [record for record in records if record["left"]]
    commands = sum(record["command"] for record in records)
    restored = sum(record["restored"] for record in records)
    line = (
        f"{len(records)} kills ({commands} of whole commands): old run {counts['old']}, new run "
        f"{counts['new']}, {restored} of them restored by the next writer, lost {len(lost)}"
    )
    details = "".join(f"; {record}" for record in (lost + left)[:3])
    return Verdict(line + details, not lost and not left)


PART = Part("After kill -9 the old run or the new one is there, whole.", 1000, case, judge)
