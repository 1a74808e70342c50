"""Writers killed at random moments: the old run or the new one is there, whole."""

from __future__ import annotations

import functools
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

COMMANDS = 10
"""One case in so many kills `flowsim run`; the others kill a process that writes all the time."""

WRITER = """
import sys
from pathlib import Path
from flowsim.results import archive
runs = [archive.read(Path(path)) for path in sys.argv[2:]]
archive.write(runs[1], sys.argv[1], force=True)
print("ready", flush=True)
while True:
    for run in runs:
        archive.write(run, sys.argv[1], force=True)
"""


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


def _kill_writer(directory: Path, rng: np.random.Generator) -> float:
    sources = [stored.folder("new"), stored.folder("old")]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, directory, *sources], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    delay = float(rng.uniform(0, 1.0))
    return _killed(process, delay)


def _kill_command(directory: Path, rng: np.random.Generator) -> float:
    delay = float(rng.uniform(0, 1.1 * _command_seconds()))
    return _killed(
        subprocess.Popen(_command(directory), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL),
        delay,
    )


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


def _killed(process: subprocess.Popen[bytes], delay: float) -> float:
    """Kill a process after a delay, and return the delay."""
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return delay


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
