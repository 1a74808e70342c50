"""`flowsim doctor`: a table of the installation, a check of it, and faults in place of a crash."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from flowsim.cli import main
from flowsim.problem import losses
from flowsim.theory.exact.verification.checks import quick


def test_the_table_names_what_a_bug_report_needs(capsys, monkeypatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    assert main(["doctor"]) == 0
    answer = capsys.readouterr().out
    rows = {line[2:15].strip(): line[15:] for line in answer.splitlines() if line.startswith("  ")}
    assert f"numpy {np.__version__}" in rows["libraries"]
    assert f"jax {jax.__version__}" in rows["libraries"]
    assert rows["Python"].endswith(f"({sys.executable})")
    assert "XLA_FLAGS=" in rows["variables"]
    assert {"flowsim", "system", "processor", "memory", "cache", "temporary", "runs"} <= set(rows)
    assert rows["devices"].startswith("cpu: ")
    assert "float64 0.0e+00 ≤ 0.0e+00, modes, N = 2 " in rows["self-check"]
    assert "For a bug report, send this table" in answer


def test_the_check_compares_a_flow_with_its_exact_solution() -> None:
    arithmetic, flow = quick()
    assert arithmetic.passed
    assert flow.passed
    assert 0 < flow.error < flow.tolerance < 1e-3


def test_a_wrong_flow_is_a_fault(capsys, monkeypatch) -> None:
    right = losses.Squared.gradient
    monkeypatch.setattr(losses.Squared, "gradient", lambda self, W: 1.01 * right(self, W))
    assert main(["doctor", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    (fault,) = answer["faults"]
    assert fault.startswith("modes, N = 2: an error of ")
    assert answer["devices"].startswith("cpu")


def test_a_library_that_is_missing_is_a_fault(capsys, monkeypatch) -> None:
    version = importlib.metadata.version

    def without_optax(name: str) -> str:
        if name == "optax":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_optax)
    monkeypatch.setattr("flowsim.theory.exact.verification.checks.quick", lambda: [])
    assert main(["doctor"]) == 1
    assert "✗ libraries    optax is not installed, but is required." in capsys.readouterr().out


def test_a_folder_without_room_is_shown(capsys, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLOWSIM_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("flowsim.theory.exact.verification.checks.quick", lambda: [])
    assert main(["doctor"]) == 0
    assert "cache        none, programs are compiled in every run: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX has no such device here: JAX_PLATFORMS=cuda."),
        ("JAX_ENABLE_CHECKS", "maybe", "JAX rejects an environment variable: "),
    ],
)
def test_settings_of_jax_that_cannot_work_are_faults(name: str, value: str, sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flowsim", "doctor", "--json"],
        env={**os.environ, name: value, "EQX_ON_ERROR": "nan"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert answer["faults"][0].startswith(sentence)
    assert f"{name}={value}" in answer["variables"]
    assert "self-check" not in answer
