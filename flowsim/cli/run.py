"""`flowsim run`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli import completion, progress, runtime, signals
from flowsim.cli.errors import as_command_error
from flowsim.cli.plot import figure_writer
from flowsim.cli.report import Summary, interruption, table_lines
from flowsim.cli.scenarios import (
    default_directory,
    mistakes_located,
    name_or_file_argument,
    read_scenario,
    settings_option,
)
from flowsim.cli.terminal import how_to_open, print_answer, print_message
from flowsim.scenario.digest import digest

if TYPE_CHECKING:
    from flowsim.experiment.figure_selection import Selection
    from flowsim.results.archive import Place
    from flowsim.scenario.spec.scenario import Scenario

_INTERRUPTED = (130, 143)
"""Exit codes of runs that are never reused."""


@dataclass(frozen=True)
class _Asked:
    """What a command asks for: a scenario, its name and figures, and the arguments for them."""

    name: str
    scenario: Scenario
    figures: Selection
    name_or_file: str
    settings: tuple[str, ...]
    command: list[str]

    @property
    def replaced(self) -> dict[str, str]:
        """The values of `--set` by their keys, as written."""
        return {key: value for key, _, value in (text.partition("=") for text in self.settings)}

    @property
    def unchanged_file(self) -> Path | None:
        """The scenario's file where `--set` replaces nothing of it."""
        return None if self.settings else Path(self.name_or_file)


