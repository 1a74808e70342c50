"""`flowsim plot`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli.refusal import Refusal, refusing
from flowsim.cli.terminal import say

if TYPE_CHECKING:
    from flowsim.results import Run


@click.command("plot")
@click.argument("directory", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.option(
    "--figure",
    "names",
    multiple=True,
    metavar="NAME",
    help="Which figure; may be repeated. By default all that fit.",
)
@click.option("--format", type=click.Choice(["png", "svg", "pdf"]), default="png")
def command(directory: Path, names: tuple[str, ...], format: str) -> None:
    """Draw the figures of a run again, from disk, without simulating."""
    from flowsim import archive
    from flowsim.cli import progress
    from flowsim.cli.drawing import drawing

    with refusing(archive.ArchiveError):
        run = archive.read(directory)
        _refuse_unfit(run, names)
        with progress.shown() as report:
            paths = archive.add_figures(run, drawing(report, format=format, names=names))
    for path in paths:
        say(str(path))


def _refuse_unfit(run: Run, names: Iterable[str]) -> None:
    """Refuse figures that do not exist, or fit neither the run nor a variant of it."""
    from flowsim import figures

    runs = [run, *run.variants.values()]
    fitting = [name for name in figures.FIGURES if name in set().union(*map(figures.fitting, runs))]
    for name in names:
        if name in fitting:
            continue
        reason = figures.FIGURES[name].unfit(run) if name in figures.FIGURES else "no such figure"
        raise Refusal(
            f"The figure {name!r} cannot be drawn of {run.name!r}: {reason}. "
            f"Figures that fit: {', '.join(fitting) or 'none'}."
        )
