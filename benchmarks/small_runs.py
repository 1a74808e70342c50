"""Many small runs in one process: seconds of CPU, in total and by stage.

    python benchmarks/small_runs.py [--runs N] [--side-by-side K] [--profile]

Each run completes a 30 × 30 matrix of rank 3 with depth 2 from another seed. One run before them
compiles the programs. `--side-by-side` starts K such processes at once.
"""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
import time

import click

SCENARIO = """
title = "Completion of a 30 × 30 matrix of rank 3"

[network]
widths = [30, 30, 30]

[loss]
kind = "completion"
target = { rank = 3, norm = 30.0 }
observed = { fraction = 0.4 }

[init]
kind = "balanced"
scale = 1e-3

[flow]
horizon = 100.0
samples = 100
spaces = ["layers"]
rtol = 1e-6
"""

STAGES = {
    "reading the scenario": ("reading.py", "read"),
    "integration and error estimate": ("solve.py", "solve"),
    "loss over the plane": ("simulation.py", "plane_group"),
    "other variables": ("simulation.py", "trajectory_groups"),
    "summary": ("summary.py", "summarize"),
    "checksums of random draws": ("repetition.py", "checksums"),
    "provenance": ("provenance.py", "provenance"),
}
"""Functions whose cumulative time is that of a stage, by file and name."""


def simulate(file: str, runs: int) -> None:
    """Run the scenario once per seed."""
    import flowsim

    for seed in range(1, runs + 1):
        flowsim.run(file, {"seed": seed})


def measured(file: str, runs: int, *, profile: bool) -> None:
    """Print the seconds of all runs, and those of each stage where they are profiled."""
    simulate(file, 1)
    profiler = cProfile.Profile()
    wall, cpu = time.perf_counter(), time.process_time()
    if profile:
        profiler.runcall(simulate, file, runs)
    else:
        simulate(file, runs)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    click.echo(f"| {runs} runs | {cpu:.2f} s of CPU | {wall:.2f} s |")
    if profile:
        for stage, seconds in stages(profiler).items():
            click.echo(f"| {stage} | | {seconds:.2f} s |")


def stages(profiler: cProfile.Profile) -> dict[str, float]:
    """Return the seconds of each stage, cumulative."""
    found = dict.fromkeys(STAGES, 0.0)
    statistics = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    for (path, _line, function), (_, _, _, cumulative, _) in statistics.items():
        for stage, (file, name) in STAGES.items():
            if function == name and "flowsim" in path and path.endswith(f"/{file}"):
                found[stage] = max(found[stage], cumulative)
    return found


@click.command(help=__doc__)
@click.option("--runs", default=20)
@click.option("--side-by-side", "processes", default=1)
@click.option("--profile", is_flag=True)
def main(runs: int, processes: int, profile: bool) -> None:
    """Measure and print."""
    if processes > 1:
        command = [sys.executable, __file__, "--runs", str(runs)]
        for started in [subprocess.Popen(command) for _ in range(processes)]:
            started.wait()
        return
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "completion.toml"
        file.write_text(SCENARIO, encoding="utf-8")
        measured(str(file), runs, profile=profile)


if __name__ == "__main__":
    main()
