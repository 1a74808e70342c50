"""`flowsim doctor`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from flowsim.cli import runtime
from flowsim.cli.terminal import print_answer
from flowsim.process.environment import jax_faults
from flowsim.process.program_cache import program_folder

_VARIABLES = re.compile(r"(JAX|XLA|EQX|FLOWSIM)_.*|.*_NUM_THREADS|TMPDIR|PYTHONWARNINGS|MPLBACKEND")
"""Environment variables that can change how flowsim runs."""

_ADVICE = """
For a bug report, send this table, the command, the scenario file with the data that it reads, and
what was printed. With FLOWSIM_DEBUG=1 an internal error prints a traceback, which helps most."""


@dataclass(frozen=True)
class _Finding:
    """One row of the table; with a fault, flowsim cannot run as it should."""

    name: str
    text: str
    is_fault: bool = False


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help='As JSON: {"name": …, "faults": […]}.')
def doctor_command(as_json: bool) -> int:
    """Check the installation, and show what to send with a bug report.

    Show versions, devices, threads, caches and folders, and compare a flow with its exact solution.
    The exit code is 1 if something is at fault.
    """
    runtime.set_error_handling()  # before JAX is imported
    findings = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:  # row by row: a fault of a library can end the process
            mark = "✗" if finding.is_fault else " "
            print_answer(f"{mark} {finding.name:<12} {finding.text}")
            sys.stdout.flush()
    faults = [finding.text for finding in findings if finding.is_fault]
    if as_json:
        rows = {finding.name: finding.text for finding in findings if not finding.is_fault}
        print_answer(json.dumps({**rows, "faults": faults}, indent=2, ensure_ascii=False))
    else:
        print_answer(_ADVICE)
    return 1 if faults else 0


def _findings() -> Iterator[_Finding]:
    yield from _versions()
    yield from _machine()
    yield from _folders()
    faults = list(jax_faults())
    yield from (_Finding("JAX", fault, is_fault=True) for fault in faults)
    if not faults:
        import jax

        devices = ", ".join(f"{each.platform}: {each.device_kind}" for each in jax.devices())
        yield _Finding("devices", devices)
        yield from _self_check()


def _versions() -> Iterator[_Finding]:
    """Yield the version, commit and folder of flowsim, and the versions of what it requires."""
    from flowsim import __version__
    from flowsim.experiment.provenance import commit
    from flowsim.scenario.digest import PACKAGE, sources_digest

    found = commit()
    checkout = f", commit {found['commit'][:10]}" if found["commit"] else ""
    changed = "" if found["clean"] in (None, True) else " with changes"
    yield _Finding("flowsim", f"{__version__}{checkout}{changed}, sources {sources_digest()[:8]}")
    yield _Finding("folder", str(PACKAGE))
    yield _Finding("Python", f"{platform.python_version()} ({sys.executable})")
    versions, missing = [], []
    for name in _required():
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    yield _Finding("libraries", ", ".join(versions))
    for name in missing:
        yield _Finding("libraries", f"{name} is not installed, but is required.", is_fault=True)


def _required() -> list[str]:
    """Return the names of the libraries without which flowsim cannot run, and JAX's compiler."""
    try:
        lines = importlib.metadata.requires("flowsim") or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        lines = []
    names = [re.split(r"[^A-Za-z0-9_-]", line)[0] for line in lines if "extra ==" not in line]
    return sorted({*names, "jaxlib", "numpy"})


def _machine() -> Iterator[_Finding]:
    from flowsim.experiment.plan.footprint import human
    from flowsim.experiment.plan.machine import memory_limit
    from flowsim.experiment.provenance import blas, cpu

    yield _Finding("system", platform.platform())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield _Finding("processor", f"{cpu()}, {os.cpu_count()} cores, {usable} usable")
    yield _Finding("BLAS", blas())
    if limit := memory_limit():
        yield _Finding("memory", f"{limit.limited_by} {human(limit.size)}")
    chosen = sorted(name for name in os.environ if _VARIABLES.fullmatch(name))
    yield _Finding("variables", ", ".join(f"{name}={os.environ[name]}" for name in chosen))


def _folders() -> Iterator[_Finding]:
    """Yield the folders that runs write to, and whether they can."""
    from flowsim.experiment.plan.footprint import human
    from flowsim.solvers import storage

    try:
        folder = program_folder()
        size = sum(path.stat().st_size for path in folder.glob("*-cache"))
        yield _Finding("cache", f"{folder}: {human(size)}")
    except (OSError, RuntimeError) as error:
        yield _Finding("cache", f"none, programs are compiled in every run: {error}")
    free = storage.free_bytes()
    room = "" if free is None else f", {human(free)} free"
    yield _Finding("temporary", f"{storage.temporary_folder()}{room}")
    runs = Path("runs") if Path("runs").exists() else Path()
    writable = "" if os.access(runs, os.W_OK | os.X_OK) else "not writable: choose a folder with -o"
    yield _Finding("runs", f"{runs.resolve()}{writable and f', {writable}'}")


def _self_check() -> Iterator[_Finding]:
    """Yield the checks of float64 and of one flow against its exact solution."""
    from flowsim.theory.exact.verification.checks import quick

    started = time.monotonic()
    done = list(quick())
    errors = ", ".join(f"{c.name} {c.error:.1e} ≤ {c.tolerance:.1e}" for c in done if c.passed)
    yield _Finding("self-check", f"{errors} in {time.monotonic() - started:.1f} s")
    for check in done:
        if not check.passed:
            found = check.note or f"an error of {check.error:.1e} exceeds {check.tolerance:.1e}"
            yield _Finding("self-check", f"{check.name}: {found}.", is_fault=True)
