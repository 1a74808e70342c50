"""Planted bugs: each is applied alone to a copy of the package, where a test must then fail."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promises.part import Part, Record, Verdict

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "flowsim", "tests", "scenarios", "benchmarks", "tools", "docs", "plots", "pyproject.toml",
    "README.md", "CHANGELOG.md",
)  # fmt: skip

ALL_PASSED, SOME_FAILED, NOT_COLLECTED = 0, 1, 2
"""Exit codes of pytest; a bug may also make a test file fail to import."""

SECONDS = 900
"""Time limit of one run of tests; a planted bug may make a solver loop."""


@dataclass(frozen=True)
class Bug:
    """One textual change of one file, and the tests that should find it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def plant(self, root: Path) -> None:
        """Apply the change to the package in `root`.

        Raises
        ------
        ValueError
            If the text to change does not occur exactly once.

        """
        path = root / "flowsim" / self.file
        text = path.read_text("utf-8") if path.exists() else ""
        if text.count(self.old) != 1:
            raise ValueError(
                f"planted.toml: bug {self.name!r}: flowsim/{self.file} must contain {self.old!r} "
                f"exactly once, but contains it {text.count(self.old)} times; update the bug."
            )
        path.write_text(text.replace(self.old, self.new), "utf-8")


@functools.cache
def bugs() -> tuple[Bug, ...]:
    """Return all bugs of planted.toml."""
    with Path(__file__).with_name("planted.toml").open("rb") as file:
        entries = tomllib.load(file)["bug"]
    return tuple(Bug(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries)


def copy(root: Path) -> None:
    """Copy the package and its tests to `root`."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, root / name)


def tested(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Return the exit code of tests of the README's suite in `root`, and the first failure."""
    paths = [f"tests/{name}" for name in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    # programs compiled elsewhere are shared; the working folder comes first on the path
    environment = {
        "FLOWSIM_CACHE": str(ROOT / "build" / "programs"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **os.environ,
        "PYTHONPATH": str(root),
    }
    try:
        done = subprocess.run(
            [*command, *paths], cwd=root, env=environment, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return SOME_FAILED, "a test that did not end"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, lines[0].split(" - ")[0] if lines else done.stdout[-300:]


def case(_seed: int, k: int) -> Record:
    """Return the test that finds bug k, if one does."""
    bug = bugs()[k]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy(root)
        bug.plant(root)
        code, first = tested(root, bug.tests)
        caught = code in (SOME_FAILED, NOT_COLLECTED)
        sound = not caught or _pass_without_bug(bug.tests, first)
    return {"bug": bug.name, "caught": caught and sound, "by": first if caught else ""}


def _pass_without_bug(tests: tuple[str, ...], first: str) -> bool:
    """Return whether the test that failed passes in an unchanged copy of the package."""
    node = first.partition(" ")[2].removeprefix("tests/")
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        return tested(Path(folder), [node] if node else tests)[0] == ALL_PASSED


def judge(records: Sequence[Record]) -> Verdict:
    """Return the number of bugs found, and the names of the others."""
    missed = [record["bug"] for record in records if not record["caught"]]
    found = len(records) - len(missed)
    line = f"{found} of {len(records)} planted bugs are found by the tests"
    return Verdict(line + (f"; not {', '.join(missed)}" if missed else ""), not missed)


PART = Part("Each planted bug makes at least one test fail.", len(bugs()), case, judge)
