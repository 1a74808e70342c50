"""Diagnostics, initializations and losses from a package of the user, as the docs show them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowsim
from flowsim.scenario.spec.init import Balanced
from flowsim.solvers.variables import TIME
from flowsim.theory.measure import Measure

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"```(?:python|toml) plugin\n# (\S+)\n(.*?)```", re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the package of the docs, installed as pip would."""
    for name, text in BLOCK.findall(PAGE.read_text("utf-8")):
        (tmp_path / name).write_text(text, "utf-8")
    about = tmp_path / "stable_rank-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stable-rank\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[flowsim]\nstable_rank = stable_rank\n")
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flowsim", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_plugin_runs_draws_and_is_read_from_the_command_line(installed: Path) -> None:
    done = command(installed, "run", "signs.toml", "-o", "signs")
    assert done.returncode == 0, done.stderr
    assert "equals 1 within 0.001" in done.stdout
    summary = json.loads((installed / "signs" / "summary.json").read_text("utf-8"))
    assert summary["verdict"]["layers"]["name"] == "reached_horizon"
    assert (installed / "signs" / "figures" / "stable_rank.png").exists()
    assert command(installed, "plot", "signs", "--figure", "stable_rank").returncode == 0
    schema = json.loads(command(installed, "schema").stdout)
    assert "stable_rank" in json.dumps(schema["$defs"]["Output"]["properties"]["measures"])
    assert "signs" in schema["properties"]["init"]["discriminator"]["mapping"]


def test_a_plugin_that_cannot_be_imported_is_named(installed: Path) -> None:
    (installed / "stable_rank.py").write_text("import nothing_like_it\n")
    done = command(installed, "show", "signs.toml")
    assert done.returncode == 2
    assert "plugin 'stable_rank' (stable_rank) cannot be imported: No module named" in done.stderr


def measure(name: str, function=len) -> Measure:
    return Measure(name, question="?", variables=(TIME,), function=function)


@pytest.mark.parametrize(
    ("addition", "text"),
    [
        (measure("norms"), "There is a group or figure 'norms' already"),
        (measure("layers"), "There is a group or figure 'layers' already"),
        (measure("loss"), "There is a group or figure 'loss' already"),
        (measure("of course"), "must be an identifier, but is 'of course'"),
        (measure("own", None), "'own' has no function"),
        (Balanced, 'There is a kind "balanced" of init already'),
        (int, "takes a Measure or a subclass of Init or Loss, but got <class 'int'>"),
        ("norms", "takes a Measure or a subclass of Init or Loss, but got 'norms'"),
    ],
    ids=["group", "formulation", "figure", "no name", "no function", "kind", "class", "text"],
)
def test_what_cannot_be_registered_is_refused(addition, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        flowsim.register(addition)
