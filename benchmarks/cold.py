"""Cold start: whole processes, from the shell's point of view.

    python benchmarks/cold.py [--repeats N]

`flowsim run small.toml` with its compile cache empty and filled, beside plain_script.py, which
computes the same three dynamics with SciPy and draws as many figures; then `--help`, `list` and
`show` alone; then where the time of a run goes. The best of several repeats.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
FLOWSIM = [sys.executable, "-m", "flowsim"]
GOALS = {"filled": 1.5, "empty": 3.0, "list": 0.15}


def seconds(command: list[str], **environment: str) -> float:
    """Return the wall time of a process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
    return time.perf_counter() - started


def best(command: list[str], repeats: int, **environment: str) -> float:
    """Return the shortest wall time of several processes."""
    return min(seconds(command, **environment) for _ in range(repeats))


def runs(folder: Path, repeats: int) -> dict[str, float]:
    """Return the seconds of the script and of a run, its compile cache empty and filled."""
    command = ["run", str(HERE / "small.toml"), "--figures", "all", "--force"]
    run = [*FLOWSIM, *command, "-o", str(folder / "run")]
    cache = folder / "cache"
    script = [sys.executable, str(HERE / "plain_script.py"), str(folder / "script")]
    found = {"script": [], "empty": [], "filled": []}  # type: dict[str, list[float]]
    for _ in range(repeats):  # in turn, so that a busy moment hits all alike
        shutil.rmtree(folder / "script", ignore_errors=True)
        found["script"].append(seconds(script))
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700)
        found["empty"].append(seconds(run, FLOWSIM_CACHE=str(cache)))
        found["filled"].append(seconds(run, FLOWSIM_CACHE=str(cache)))
    return {name: min(each) for name, each in found.items()}


def shares(folder: Path) -> dict[str, float]:
    """Return where a run with a filled cache spends its time, in seconds."""
    summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))["seconds"]
    libraries = "import jax, diffrax, scipy.optimize, h5py"
    imports = best([sys.executable, "-c", libraries], 3) - best([sys.executable, "-c", ""], 3)
    return {
        "importing jax, diffrax, scipy, h5py": imports,
        "loading compiled programs": summary["compile"],
        "integrating": sum(summary[space] for space in ("layers", "end_to_end", "descent")),
        "error estimates": summary["error_estimate"],
        "simulating, in all": summary["total"],
    }


@click.command(help=__doc__)
@click.option("--repeats", default=5)
def main(repeats: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = runs(folder, repeats)
        click.echo("| process | seconds | × the script | goal |\n|---|---|---|---|")
        click.echo(f"| SciPy and Matplotlib script | {found['script']:.2f} | 1 | |")
        for cache in ("filled", "empty"):
            ratio = found[cache] / found["script"]
            click.echo(
                f"| `flowsim run`, compile cache {cache} | {found[cache]:.2f} | {ratio:.2f} "
                f"| ≤ {GOALS[cache]:g} |"
            )
        for words in (["--help"], ["list"], ["show", "saddle-to-saddle"]):
            goal = f"< {GOALS['list']:g} s" if words == ["list"] else ""
            spent = best([*FLOWSIM, *words], repeats)
            click.echo(f"| `flowsim {' '.join(words)}` | {spent:.3f} | | {goal} |")
        click.echo("\n| where a run with a filled cache spends its time | seconds |\n|---|---|")
        for label, spent in shares(folder).items():
            click.echo(f"| {label} | {spent:.2f} |")


if __name__ == "__main__":
    main()
