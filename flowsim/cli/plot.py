"""`flowsim plot`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli.refusal import Refusal, refusing
from flowsim.cli.terminal import say, tell
from flowsim.experiment.figures import ANIMATION_FORMATS, FORMATS

if TYPE_CHECKING:
    from flowsim.results.run import Run


@click.command("plot")
@click.argument("directory", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.option(
    "--figure",
    "names",
    multiple=True,
    metavar="NAME",
    help="Which figure; may be repeated. By default all that fit.",
)
@click.option(
    "--animate",
    is_flag=True,
    help="Animate instead: descent running along the flow over the loss; with --figure, others.",
)
@click.option(
    "--format",
    type=click.Choice([*FORMATS, *ANIMATION_FORMATS]),
    help="Of figures png (the default), svg or pdf; of animations webp (the default) or gif.",
)
def command(directory: Path, names: tuple[str, ...], animate: bool, format: str | None) -> None:
    """Draw the figures of a run again, from disk, without simulating."""
    from flowsim.cli import progress
    from flowsim.cli.drawing import animating, drawing
    from flowsim.results import archive

    chosen = _format(animate, format)
    with refusing(archive.ArchiveError):
        run = archive.read(directory)
        if animate:
            names = _animated(run, names)
        else:
            _refuse_unfit(run, names)
        with progress.shown() as report:
            draw = (
                animating(report, run, chosen, names)
                if animate
                else drawing(report, format=chosen, names=names)
            )
            paths = archive.add_figures(run, draw)
    for path in paths:
        say(str(path))


def _format(animate: bool, format: str | None) -> str:
    """Return the format, the usual one if none is given; refuse one of the other kind."""
    if animate and format in FORMATS:
        raise Refusal(
            f"An animation has frames, which {format} files have not; write --format webp or "
            "--format gif, or leave out --animate for a figure."
        )
    if not animate and format in ANIMATION_FORMATS:
        raise Refusal(
            f"A figure is saved as {', '.join(FORMATS)}, but got --format {format}; add --animate "
            "for an animation."
        )
    return format or (ANIMATION_FORMATS if animate else FORMATS)[0]


def _animated(run: Run, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the figures to animate, by default the first that can be; refuse others."""
    from flowsim.experiment import figures

    able = figures.animatable(run)
    for name in names:
        if name not in able:
            known = figures.FIGURES.get(name)
            reason = known.why_not_animatable(run) if known else "no such figure"
            raise Refusal(
                f"The figure {name!r} of {run.name!r} cannot be animated: {reason}. "
                f"Figures that can: {', '.join(able) or 'none'}."
            )
    if not able:
        reason = figures.FIGURES["loss"].why_not_animatable(run)
        raise Refusal(f"No figure of {run.name!r} can be animated: {reason}.")
    if all("descent" not in inner.groups for inner in run.variants.values() or [run]):
        tell("The run has no descent; the flow moves alone.")
    return names or (able[0],)


def _refuse_unfit(run: Run, names: Iterable[str]) -> None:
    """Refuse figures that do not exist, or fit neither the run nor a variant of it."""
    from flowsim.experiment import figures

    runs = [run, *run.variants.values()]
    fitting = [
        name for name in figures.FIGURES if name in set().union(*map(figures.available, runs))
    ]
    for name in names:
        if name in fitting:
            continue
        reason = (
            figures.FIGURES[name].why_unavailable(run)
            if name in figures.FIGURES
            else "no such figure"
        )
        raise Refusal(
            f"The figure {name!r} cannot be drawn of {run.name!r}: {reason}. "
            f"Figures that fit: {', '.join(fitting) or 'none'}."
        )
