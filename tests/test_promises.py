"""The promises of docs/reliability.md on samples of their cases; tools/promises.py has the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from promises.command import PARTS, part
from promises.part import Part, Verdict, judged, records

ROOT = Path(__file__).resolve().parent.parent

SMALL = {
    "scenarios": (45, 46),
    "spaces": (5, 6),
    "singular": range(100),
}
"""Cases that take about a second per part."""

LARGE = {
    "scenarios": range(60),
    "spaces": range(0, 100, 7),
    "singular": range(1000),
}
"""Cases that take tens of seconds per part."""


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


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("scenarios", {"error": 11.0}),
        ("scenarios", {"honest": False}),
        ("scenarios", {"verdict": "BLOW_UP"}),
        ("spaces", {"distance": 1.1e-9}),
        ("spaces", {"verdicts": ["STIFF"]}),
        ("singular", {"error": 1.1e-12}),
        ("singular", {"finite": False}),
    ],
    ids=str,
)
def test_is_broken_by_one_case(name: str, values: dict[str, object]) -> None:
    good = {
        "scenarios": {
            "spaces": {
                "layers": {
                    "verdict": "REACHED_HORIZON",
                    "error": 1.0,
                    "honest": True,
                    "times_honest": 9,
                    "times": 9,
                }
            }
        },
        "spaces": {"widths": [2, 2], "distance": 1e-12, "verdicts": ["REACHED_HORIZON"]},
        "singular": {"spaces": {"layers": {"error": 1e-15, "finite": True}}},
    }[name]
    assert part(name).judge([good]).kept
    assert not part(name).judge([good, json.loads(json.dumps(spoil(good, values)))]).kept


def spoil(record: object, values: dict[str, object]) -> object:
    """Return a record with values changed wherever their keys occur."""
    if not isinstance(record, dict):
        return record
    return {key: values.get(key, spoil(value, values)) for key, value in record.items()}


def test_the_script_prints_one_line_and_stores_its_cases(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools" / "promises.py", "singular", "--count", "2"]
    done = subprocess.run(
        [*command, "--results", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("singular: 2 of 2 cases, kept: ")
    stored = (tmp_path / "singular.jsonl").read_text("utf-8").split("\n")[1:]
    assert [json.loads(line)["k"] for line in stored] == [0, 1]
