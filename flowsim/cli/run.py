"""`flowsim run`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli import progress, signals
from flowsim.cli.drawing import drawing
from flowsim.cli.reading import default_directory, scenario_at
from flowsim.cli.refusal import refusing
from flowsim.cli.report import Summary, lines
from flowsim.cli.terminal import say, tell
from flowsim.scenario.digest import digest

if TYPE_CHECKING:
    from flowsim.results.archive import Place
    from flowsim.results.run import Run
    from flowsim.scenario import Scenario

_INTERRUPTED = (130, 143)


def _not_empty(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("write the name of a folder; this is empty.")
    return value


@click.command("run")
@click.argument("name_or_file", metavar="NAME|FILE")
@click.option("-o", "directory", callback=_not_empty, metavar="DIR", help="Where the run goes.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the scenario, as in flow.rtol=1e-6; may be repeated.",
)
@click.option("--no-figures", is_flag=True, help="Draw no figures.")
@click.option("--force", is_flag=True, help="Run again, replacing the run that is there.")
def command(
    name_or_file: str,
    directory: str | None,
    settings: tuple[str, ...],
    no_figures: bool,
    force: bool,
) -> int:
    """Simulate a scenario: flow, end-to-end flow and descent from the same start.

    Without -o the run goes to runs/NAME-HASH/; a complete run there is reused.
    """
    from flowsim.experiment.plan.footprint import refuse_if_impossible
    from flowsim.results import archive
    from flowsim.scenario import ScenarioError

    name, scenario = scenario_at(name_or_file, settings)
    with refusing(ScenarioError):
        refuse_if_impossible(scenario)
        key = digest(scenario)
    target = default_directory(name, key) if directory is None else Path(directory)
    with refusing(archive.ArchiveError):
        replacing = force or (directory is None and archive.is_run(target))
        earlier = _earlier(target, key) if directory is None and not force else None
        if earlier is not None:
            return _show_again(*earlier, target, no_figures)
        with archive.reserve(target, force=replacing) as place:
            return _simulate(name, scenario, place, target, no_figures)


def _earlier(target: Path, digest: str) -> tuple[Summary, Mapping[str, Summary]] | None:
    """Return the summaries of the very run that is asked for, if it lies there complete."""
    from flowsim.results import archive

    if not archive.is_run(target):
        return None
    try:
        summary, variants = archive.summaries(target)
        same = archive.digest(target) == digest
    except archive.ArchiveError as error:
        tell(f"{error} Simulating again.")
        return None
    return (summary, variants) if same and summary["exit_code"] not in _INTERRUPTED else None


def _show_again(
    summary: Summary, variants: Mapping[str, Summary], target: Path, no_figures: bool
) -> int:
    """Tell of a run that lies there already, and draw its figures where they are missing."""
    from flowsim.results import archive

    tell(f"This very run lies in {target}/ already; --force simulates it again.")
    if not no_figures and not archive.figures(target):
        with progress.shown() as report:
            archive.add_figures(archive.read(target), drawing(report))
    _print(archive.name(target), summary, variants, target)
    return int(summary["exit_code"])


def _simulate(name: str, scenario: Scenario, place: Place, target: Path, no_figures: bool) -> int:
    from flowsim.cli import allocation, compile_cache
    from flowsim.results import archive

    allocation.give_back_at_once()
    compile_cache.turn_on()
    from flowsim.experiment import run as experiment
    from flowsim.scenario import ScenarioError
    from flowsim.solvers.monitor import Monitor
    from flowsim.solvers.scratch import ScratchError

    with signals.heeded(place.abandon) as wish, progress.shown() as report:
        with refusing(ScenarioError), refusing(ScratchError, exit_code=3):
            run = experiment.run(scenario, name, monitor=Monitor(report, wish))
        if wish.code is not None and not _finished(run):
            run = replace(run, summary={**run.summary, "exit_code": wish.code})
        draw = None if no_figures or wish() else drawing(report, stop=wish)
        with refusing(archive.ArchiveError, exit_code=3):
            archive.fill(place, run, draw)
    variants = {variant: inner.summary for variant, inner in run.variants.items()}
    _print(name, run.summary, variants, target)
    return wish.code or int(run.summary["exit_code"])


def _finished(run: Run) -> bool:
    """Say whether a run went to its end, as one may that a signal reached in its last moment."""
    runs = run.variants.values() or [run]
    outcomes = [outcome for inner in runs for outcome in inner.summary["outcome"].values()]
    whole = len(run.variants) == len(run.scenario.variant)
    return whole and "interrupted" not in outcomes


def _print(name: str, summary: Summary, variants: Mapping[str, Summary], target: Path) -> None:
    """Print the table, and where the files are."""
    from flowsim.results import archive

    for line in lines(name, summary, variants):
        say(line)
    say("")
    say(f"files    {target}/")
    figures = archive.figures(target)
    if figures:
        say(f"figures  {target}/figures/ ({', '.join(path.name for path in figures)})")
    else:
        say(f"figures  none; `flowsim plot {shlex.quote(str(target))}` draws them")