def _selection(_context: click.Context, _option: click.Parameter, value: str | None) -> Selection:
    from flowsim.experiment.figure_selection import Selection

    try:
        return Selection.of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _not_empty(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("the name of the folder is empty; write one.")
    return value


@click.command("run")
@name_or_file_argument
@click.option(
    "-o",
    "directory",
    callback=_not_empty,
    metavar="DIR",
    shell_complete=completion.folders,
    help="Folder of the run (default: runs/NAME-HASH/).",
)
@settings_option
@click.option(
    "--figures",
    callback=_selection,
    metavar="all|none|NAME,...",
    shell_complete=completion.figure_lists,
    help="Figures to draw (default: the leading one; `flowsim plot` draws others later).",
)
@click.option("--no-figures", is_flag=True, help="Draw no figures, as with --figures none.")
@click.option("--force", is_flag=True, help="Simulate again and replace the existing run.")
@click.pass_obj
def run_command(
    command: list[str],
    name_or_file: str,
    directory: str | None,
    settings: tuple[str, ...],
    figures: Selection,
    no_figures: bool,
    force: bool,
) -> int:
    """Simulate a scenario: gradient flow, end-to-end flow, gradient descent.

    All start from the same initialization. Without -o the run goes to runs/NAME-HASH/; a complete
    run there is reused.
    """
    from flowsim.experiment.plan.footprint import footprint, refuse_if_impossible
    from flowsim.results import archive

    if no_figures:
        if figures.which != "lead":
            raise click.UsageError("--no-figures draws none; remove it or --figures.")
        figures = replace(figures, which=())
    asked = _Asked(*read_scenario(name_or_file, settings), figures, name_or_file, settings, command)
    with mistakes_located(name_or_file, settings), as_command_error(archive.ArchiveError):
        refuse_if_impossible(asked.scenario)
        key = digest(asked.scenario)
        target = default_directory(asked.name, key) if directory is None else Path(directory)
        # the default folder is named after the digest: a run there is of the same scenario
        replacing = force or (directory is None and archive.is_run(target))
        earlier = _earlier(target, key) if directory is None and not force else None
        if earlier is not None:
            return _show_again(asked, *earlier, target)
        for measure, time in footprint(asked.scenario).long_diagnostics().items():
            print_message(f"{measure} may take {time}.")
        with archive.reserve(target, force=replacing) as place:
            return _simulate(asked, place, target)


def _earlier(target: Path, digest: str) -> tuple[Summary, Mapping[str, Summary]] | None:
    """Return the summaries of this run and its variants if `target` has it complete, else None."""
    from flowsim.results import archive

    if not archive.is_run(target):
        return None
    try:
        summary, variants = archive.summaries(target)
        same = archive.find(target).digest == digest
    except archive.ArchiveError as error:
        print_message(f"{error} Simulating again.")
        return None
    return (summary, variants) if same and summary["exit_code"] not in _INTERRUPTED else None


def _show_again(
    asked: _Asked, summary: Summary, variants: Mapping[str, Summary], target: Path
) -> int:
    """Print an existing run, after drawing those of its figures that are missing."""
    from flowsim.results import archive

    print_message(f"{target}/ already contains this run; use --force to simulate it again.")
    read = cache(partial(archive.read, target))
    if asked.figures.lacks([path.stem for path in archive.figures(target)], read):
        runtime.set_error_handling()
        with progress.displayed() as report:
            archive.add_figures(read(), figure_writer(report, [], read(), asked.figures))
    _print(asked, summary, variants, target)
    return int(summary["exit_code"])


def _simulate(asked: _Asked, place: Place, target: Path) -> int:
    from flowsim.results import archive

    with _starting(), signals.postponed():
        runtime.return_freed_arrays()
        # JAX reads settings when it is imported, so all that uses it is imported later
        runtime.start_jax()
        from flowsim.experiment import provenance
        from flowsim.experiment import run as experiment
        from flowsim.experiment.repetition import Earlier
        from flowsim.solvers.monitor import Monitor
        from flowsim.solvers.storage import StorageError

        earlier = Earlier.of(asked.scenario, asked.unchanged_file, target)
    with signals.deferred(place.abandon) as stop, progress.displayed() as shown:
        report = _noted(stop, shown)
        with as_command_error(StorageError, exit_code=3):
            run = experiment.run(asked.scenario, asked.name, monitor=Monitor(report, stop))
        run = provenance.asked(run, shlex.join(asked.command), asked.replaced)
        if earlier is not None:
            run = earlier.compared(run)
        # after the last step a signal interrupts nothing: the results are complete
        if stop.code is not None and run.summary["exit_code"] in _INTERRUPTED:
            run = replace(run, summary={**run.summary, "exit_code": stop.code})
        draw = None
        if asked.figures.which and not stop():
            run = asked.figures.completed(run, Monitor(report, stop))
            draw = figure_writer(report, [], run, asked.figures, stop=stop)
        report("writing", 0.0)
        with as_command_error(archive.ArchiveError, exit_code=3):
            run = archive.fill(place, run, draw)
    if run.summary["exit_code"] in _INTERRUPTED:
        print_message(interruption(run, f"{target}/"))
    variants = {variant: inner.summary for variant, inner in run.variants.items()}
    _print(asked, run.summary, variants, target)
    return stop.code or int(run.summary["exit_code"])


@contextmanager
def _starting() -> Iterator[None]:
    """Show within the block that flowsim is starting; a signal reports that nothing was reached."""
    try:
        with progress.displayed() as report:
            report("starting", 0.0)
            yield
    except SystemExit:
        print_message("Interrupted before the simulation: nothing was reached or kept.")
        raise


def _noted(stop: signals.StopRequest, show: progress.Report) -> progress.Report:
    """Return a function that shows progress and notes in a stop request that there is some."""

    def report(label: str, fraction: float) -> None:
        stop.progressed = stop.progressed or fraction > 0
        show(label, fraction)

    return report


def _print(asked: _Asked, summary: Summary, variants: Mapping[str, Summary], target: Path) -> None:
    """Print the table and the paths of the files, that of the main figure last."""
    from flowsim.experiment.figures import FIGURES
    from flowsim.results import archive

    for line in table_lines(archive.find(target).name, summary, variants):
        print_answer(line)
    print_answer("")
    print_answer(f"files    {target}/")
    drawn = {path.stem: path for path in archive.figures(target)}
    draws_all = f"`flowsim plot {shlex.quote(str(target))}` draws all"
    if not drawn:
        print_answer(f"figures  none; {draws_all}")
        return
    names = ", ".join(path.name for path in drawn.values())
    hint = "" if asked.figures.which == "all" else f"; {draws_all}"
    print_answer(f"figures  {target}/figures/ ({names}){hint}")
    first = next(name for name in (asked.scenario.output.figure, *FIGURES) if name in drawn)
    print_answer(f"picture  {drawn[first]}; {how_to_open(drawn[first])}")
