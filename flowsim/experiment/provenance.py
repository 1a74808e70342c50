"""Where a run comes from: date, sources and commit, command and machine."""

from __future__ import annotations

import os
import platform
import subprocess
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from flowsim.results.run import Run
from flowsim.scenario.digest import PACKAGE, sources_digest

LONGEST_VALUE = 200
"""Characters of a replaced value; arrays may be longer, and are in `scenario.toml`."""

Entries = dict[str, Any]


def provenance() -> Entries:
    """Return the date, the sources and the machine of a run that ends now."""
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), **_process()}


def asked(run: Run, command: str, settings: Mapping[str, object]) -> Run:
    """Return the run with the command that asked for it, and the values replaced by their keys."""
    texts = {key: textwrap.shorten(str(value), LONGEST_VALUE) for key, value in settings.items()}
    entries = {**run.summary.get("provenance", {}), "command": command, "settings": texts}
    return replace(run, summary={**run.summary, "provenance": entries})


@cache
def _process() -> Entries:
    """Return what does not change while this process runs."""
    import jax

    return {
        "sources": sources_digest(),
        **commit(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "blas": blas(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
    }


def commit() -> Entries:
    """Return the commit of a checkout, and whether its sources are those; None if there is none."""
    root = PACKAGE.parent
    commit = _git("rev-parse", "HEAD") if (root / ".git").exists() else None
    changes = None if commit is None else _git("status", "--porcelain", "--", PACKAGE.name)
    return {"commit": commit, "clean": None if changes is None else not changes}


def _git(*arguments: str) -> str | None:
    # variables such as GIT_DIR would lead to another repository
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=variables, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cpu() -> str:
    """Return the name of the processor."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def blas() -> str:
    """Return the name and version of the library with which NumPy multiplies matrices."""
    found: Any = np.show_config(mode="dicts")
    library = found.get("Build Dependencies", {}).get("blas", {})
    return f"{library.get('name', 'unknown')} {library.get('version', '')}".strip()
