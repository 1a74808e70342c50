"""Figures from the command line: one that fails does not cost the others, nor the simulation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from flowsim.cli import mistakes
from flowsim.cli.progress import Report

if TYPE_CHECKING:
    from flowsim.results.archive import Draw
    from flowsim.results.run import Run


def drawing(
    report: Report,
    *,
    format: str = "png",
    names: Collection[str] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Draw:
    """Return what draws the figures of a run that fit, or those of `names`, into a folder.

    Where `stop` says so, none are left there.
    """

    def draw(run: Run, folder: Path) -> None:
        from flowsim.experiment import figures

        chosen = [name for name in figures.FIGURES if not names or name in names]
        for done, name in enumerate(chosen):
            report(f"{run.name}: figures", done / len(chosen))
            if stop():
                for path in folder.iterdir():
                    path.unlink()
                return
            _draw_one(run, folder, name, format)

    return draw


def animating(report: Report, whole: Run, format: str, names: Collection[str]) -> Draw:
    """Return what animates figures of a whole run, and none of its variants by themselves."""

    def draw(run: Run, folder: Path) -> None:
        from flowsim.experiment import figures

        def tell(name: str, fraction: float) -> None:
            report(f"{run.name}: animating {name}", fraction)

        if run is whole:
            figures.animate(run, folder, format, names, tell)

    return draw


def _draw_one(run: Run, folder: Path, name: str, format: str) -> None:
    from flowsim.experiment import figures

    try:
        if figures.FIGURES[name].available(run):
            figures.save(run, folder, format, [name])
    except OSError:
        raise
    except Exception as error:
        mistakes.confess(error, f" when drawing the figure {name!r} of {run.name!r}")
