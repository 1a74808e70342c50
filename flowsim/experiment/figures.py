"""Figures of a run: each answers one question and is drawn from the run alone.

>>> from flowsim import figures
>>> figures.available(run)
['singular_values', 'loss', 'gap']
>>> figures.save(run, "figures", format="pdf", names=["loss"])
>>> figures.animate(run, "figures", names=["plane"])

A run may be given as `flowsim.plot` takes it: its directory, trajectories, or a mapping of these.
The figure `plane` is drawn of any run with W at several times: the loss over the plane is computed
where the run does not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from flowsim.experiment import figure_registry
from flowsim.experiment.figure_registry import FIGURES, FigureSpec, no_figure
from flowsim.pictures import ANIMATION_FORMATS, FORMATS
from flowsim.process.environment import isolated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flowsim.results.run import Run

__all__ = [
    "ANIMATION_FORMATS",
    "FIGURES",
    "FORMATS",
    "animatable",
    "animate",
    "available",
    "draw",
    "lead",
    "save",
]


P = ParamSpec("P")
R = TypeVar("R")


def _of_results(function: Callable[Concatenate[Run, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Let a function of a run take its directory or trajectories too, as `flowsim.plot` does."""

    @wraps(function)
    def of_results(run: Any, /, *arguments: P.args, **options: P.kwargs) -> R:
        from flowsim.results.run import Run

        if not isinstance(run, Run):
            from flowsim.experiment.assembled import as_run

            run = as_run(run)
        return function(run, *arguments, **options)

    return of_results


available = _of_results(figure_registry.available)
animatable = _of_results(figure_registry.animatable)


@_of_results
@isolated()
def draw(run: Run, name: str, *, ax: Axes | None = None) -> Figure:
    """Return one figure, by name; with `ax` it is drawn into these axes.

    Raises
    ------
    ValueError
        If there is no such figure, it is unavailable for the run, or it does not fit into axes.

    """
    return _figure(name, run).draw(run, ax)


@_of_results
def lead(run: Run) -> str:
    """Return the name of the leading figure of a run.

    That is the scenario's `[output] figure`, else the first available one.

    Raises
    ------
    ValueError
        If the scenario names an unknown figure, or if none is available.

    """
    if run.scenario.output.figure is not None:
        return _figure(run.scenario.output.figure, run).name
    names = available(run)
    if not names:
        raise ValueError(f"No figure can be drawn of {run.name!r}: it holds no finite numbers.")
    return names[0]


@_of_results
@isolated()
def save(
    run: Run, folder: str | Path, format: str = "png", names: Iterable[str] | None = None
) -> list[Path]:
    """Draw figures into `folder` as `<name>.<format>`, and return their paths.

    Equal runs give files that are equal byte for byte, for one version of Matplotlib. An existing
    file is replaced only when its replacement is complete.

    Parameters
    ----------
    run
        A run; with variants the figures compare them.
    folder
        Folder of the files, created if missing.
    format
        `"png"` (200 dots per inch), `"svg"` or `"pdf"`.
    names
        The figures; by default all available ones.

    Raises
    ------
    ValueError
        If the format or a figure is unknown, or a figure is unavailable for the run.

    """
    if format not in FORMATS:
        raise ValueError(f"Figures are saved as {', '.join(FORMATS)}, but got {format!r}.")
    from flowsim.pictures.kit import files

    figures = {name: draw(run, name) for name in (available(run) if names is None else names)}
    return [files.write(each, Path(folder) / f"{name}.{format}") for name, each in figures.items()]


@_of_results
@isolated()
def animate(
    run: Run,
    folder: str | Path,
    format: str = "webp",
    names: Iterable[str] | None = None,
    progress: Callable[[str, float], None] = lambda _name, _fraction: None,
) -> list[Path]:
    """Animate figures into `folder` as `<name>.<format>`, and return their paths.

    The animation of `plane` shows gradient descent moving along the flow over the loss, and the
    losses beside it. Animations of figures over time draw their curves up to the current time. A
    line below gives the time t = kη and the iterations k. An animation has 120 frames at equal
    intervals of time and lasts 11 seconds. Equal runs give files that are equal byte for byte, for
    one version of Matplotlib and Pillow. An existing file is replaced only when its replacement is
    complete.

    Parameters
    ----------
    run
        A run; with variants there is one panel per variant.
    folder
        Folder of the files, created if missing.
    format
        `"webp"` (lossless, 200 dots per inch) or `"gif"` (256 colours, 120 dots per inch).
    names
        The figures; by default the first of `animatable(run)`.
    progress
        Called with the name of a figure and the fraction of its frames that are drawn.

    Raises
    ------
    ValueError
        If the format or a figure is unknown, or a figure cannot be animated, with the reason.

    """
    if format not in ANIMATION_FORMATS:
        raise ValueError(
            f"Animations are saved as {', '.join(ANIMATION_FORMATS)}, but got {format!r}."
        )
    from flowsim.pictures.animation import encoding
    from flowsim.pictures.kit import files, style

    if missing := encoding.why_unwritable(format):
        raise ValueError(f"No animation can be written: {missing}.")
    # all names are checked before the first animation, which takes long, is drawn
    chosen = animatable(run)[:1] if names is None else list(names)
    for name in chosen:
        if reason := _figure(name, run).why_not_animatable(run):
            raise ValueError(
                f"The figure {name!r} of {run.name!r} cannot be animated: {reason}; "
                f"animatable figures: {', '.join(animatable(run)) or 'none'}."
            )
    paths = []
    for name in chosen:
        with files.replacing(Path(folder) / f"{name}.{format}") as new, style.settings():
            encoding.write(FIGURES[name].animation(run), new, format, partial(progress, name))
        paths.append(Path(folder) / f"{name}.{format}")
    return paths


def _figure(name: str, run: Run) -> FigureSpec:
    if name in FIGURES:
        return FIGURES[name]
    able = ", ".join(available(run)) or "none"
    raise ValueError(f"{no_figure(name)} Figures available for this run: {able}.")


_RENAMED = {"fitting": "available", "animated": "animatable", "save_available": "save"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"figures.{name} is now called figures.{_RENAMED[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
