"""Work against precision: flowsim's methods beside what a user would pick instead.

    python benchmarks/work_precision.py [--case NAME]... [--contender TEXT]... [--limit SECONDS]
                                        [--rtol NUMBER]... [--plots FOLDER] [--table FILE]

Every integrator follows the layer flow of the same networks at tolerances from 1e-3 to 1e-12, in a
process of its own with one thread. Its seconds are those of the whole call, warm (compiled before),
the best of three where that is quick; its error is the true one, against the closed form. What
takes longer than the limit is stopped. Peers: `pip install -e '.[bench]'`.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import click
import numpy as np
from cases import CASES, Case
from contenders import Contender, contenders

TOLERANCES = tuple(10.0**-k for k in range(3, 13))
TARGETS = (1e-3, 1e-6, 1e-9)
BRIEF = 1.0
MARKERS = "osD^vPX*"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclass(frozen=True)
class Run:
    """One call: its tolerance, its seconds, and its true error relative to ‖Φ‖."""

    rtol: float
    seconds: float
    error: float


def best(runs: list[Run], target: float) -> float:
    """Return the fewest seconds in which the error was at most `target`; inf if it never was."""
    return min((run.seconds for run in runs if run.error <= target), default=np.inf)


def measure(
    case: Case, contender: Contender, tolerances: Sequence[float], limit: float
) -> list[Run]:
    """Run a contender on a case at every tolerance, until one takes longer than the limit."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    told = (case.name, contender.label, tolerances, theirs)
    process = multiprocessing.Process(target=_work, args=told)
    process.start()
    theirs.close()
    found = list(_received(ours, limit))
    process.kill()
    process.join()
    runs = ", ".join(f"{run.error:.0e} in {run.seconds:.3g} s" for run in found)
    click.echo(f"{contender.label}: {runs or 'nothing within the limit'}", err=True)
    return found


def _received(pipe: Connection, limit: float) -> Iterator[Run]:
    while pipe.poll(3 * limit):  # a call may be made up to three times
        try:
            run = pipe.recv()
        except EOFError:
            return
        if isinstance(run, Run):
            yield run
            if run.seconds > limit:
                return


def _work(case_name: str, label: str, tolerances: Sequence[float], pipe: Connection) -> None:
    """Time every tolerance and send what came out; in a process of its own."""
    case = next(c for c in CASES if c.name == case_name)
    contender = next(c for c in contenders() if c.label == label)
    contender.solve(case, tolerances[0])
    pipe.send("compiled")
    for rtol in tolerances:
        pipe.send(_timed(case, contender, rtol))
    pipe.close()


def _timed(case: Case, contender: Contender, rtol: float) -> Run:
    seconds: list[float] = []
    while len(seconds) < (
        3 if sum(seconds) < BRIEF else 2 if contender.package == "flowsim" else 1
    ):
        started = time.perf_counter()
        found = contender.solve(case, rtol)
        seconds.append(time.perf_counter() - started)
    return Run(
        rtol, min(seconds), case.error(found) if found.shape == case.solution.shape else np.inf
    )


def table(results: dict[str, list[Run]]) -> str:
    """Return seconds to reach each target error, and as a multiple of `flowsim auto`'s."""
    heads = ["integrator", *(f"error ≤ {target:.0e}" for target in TARGETS)]
    lines = [" | ".join(["", *heads, ""]).strip(), "|---" * len(heads) + "|"]
    reference = [best(results.get("flowsim auto", []), target) for target in TARGETS]
    for label, runs in results.items():
        cells = [
            _cell(best(runs, target), ours) for target, ours in zip(TARGETS, reference, strict=True)
        ]
        lines.append(" | ".join(["", label, *cells, ""]).strip())
    return "\n".join(lines)


def _cell(seconds: float, reference: float) -> str:
    if not np.isfinite(seconds):
        return "–"
    ratio = f" ({seconds / reference:.2g} ×)" if np.isfinite(reference) else ""
    return f"{seconds:.3g} s{ratio}"


def plot(case: Case, results: dict[str, list[Run]], folder: Path) -> None:
    """Draw seconds against error, flowsim's methods in full lines and its peers' dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    packages: dict[str, list[str]] = {}
    for label, runs in results.items():
        package = label.split()[0]
        siblings = packages.setdefault(package, [])
        axes.loglog(
            [run.error for run in runs],
            [run.seconds for run in runs],
            "-" if package == "flowsim" else "--",
            color=f"C{list(packages).index(package)}",
            marker=MARKERS[len(siblings) % len(MARKERS)],
            markersize=4,
            linewidth=2 if label == "flowsim auto" else 1,
            label=label,
        )
        siblings.append(label)
    axes.invert_xaxis()
    axes.set_xlabel("largest true error of W, relative to ‖Φ‖")
    axes.set_ylabel("seconds, warm")
    axes.set_title(case.title, fontsize="medium")
    figure.legend(fontsize=7, loc="outside right center")
    figure.savefig(folder / f"{case.name.replace(' ', '-')}.png", dpi=150)


@click.command(help=__doc__)
@click.option("--case", "names", multiple=True, type=click.Choice([c.name for c in CASES]))
@click.option("--contender", "texts", multiple=True, help="only those whose label holds the text")
@click.option("--rtol", "tolerances", multiple=True, type=float, default=TOLERANCES)
@click.option("--limit", default=30.0, help="seconds that one call may take")
@click.option("--plots", type=click.Path(path_type=Path), help="folder for the figures")
@click.option("--table", "page", type=click.Path(path_type=Path), help="file for the tables")
def main(
    names: tuple[str, ...],
    texts: tuple[str, ...],
    tolerances: tuple[float, ...],
    limit: float,
    plots: Path | None,
    page: Path | None,
) -> None:
    """Measure, print, and draw."""
    os.environ.update(ONE_THREAD)
    os.environ.pop("OPENBLAS_CORETYPE", None)
    multiprocessing.set_start_method("spawn")
    for case in CASES:
        if names and case.name not in names:
            continue
        chosen = [c for c in contenders() if c.takes(case) and _is_asked_for(c, texts)]
        results = {
            contender.label: measure(case, contender, tolerances, limit) for contender in chosen
        }
        text = f"\n### {case.title}\n\n{table(results)}"
        click.echo(text)
        if page is not None:
            with page.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            plot(case, results, plots)


def _is_asked_for(contender: Contender, texts: tuple[str, ...]) -> bool:
    return not texts or any(text in contender.label for text in texts)


if __name__ == "__main__":
    main()
