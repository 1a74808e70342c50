"""Figures from the command line: if one fails, the others and the simulation are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from flowsim.cli.internal_errors import report_internal_error
from flowsim.cli.progress import Report

if TYPE_CHECKING:
    from flowsim.results.archive import Draw
    from flowsim.results.run import Run


def figure_writer(
    progress: Report,
    *,
    format: str = "png",
    names: Collection[str] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Draw:
    """Return a function that draws into a folder all available figures of a run, or `names`.

    Once `stop()` is true it removes them again and returns.
    """

    def draw(run: Run, folder: Path) -> None:
        from flowsim.experiment import figures

        chosen = [name for name in figures.FIGURES if not names or name in names]
        for done, name in enumerate(chosen):
            progress(f"{run.name}: figures", done / len(chosen))
            if stop():
                for path in folder.iterdir():
                    path.unlink()
                return
            _draw_one(run, folder, name, format)

    return draw


def animation_writer(progress: Report, whole: Run, format: str, names: Collection[str]) -> Draw:
    """Return a function that animates figures of the run `whole`, but of none of its variants."""

    def draw(run: Run, folder: Path) -> None:
        from flowsim.experiment import figures

        def show(name: str, fraction: float) -> None:
            progress(f"{run.name}: animating {name}", fraction)

        if run is whole:
            figures.animate(run, folder, format, names, show)

    return draw


def _draw_one(run: Run, folder: Path, name: str, format: str) -> None:
    from flowsim.experiment import figures

    try:
        if figures.FIGURES[name].available(run):
            figures.save(run, folder, format, [name])
    except OSError:
        raise
    except Exception as error:
        report_internal_error(error, f" when drawing the figure {name!r} of {run.name!r}")
