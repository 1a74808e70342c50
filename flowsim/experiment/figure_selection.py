"""The figures that are drawn when a run is written: selected, completed and saved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flowsim.experiment.figure_registry import FIGURES, available, no_figure
from flowsim.experiment.figures import save
from flowsim.process.environment import isolated
from flowsim.solvers.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from flowsim.results.run import Run


@dataclass(frozen=True)
class Selection:
    """The figures of a run that are drawn: the leading one, all available ones, or those named.

    Attributes
    ----------
    which
        `"lead"`, `"all"`, or the names; `()` for none.

    """

    which: Literal["lead", "all"] | tuple[str, ...] = "lead"

    @classmethod
    def of(cls, asked: str | Iterable[str] | None) -> Selection:
        """Return the selection "all", "none", names, or the leading figure for None.

        Names are given as strings, or as one string with commas between them.

        Raises
        ------
        ValueError
            If there is no such figure.

        """
        if asked is None:
            return cls()
        if asked == "all":
            return cls("all")
        names = asked.split(",") if isinstance(asked, str) else list(asked)
        stripped = [name.strip() for name in names] if asked != "none" else []
        for name in stripped:
            if name not in FIGURES:
                raise ValueError(f"{no_figure(name)} Figures: {', '.join(FIGURES)}.")
        return cls(tuple(dict.fromkeys(stripped)))

    def names(self, run: Run, whole: Run) -> Iterable[str]:
        """Return the figures to draw of `run`, which is `whole` or one of its variants.

        Of the variants nothing leads: the leading figure of the whole compares them.
        """
        if self.which == "all":
            return FIGURES
        if self.which != "lead":
            return self.which
        # a run as simulated and as written share the scenario
        return _leading(run) if run.scenario is whole.scenario else []

    def lacks(self, drawn: Collection[str], run: Callable[[], Run]) -> bool:
        """Return whether a figure is missing in those `drawn`; any of them stands for the lead."""
        if self.which == "lead":
            return not drawn
        wanted = available(run()) if self.which == "all" else self.which
        return not set(wanted) <= set(drawn)

    def completed(self, run: Run, monitor: Monitor = SILENT) -> Run:
        """Return the run with the groups that its figures draw, so that they are stored with it."""
        for name in self.names(run, run):
            with suppress(Exception):  # drawing the figure fails alike, with a note
                run = FIGURES[name].completed(run, monitor)
        return run


@isolated()
def save_selected(
    run: Run,
    folder: str | Path,
    format: str = "png",
    *,
    selection: Selection,
    whole: Run,
    failed: Callable[[str, Exception], None] = lambda _name, _error: None,
    monitor: Monitor = SILENT,
) -> list[str]:
    """Draw the selected figures of a run into `folder`, also if some of them fail.

    Parameters
    ----------
    run, folder, format
        As for `save`.
    selection
        The figures; those that are unavailable are left out.
    whole
        The run itself, or the run of which it is a variant.
    failed
        Called with the name of each figure that fails, and its exception.
    monitor
        Receives progress; after a stop request all figures are removed again.

    Returns
    -------
    list of str
        A note on each figure that failed, and on each that was named and is unavailable.

    Raises
    ------
    OSError
        If the disk is full.

    """
    from flowsim.results.archive.errors import NO_SPACE

    notes: list[str] = []
    names = list(selection.names(run, whole))
    for done, name in enumerate(names):
        monitor.named(f"figure {name}").report(done / len(names))
        if monitor.stop_requested():
            for path in Path(folder).iterdir():
                path.unlink()
            return []
        try:
            reason = FIGURES[name].why_unavailable(run)
            if reason is None:
                run = FIGURES[name].completed(run, monitor)
                save(run, folder, format, [name])
            elif selection.which != "all":
                notes.append(f"The figure {name!r} was not drawn: {reason}.")
        except Exception as error:  # a run must not be lost with its picture
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                raise
            notes.append(f"The figure {name!r} was not drawn ({type(error).__name__}: {error}).")
            failed(name, error)
    return notes


def _leading(run: Run) -> list[str]:
    """Return the name of the leading figure that can be drawn; [] if none can."""
    for name in filter(None, (run.scenario.output.figure, *FIGURES)):
        with suppress(Exception):  # a run must not be lost with its picture
            if FIGURES[name].available(run):
                return [name]
    return []
