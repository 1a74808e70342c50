"""Systems without `fcntl`, such as Windows: what was computed elsewhere can be read and drawn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import made_runs
import pytest

from flowsim.results import archive

CODE = """
import sys

class NoLocks:
    def find_spec(self, name, path=None, target=None):
        if name == "fcntl":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.modules.pop("fcntl", None)
sys.meta_path.insert(0, NoLocks())

import flowsim

tree = flowsim.load(sys.argv[1])
print(float(tree["layers"]["loss"][-1]).hex())
print(flowsim.plot(sys.argv[1]).axes != [])

from flowsim.results import archive

archive.write(archive.read(sys.argv[1]), sys.argv[2])
print("fcntl" in sys.modules)
"""


@pytest.mark.slow
def test_runs_are_read_drawn_and_written_without_locks_of_the_system(tmp_path: Path) -> None:
    run = made_runs.plain()
    archive.write(run, tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "run"), str(tmp_path / "copy")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [float(run["layers.loss"][-1]).hex(), "True", "False"]
    assert archive.read(tmp_path / "copy").summary == archive.read(tmp_path / "run").summary
