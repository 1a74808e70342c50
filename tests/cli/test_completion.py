"""Completion in the shell, through click's own machinery and in bash itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from click.shell_completion import ShellComplete

from flowsim.cli.group import flowsim
from flowsim.dynamics.registry import FLOWS, RULES
from flowsim.experiment.figure_registry import FIGURES
from flowsim.scenario import catalog
from flowsim.scenario.spec.flow import Flow
from flowsim.scenario.validate.keys import known_keys

METHODS = list(get_args(Flow.model_fields["method"].annotation))
HEAVY = ("numpy", "jax", "scipy", "matplotlib", "xarray")


def completed(*arguments: str) -> list[str]:
    """Return the completions of the last of these arguments."""
    *before, incomplete = arguments
    shell = ShellComplete(flowsim, {}, "flowsim", "_FLOWSIM_COMPLETE")
    return [item.value for item in shell.get_completions(before, incomplete) if item.value]


@pytest.mark.parametrize("command", ["run", "show"])
def test_scenarios_are_completed_by_name(command: str) -> None:
    assert completed(command, "") == catalog.names()
    assert completed(command, "saddle") == ["saddle-to-saddle"]
    assert completed(command, "no-such") == []


@pytest.mark.parametrize("command", ["run", "show"])
def test_a_file_may_stand_for_a_scenario(command: str) -> None:
    shell = ShellComplete(flowsim, {}, "flowsim", "_FLOWSIM_COMPLETE")
    assert shell.get_completions([command], "./")[0].type == "file"


@pytest.mark.parametrize("command", ["run", "show"])
def test_keys_of_set_are_completed_with_their_sign(command: str) -> None:
    assert completed(command, "x", "--set", "flow.rt") == ["flow.rtol="]
    everything = completed(command, "x", "--set", "")
    assert {key.removesuffix("=") for key in everything} <= set(known_keys())
    assert {"seed=", "init.seed=", "flow.times=", "descent.rule=", "loss.p="} <= set(everything)
    assert "descent.algorithm=" not in everything


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("flow.method", METHODS),
        ("descent.rule", list(RULES)),
        ("descent.precision", ["float64", "float32"]),
        ("output.layers", ["true", "false"]),
        ("output.figure", list(FIGURES)),
        ("data.dataset", ["digits", "diabetes", "iris", "wine", "breast_cancer", "linnerud"]),
        ("flow.rtol", []),
        ("no.such", []),
    ],
)
def test_values_of_a_key_are_completed_where_they_are_words(key: str, values: list[str]) -> None:
    found = completed("run", "x", "--set", f"{key}=")
    assert found == [f"{key}={value}" for value in values]


def test_kinds_are_those_of_every_model() -> None:
    found = completed("run", "x", "--set", "init.kind=l")
    assert found == ["init.kind=lambda_balanced"]


def test_figures_formulations_and_integrators_are_completed() -> None:
    assert completed("plot", "run", "--figure", "") == list(FIGURES)
    assert completed("run", "x", "--figures", "") == ["all", "none", *FIGURES]
    assert completed("run", "x", "--figures", "loss,gap,lo") == []
    assert completed("run", "x", "--figures", "gap,lo") == ["gap,loss"]
    assert completed("verify", "--space", "s") == [name for name in FLOWS if name[0] == "s"]
    assert completed("verify", "--method", "rod") == ["rodas4", "rodas5p"]
    assert completed("ru") == ["run"]


def answer(shell: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return what the command prints when a shell asks for completions."""
    code = (
        "import atexit, sys; from flowsim.cli import main; sys.argv[0] = 'flowsim';"
        f"atexit.register(lambda: print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr));"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "_FLOWSIM_COMPLETE": shell, **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        (["run", "saddle"], ["file,", "plain,saddle-to-saddle"]),
        # bash splits at the sign
        (["run", "x", "--set", "flow.method", "=", "tsi"], ["plain,tsit5"]),
        (["run", "x", "--set", "seed", "=", "1", "--set", "flow.rt"], ["plain,flow.rtol="]),
        (["run", "x", "--set", "=", "flow.method", "=", "tsi"], ["plain,tsit5"]),
        (["plot", "x", "--figure", "=", "los"], ["plain,loss"]),
    ],
)
def test_bash_is_answered_without_heavy_imports(words: list[str], replies: list[str]) -> None:
    line = "\n".join(["flowsim", *words])
    done = answer("bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    assert done.stdout.splitlines() == replies
    assert done.stderr == "[]\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_completes_in_bash(tmp_path: Path) -> None:
    """No space follows `KEY=`, where the value stands; one follows a value."""
    flow = tmp_path / "flowsim"
    flow.write_text(f'#!/bin/sh\nexec {sys.executable} -m flowsim "$@"\n', encoding="utf-8")
    flow.chmod(0o755)
    program = """
        compopt() { printf "compopt %s %s\\n" "$1" "$2"; }
        eval "$(_FLOWSIM_COMPLETE=bash_source flowsim)"
        for last in "flow.rt" "seed = 1 --set flow.method = tsi"; do
            COMP_WORDS=(flowsim run x --set $last) COMPREPLY=()
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _flowsim_completion flowsim; echo "${COMPREPLY[*]}"
        done
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["compopt -o nospace", "flow.rtol=", "tsit5"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str) -> None:
    assert "_FLOWSIM_COMPLETE" in answer(f"{shell}_source").stdout
