"""Writing a run to a full disk, to a read-only folder, and beside another writer.

The disk is a small tmpfs in a mount namespace of its own. Where the system permits none, a limit on
the size of files and a folder without permission to write take its place.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flowsim.results import archive
from promises import stored
from promises.part import Part, Record, Verdict, generator

KINDS = ("full", "full", "read-only", "two writers")
NEW_NAMESPACE = 0x00020000
"""CLONE_NEWNS of unshare(2)."""

ROOM = 1.5
"""Free space at most, in units of the size of a run."""


def case(seed: int, k: int) -> Record:
    """Return what a directory holds after a write that could not succeed, or not at once."""
    kind = KINDS[k % len(KINDS)]
    room = float(generator("disk", seed, k).uniform(0, ROOM))
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "promises.disk", kind, place, str(room)]
        done = subprocess.run(
            command, env=stored.environment(), capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return {"kind": kind, "room": room, **json.loads(done.stdout)}


def _mounted(place: Path) -> bool:
    """Return whether an empty tmpfs could be mounted at a folder, for this process alone."""
    if not sys.platform.startswith("linux") or ctypes.CDLL(None).unshare(NEW_NAMESPACE) != 0:
        return False
    private = ["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "tmpfs", str(place)]
    return all(
        subprocess.run(step, check=False, stderr=subprocess.DEVNULL).returncode == 0
        for step in private
    )


def _remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def _size(folder: Path) -> int:
    """Return the bytes of a run without its figures, which are not drawn here."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.parent.name != "figures")


def _fill(place: Path, room: float, *, mounted: bool) -> None:
    """Leave space for a fraction of a run."""
    free = int(room * _size(stored.folder("new")))
    if mounted:
        status = os.statvfs(place)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        _remount(place, f"size={used + free}")
        return
    largest = max(path.stat().st_size for path in stored.folder("new").rglob("*.nc"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room * largest), resource.RLIM_INFINITY))


def _forbid(place: Path, *, mounted: bool) -> None:
    """Make a folder read-only."""
    if mounted:
        _remount(place, "ro")
        return
    place.chmod(0o500)
    if os.getuid() == 0:
        os.setuid(65534)  # permissions do not bind root


def _write(name: str, directory: Path) -> str:
    """Return the error of writing a run over the one in a directory, "" if there is none."""
    run = archive.read(stored.folder(name))
    try:
        archive.write(run, directory, force=True)
    except archive.ArchiveError as error:
        return str(error)
    return ""


def _both(directory: Path) -> list[str]:
    """Return the errors of two processes that write at the same time."""
    script = "import sys, promises.disk as d; print(d._write(sys.argv[1], d.Path(sys.argv[2])))"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, name, directory], stdout=subprocess.PIPE, text=True
        )
        for name in stored.SETTINGS
    ]
    return [writer.communicate()[0].strip() for writer in writers]


def child(kind: str, place: Path, room: float) -> Record:
    """Return the record of a case, in a process of its own."""
    stored.known()
    mounted = kind != "two writers" and _mounted(place)
    directory = place / "run"
    shutil.copytree(stored.folder("old"), directory)
    if kind == "two writers":
        messages = _both(directory)
    elif kind == "full":
        _fill(place, room, mounted=mounted)
        messages = [_write("new", directory)]
    else:
        _forbid(place, mounted=mounted)
        messages = [_write("new", directory)]
    left = stored.leftovers(directory)
    found = stored.which(directory)
    return {"found": found, "messages": messages, "left": left, "mounted": mounted}


def judge(records: Sequence[Record]) -> Verdict:
    """Return how often each run was found, and where none was, or a false one."""
    wrong = [record for record in records if _is_wrong(record)]
    counts = {
        kind: sum(record["kind"] == kind for record in records) for kind in dict.fromkeys(KINDS)
    }
    mounted = sum(record["mounted"] for record in records)
    line = (
        f"{', '.join(f'{count} {kind}' for kind, count in counts.items())} ({mounted} on a tmpfs): "
        f"old run {sum(record['found'] == 'old' for record in records)}, "
        f"new run {sum(record['found'] == 'new' for record in records)}, wrong {len(wrong)}"
    )
    return Verdict(line + "".join(f"; {record}" for record in wrong[:3]), not wrong)


def _is_wrong(record: Record) -> bool:
    if record["found"] not in stored.SETTINGS or record["left"]:
        return True
    if record["kind"] == "two writers":
        return all(record["messages"])  # one of them at least must succeed
    # a failure is reported, and a success has stored the new run
    return bool((record["found"] == "new") == bool(record["messages"][0]))


PART = Part("A full disk, a read-only folder and a second writer cost no run.", 400, case, judge)

if __name__ == "__main__":
    print(json.dumps(child(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))))
