"""The promises of docs/reliability.md on samples of their cases; tools/promises.py has the rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from promises import bugs
from promises.command import PARTS, main, part
from promises.part import Part, Verdict, judged, records

ROOT = Path(__file__).resolve().parent.parent

SMALL = {
    "scenarios": (45,),
    "spaces": (5,),
    "singular": range(20),
    "orders": (9,),
    "fuzz": range(1, 60, 4),
    "writes": (0,),
    "damage": range(10),
}
"""Cases that take about a second per part."""

LARGE = {
    "scenarios": range(15),
    "spaces": (0, 47, 97),
    "singular": range(500),
    "orders": (0, 2, 5, 7, 10),
    "bugs": (28,),
    "bitwise": range(2),
    "fuzz": range(200),
    "kill": range(4),
    "writes": range(0, 96, 4),
    "disk": range(4),
    "damage": range(100),
}
"""Cases that take up to tens of seconds per part."""


def assert_kept(name: str, cases: Sequence[int], seed: int) -> None:
    verdict = judged(part(name), records(part(name), cases, seed))
    assert verdict.kept, verdict.line


@pytest.mark.parametrize("name", SMALL)
def test_is_kept(name: str) -> None:
    assert_kept(name, SMALL[name], seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_is_kept_on_more_cases(name: str) -> None:
    assert_kept(name, LARGE[name], seed=2)


def test_every_part_is_on_the_page() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert [name for name in PARTS if not any(f"| `{name}`" in row for row in rows)] == []


def squares(seed: int, k: int) -> dict[str, int]:
    if k == 3:
        raise ValueError("three")
    return {"square": seed + k * k}


SQUARES = Part("made up", 4, squares, lambda found: Verdict(f"{len(found)} squares", True))


def test_a_run_continues_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    assert len(records(SQUARES, range(2), 7, path)) == 2
    with path.open("a") as file:
        file.write('\n{"seed": 7, "k": 2, "squ')  # of a killed process
    begun = path.read_text("utf-8")
    asked = []
    counting = Part("made up", 4, lambda seed, k: asked.append((seed, k)) or {}, SQUARES.judge)
    assert [record["k"] for record in records(counting, range(4), 7, path)] == [0, 1, 2, 3]
    assert asked == [(7, 2), (7, 3)]
    assert path.read_text("utf-8").startswith(begun)
    assert len(records(counting, range(4), 7, path)) == 4
    assert asked == [(7, 2), (7, 3)]


def test_no_case_begins_after_the_time_is_up() -> None:
    assert len(records(SQUARES, range(3), 0, seconds=0)) == 1


def test_a_case_that_raises_breaks_the_promise() -> None:
    assert judged(SQUARES, records(SQUARES, range(3), 0)).kept
    verdict = judged(SQUARES, records(SQUARES, range(4), 0))
    assert not verdict.kept
    assert "1 cases raised: [3]" in verdict.line


GOOD = {
    "scenarios": {
        "spaces": {
            "layers": {
                "outcome": "completed",
                "error": 1.0,
                "honest": True,
                "times_honest": 9,
                "times": 9,
            }
        }
    },
    "spaces": {"widths": [2, 2], "distance": 1e-12, "outcomes": ["completed"]},
    "singular": {"spaces": {"layers": {"error": 1e-15, "finite": True}}},
    "orders": {"method": "tsit5", "order": 5, "measured": 5.1},
    "bugs": {"bug": "sign", "caught": True},
    "bitwise": {"hashes": {"layers.loss": "a"}},
    "fuzz": {"outcome": "accepted", "wrong": []},
    "kill": {"command": True, "found": "old", "restored": False, "left": []},
    "writes": {"found": "old", "left": [], "message": "The disk is full.", "of": 9},
    "disk": {"kind": "full", "found": "old", "left": [], "messages": ["full"], "mounted": True},
    "damage": {"kind": "flip", "accepted": []},
}
"""A record of each part that keeps its promise."""


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("scenarios", {"error": 11.0}),
        ("scenarios", {"honest": False}),
        ("scenarios", {"outcome": "failed"}),
        ("spaces", {"distance": 1.1e-9}),
        ("spaces", {"outcomes": ["failed"]}),
        ("singular", {"error": 1.1e-12}),
        ("singular", {"finite": False}),
        ("orders", {"measured": 4.79}),
        ("bugs", {"caught": False}),
        ("bitwise", {"layers.loss": "b"}),
        ("fuzz", {"wrong": ["end_to_end is completed, but not finite"]}),
        ("kill", {"found": "The run is damaged."}),
        ("kill", {"left": [".run.flowsim-lock"]}),
        ("writes", {"found": "another run"}),
        ("writes", {"message": ""}),
        ("writes", {"left": [".run.flowsim-lock"]}),
        ("disk", {"messages": [""]}),
        ("disk", {"kind": "two writers", "messages": ["busy", "busy"]}),
        ("damage", {"accepted": ["load"]}),
    ],
    ids=str,
)
def test_is_broken_by_one_case(name: str, values: dict[str, object]) -> None:
    good = GOOD[name]
    assert part(name).judge([good]).kept
    assert not part(name).judge([good, spoil(good, values)]).kept


def spoil(record: object, values: dict[str, object]) -> object:
    """Return a record with values changed wherever their keys occur."""
    if not isinstance(record, dict):
        return record
    return {key: values.get(key, spoil(value, values)) for key, value in record.items()}


def test_every_planted_bug_can_be_planted(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flowsim", tmp_path / "flowsim")
    for bug in bugs.bugs():
        path = tmp_path / "flowsim" / bug.file
        before = path.read_text("utf-8")
        bug.plant(tmp_path)
        compile(path.read_text("utf-8"), bug.file, "exec")
        assert path.read_text("utf-8") != before
        path.write_text(before, "utf-8")
        assert all((ROOT / "tests" / name).exists() for name in bug.tests), bug.name


def test_a_bug_without_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "flowsim").mkdir()
    (tmp_path / "flowsim" / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"bug 'sign': flowsim/a\.py must contain 'x = 2'"):
        bugs.Bug("sign", "a.py", "x = 2", "x = -2", ()).plant(tmp_path)


def test_a_part_prints_one_line_and_stores_its_cases(tmp_path: Path, capsys) -> None:
    assert main(["singular", "--count", "2", "--results", str(tmp_path)]) == 0
    assert re.fullmatch(r"singular: 2 of 2 cases, kept: .*\n", capsys.readouterr().out)
    stored = (tmp_path / "singular.jsonl").read_text("utf-8").split("\n")[1:]
    assert [json.loads(line)["k"] for line in stored] == [0, 1]


def test_a_broken_promise_is_exit_code_1(tmp_path: Path, capsys) -> None:
    record = {"seed": 0, "k": 0, "spaces": {"layers": {"error": 1.0, "finite": True}}}
    (tmp_path / "singular.jsonl").write_text(json.dumps(record))
    assert main(["singular", "--count", "1", "--results", str(tmp_path)]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_the_script_names_its_parts() -> None:
    command = [sys.executable, ROOT / "tools" / "promises.py", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [name for name in PARTS if name not in told] == []
