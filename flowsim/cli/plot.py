"""`flowsim plot`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli.command_error import CommandError, as_command_error
from flowsim.cli.terminal import print_answer, print_message
from flowsim.pictures import ANIMATION_FORMATS, FORMATS

if TYPE_CHECKING:
    from flowsim.results.run import Run


@click.command("plot")
@click.argument("directory", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.option(
    "--figure",
    "names",
    multiple=True,
    metavar="NAME",
    help="Draw only this figure, e.g. loss (repeatable; default: all available).",
)
@click.option(
    "--animate",
    is_flag=True,
    help="Animate gradient descent along the flow over the loss, or the figures of --figure.",
)
@click.option(
    "--format",
    type=click.Choice([*FORMATS, *ANIMATION_FORMATS]),
    help="Format of figures: png (default), svg or pdf. Of animations: webp (default) or gif.",
)
def command(directory: Path, names: tuple[str, ...], animate: bool, format: str | None) -> None:
    """Draw the figures of a stored run, without simulating."""
    from flowsim.cli import progress
    from flowsim.cli.drawing import animation_writer, figure_writer
    from flowsim.results import archive

    chosen = _format(animate, format)
    with as_command_error(archive.ArchiveError):
        run = archive.read(directory)
        if animate:
            names = _animated(run, names)
        else:
            _reject_unavailable(run, names)
        with progress.displayed() as report:
            draw = (
                animation_writer(report, run, chosen, names)
                if animate
                else figure_writer(report, format=chosen, names=names)
            )
            paths = archive.add_figures(run, draw)
    for path in paths:
        print_answer(str(path))


def _format(animate: bool, format: str | None) -> str:
    """Return the format, by default the first one; reject formats of the other kind."""
    if animate and format in FORMATS:
        raise CommandError(
            f"--format is {format}, but {' or '.join(ANIMATION_FORMATS)} is required for an "
            "animation; remove --animate for a figure."
        )
    if not animate and format in ANIMATION_FORMATS:
        raise CommandError(
            f"--format is {format}, but {', '.join(FORMATS)} is required for a figure; add "
            "--animate for an animation."
        )
    return format or (ANIMATION_FORMATS if animate else FORMATS)[0]


def _animated(run: Run, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the figures to animate, by default the first animatable one; reject others."""
    from flowsim.experiment import figures

    able = figures.animatable(run)
    for name in names:
        if name not in able:
            known = figures.FIGURES.get(name)
            reason = known.why_not_animatable(run) if known else "no such figure"
            raise CommandError(
                f"The figure {name!r} of {run.name!r} cannot be animated: {reason}. "
                f"Animatable figures: {', '.join(able) or 'none'}."
            )
    if not able:
        # the loss can be drawn of any run: what prevents its animation prevents all
        reason = figures.FIGURES["loss"].why_not_animatable(run)
        raise CommandError(f"No figure of {run.name!r} can be animated: {reason}.")
    if all("descent" not in inner.groups for inner in run.variants.values() or [run]):
        print_message("The run has no gradient descent; the animation shows the flow alone.")
    return names or (able[0],)


def _reject_unavailable(run: Run, names: Iterable[str]) -> None:
    """Reject figures that do not exist or are unavailable for the run and all its variants."""
    from flowsim.experiment import figures

    runs = [run, *run.variants.values()]
    available = [
        name for name in figures.FIGURES if name in set().union(*map(figures.available, runs))
    ]
    for name in names:
        if name in available:
            continue
        reason = (
            figures.FIGURES[name].why_unavailable(run)
            if name in figures.FIGURES
            else "no such figure"
        )
        raise CommandError(
            f"The figure {name!r} cannot be drawn of {run.name!r}: {reason}. "
            f"Available figures: {', '.join(available) or 'none'}."
        )
