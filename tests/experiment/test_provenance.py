"""Where a run comes from, as its summary states it."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import made_runs
import numpy as np
import pytest

from flowsim.experiment import provenance
from flowsim.scenario import digest as digests
from flowsim.scenario.digest import digest, sources_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch):
    """Return a folder that counts as that of flowsim's sources."""
    folder = tmp_path / "clone" / "flowsim"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.py").write_text("a = 1\n")
    (folder / "inner" / "b.py").write_text("b = 2\n")
    monkeypatch.setattr(digests, "PACKAGE", folder)
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    # what does not change while a process runs changes here
    monkeypatch.setattr(digests, "sources_digest", sources_digest.__wrapped__)
    monkeypatch.setattr(provenance, "_process", provenance._process.__wrapped__)
    monkeypatch.setattr(provenance, "sources_digest", sources_digest.__wrapped__)
    return folder


def test_a_run_of_edited_sources_has_another_hash(package: Path) -> None:
    scenario = made_runs.plain().scenario
    seen = {digest(scenario)}
    for edit in (
        lambda: (package / "inner" / "b.py").write_text("b = 3\n"),
        lambda: (package / "inner" / "b.py").rename(package / "b.py"),
        lambda: (package / "coefficients.npz").write_bytes(b"1"),
    ):
        edit()
        seen.add(digest(scenario))
    assert len(seen) == 4
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_bytes(b"1")
    (package / ".#a.py").symlink_to("nowhere")
    assert digest(scenario) in seen


def test_the_hash_of_the_sources_is_read_once() -> None:
    assert sources_digest() is sources_digest()
    assert len(sources_digest()) == 64


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_commit_is_that_of_the_sources(package: Path, monkeypatch) -> None:
    def commit() -> tuple[object, object]:
        found = provenance.provenance()
        return found["commit"], found["clean"]

    assert commit() == (None, None)
    git(package.parent, "init", "-q")
    git(package.parent, "add", "flowsim")
    git(package.parent, "commit", "-q", "-m", "first")
    first = git(package.parent, "rev-parse", "HEAD")
    assert commit() == (first, True)
    (package.parent / "notes.txt").write_text("not a source")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert commit() == (first, True)
    (package / "a.py").write_text("a = 2\n")
    assert commit() == (first, False)
    (package / "a.py").write_text("a = 1\n")
    (package / "new.py").write_text("")
    assert commit() == (first, False)
    monkeypatch.setenv("PATH", "")
    assert commit() == (None, None)


def test_date_and_machine_are_those_of_now() -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    found = provenance.provenance()
    assert before <= datetime.fromisoformat(found["date"]) <= datetime.now(UTC)
    assert found["sources"] == sources_digest()
    assert found["devices"][0].startswith("cpu")
    assert found["cores"] >= 1
    assert found["cpu"]
    assert "blas" in found["blas"].lower() or "accelerate" in found["blas"].lower()


def test_the_command_and_the_values_that_it_replaces_are_kept() -> None:
    run = provenance.asked(
        made_runs.plain(), "flowsim.run", {"init.scale": 0.1, "loss.target": np.zeros((99, 99))}
    )
    found = run.summary["provenance"]
    assert found["command"] == "flowsim.run"
    assert found["settings"]["init.scale"] == "0.1"
    assert len(found["settings"]["loss.target"]) <= provenance.LONGEST_VALUE
