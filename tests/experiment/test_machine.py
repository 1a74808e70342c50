"""The memory that a process may use is the least of the limits of the machine and its groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowsim.experiment.plan import machine
from flowsim.experiment.plan.machine import memory_limit

UNLIMITED = "9223372036854771712\n"
"""What version 1 writes where there is no limit: the largest multiple of a page below 2⁶³."""


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes control groups of files, and puts this process in some."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_ROOT", tmp_path / "sys")
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 8000}.__getitem__)

    def make(lines: str, limits: dict[str, str]) -> None:
        (tmp_path / "cgroup").write_text(lines)
        for path, limit in limits.items():
            file = tmp_path / "sys" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(limit)

    return make


V1 = "5:devices:/job\n4:cpu,memory:/job/step\n0::/\n"


@pytest.mark.parametrize(
    ("lines", "limits", "size"),
    [
        ("0::/job/step\n", {"job/memory.max": "3000000\n", "job/step/memory.max": "max\n"}, 3e6),
        ("0::/job\n", {"job/memory.max": "5000000\n", "memory.max": "4000000\n"}, 4e6),
        ("0::/\n", {"memory.max": "9000000\n"}, 8e6),
        (V1, {"memory/job/step/memory.limit_in_bytes": "2000000\n"}, 2e6),
        (V1, {"memory/job/step/memory.limit_in_bytes": UNLIMITED}, 8e6),
        (V1, {"memory/memory.limit_in_bytes": "1000000\n"}, 1e6),
        ("nonsense", {}, 8e6),
    ],
    ids=["2, above", "2, container", "2, larger", "1", "1, none", "1, container", "unknown form"],
)
def test_the_least_limit_is_found(groups, lines: str, limits: dict[str, str], size: float) -> None:
    groups(lines, limits)
    limit = memory_limit()
    assert limit.size == size
    assert limit.limited_by == (
        "this machine has" if size == 8e6 else "the control group (container) allows"
    )


def test_systems_that_report_nothing_have_no_known_limit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "missing")
    monkeypatch.delattr(os, "sysconf")
    assert memory_limit() is None
