"""`flowsim plot`, and the figures of `flowsim run`: if one fails, the others are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowsim.cli import completion, progress, runtime
from flowsim.cli.errors import CommandError, as_command_error, report_internal_error
from flowsim.cli.terminal import print_answer, print_message
from flowsim.pictures import ANIMATION_FORMATS, FORMATS

if TYPE_CHECKING:
    from flowsim.experiment.figure_selection import Selection
    from flowsim.results.archive import Draw
    from flowsim.results.run import Run


@click.command("plot")
@click.argument("directory", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.option(
    "--figure",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.figures,
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
def plot_command(directory: Path, names: tuple[str, ...], animate: bool, format: str | None) -> int:
    """Draw the figures of a stored run, without simulating.

    The exit code is 3 if a figure could not be drawn or written.
    """
    from flowsim.experiment.figure_selection import Selection
    from flowsim.results import archive

    failures: list[str] = []
    chosen = _format(animate, format)
    with as_command_error(archive.ArchiveError):
        run = archive.read(directory)
    runtime.set_error_handling()  # the figure `plane` may need the loss
    with as_command_error(archive.ArchiveError, exit_code=3), progress.displayed() as report:
        if animate:
            draw = animation_writer(report, run, chosen, _animated(run, names))
        else:
            selection = Selection(_available(run, names) or "all")
            draw = figure_writer(report, failures, run, selection, format=chosen)
        paths = archive.add_figures(run, draw)
    for path in paths:
        print_answer(str(path))
    return 3 if failures else 0


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


def _available(run: Run, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the figures to draw; reject those unavailable for the run and all its variants."""
    from flowsim.experiment import figures

    able = set(figures.available(run)).union(*map(figures.available, run.variants.values()))
    for name in names:
        if name not in able:
            known = figures.FIGURES.get(name)
            reason = known.why_unavailable(run) if known else "no such figure"
            raise CommandError(
                f"The figure {name!r} cannot be drawn of {run.name!r}: {reason}. Available "
                f"figures: {', '.join(filter(able.__contains__, figures.FIGURES)) or 'none'}."
            )
    return names


def figure_writer(
    report: progress.Report,
    failures: list[str],
    whole: Run,
    selection: Selection,
    *,
    format: str = "png",
    stop: Callable[[], bool] = lambda: False,
) -> Draw:
    """Return a function that draws figures of the run `whole`, or of a variant, into a folder.

    It reports each figure that fails, and appends its name to `failures`. Once `stop()` is true it
    removes all figures again and returns.
    """

    def draw(run: Run, folder: Path) -> list[str]:
        from flowsim.experiment.figure_selection import save_selected
        from flowsim.solvers.monitor import Monitor

        def failed(name: str, error: Exception) -> None:
            failures.append(name)
            report_internal_error(error, f" when drawing the figure {name!r} of {run.name!r}")

        return save_selected(
            run,
            folder,
            format,
            selection=selection,
            whole=whole,
            failed=failed,
            monitor=Monitor(report, stop, run.name),
        )

    return draw


def animation_writer(
    report: progress.Report, whole: Run, format: str, names: Collection[str]
) -> Draw:
    """Return a function that animates figures of the run `whole`, but of none of its variants."""

    def draw(run: Run, folder: Path) -> None:
        from flowsim.experiment import figures

        def show(name: str, fraction: float) -> None:
            report(f"{run.name}: animating {name}", fraction)

        if run is whole:
            figures.animate(run, folder, format, names, show)

    return draw
