"""Two stored runs of one small scenario, with a variant and a data file, and what is compared."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import numpy as np

import flowsim
from flowsim.results import archive
from flowsim.results.run import Run

TEXT = """title = "Stored"
seed = 1
[network]
widths = [2, 2, 2]
[loss]
kind = "squared"
target = { file = "target.npy" }
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 2.0
samples = 9
spaces = ["layers"]
[descent]
step_sizes = [0.1, 3.0]
[[variant]]
name = "near"
set = { "init.scale" = 0.5 }
"""
SETTINGS = {"old": 1e-6, "new": 1e-8}
"""The relative tolerance of each run."""


ENVIRONMENT = "FLOWSIM_PROMISES_STORED"
"""The variable by which a process passes its stored runs to a child."""


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    # removed when the process ends
    return tempfile.TemporaryDirectory(prefix="promises-")


@functools.cache
def scenario() -> Path:
    """Return the scenario file; the runs are beside it."""
    path = Path(os.environ.get(ENVIRONMENT) or _temporary().name) / "stored.toml"
    if path.exists():
        return path
    np.save(path.with_name("target.npy"), np.diag([2.0, 1.0]))
    path.write_text(TEXT, "utf-8")
    return path


@functools.cache
def folder(name: str) -> Path:
    """Return the folder of the run `"old"` or `"new"`, simulated at the first call."""
    path = scenario().with_name(name)
    if not path.exists():
        run = flowsim.run(scenario(), {"flow.rtol": SETTINGS[name]})
        archive.write(run, path, draw=_draw)
    return path


def _draw(run: Run, place: Path) -> None:
    # any bytes: figures are stored with a run, but nothing is read from them
    (place / "loss.png").write_bytes(run["layers.loss"].tobytes() if run.groups else b"variants")


def environment() -> dict[str, str]:
    """Return the environment of a child process that uses the same stored runs."""
    for name in SETTINGS:
        folder(name)
    path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        ENVIRONMENT: str(scenario().parent),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }


def fingerprint(run: Run) -> dict[str, bytes | str]:
    """Return all values of a run and of its variant, with its outcomes."""
    found: dict[str, bytes | str] = {}
    for path in run.paths():
        values = run[path]
        # arrays of objects hold addresses
        found[path] = repr(values.tolist()) if values.dtype.kind == "O" else values.tobytes()
    found["outcome"] = repr(run.summary["outcome"])
    found["rtol"] = repr(run.scenario.flow.rtol)
    return found


@functools.cache
def known() -> dict[str, dict[str, bytes | str]]:
    """Return the fingerprints of both runs."""
    return {name: fingerprint(archive.read(folder(name))) for name in SETTINGS}


def which(directory: Path) -> str:
    """Return which of the two runs is in a directory, intact: "old", "new", or the reason why not.

    A run that a killed writer had set aside counts if the next writer restores it.
    """
    reason = _which(directory)
    if reason in SETTINGS:
        return reason
    tidy(directory)
    return _which(directory)


def tidy(directory: Path) -> None:
    """Do what the next writer does first: restore or remove what a killed one left."""
    with archive.reserve(directory, force=True):
        pass


def _which(directory: Path) -> str:
    try:
        found = fingerprint(archive.read(directory))
    except archive.ArchiveError as error:
        return str(error)
    return next((name for name, one in known().items() if one == found), "another run")


def leftovers(directory: Path) -> list[str]:
    """Return what remains of writers beside a directory and in it."""
    beside = [path.name for path in directory.parent.iterdir()]
    inside = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return [name for name in beside + inside if ".flowsim-" in name]
