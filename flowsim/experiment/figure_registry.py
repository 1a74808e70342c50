"""The figures by name: the question that each answers, and the module that draws it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowsim.solvers.monitor import SILENT, Monitor
from flowsim.theory.registry import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flowsim.pictures.animation.animation import Animation
    from flowsim.pictures.kit.layout import PanelGrid
    from flowsim.pictures.kit.reading import Subject
    from flowsim.results.run import Run


@dataclass(frozen=True)
class FigureSpec:
    """One kind of figure.

    Attributes
    ----------
    name
        Its name, as in `flowsim.plot(run, name)`.
    question
        The question that it answers.
    module
        The module, or the name of the module, or another object with the functions
        `why_unavailable(run)`, `headline(run)`, `over_variants(parts)` and `draw(subject)`; by
        default `flowsim.pictures.<name>`.
    animated_by
        How it is animated, a key of `flowsim.pictures.animation.ANIMATIONS`; "" if it cannot be.
    group
        A group that it draws, and that `flowsim.experiment.<group>.completed(run, monitor)`
        computes of a run that lacks it; "" if there is none.

    """

    name: str
    question: str
    module: Any = ""
    animated_by: str = ""
    group: str = ""

    def why_unavailable(self, run: Run) -> str | None:
        """Return the reason why this figure cannot be drawn of `run`, or None if it can.

        A run over variants has the figure where one of its variants has it.
        """
        # without variants the run itself is the only part
        why_unavailable = self._module().why_unavailable
        reasons = [why_unavailable(part) for part in run.variants.values() or [run]]
        return None if None in reasons else str(reasons[0])

    def completed(self, run: Run, monitor: Monitor = SILENT) -> Run:
        """Return the run with all groups that the figure draws."""
        parts = run.variants.values() or [run]
        if not self.group or all(self.group in part.groups for part in parts):
            return run
        completed: Run = import_module(f"flowsim.experiment.{self.group}").completed(run, monitor)
        return completed

    def available(self, run: Run) -> bool:
        """Return whether this figure can be drawn of `run`, or of one of its variants."""
        return self.why_unavailable(run) is None

    def draw(self, run: Run, ax: Axes | None = None) -> Figure:
        """Return the figure, or that of the given axes, with what a figure of one panel shows.

        The user's own Matplotlib settings are not changed.

        Raises
        ------
        ValueError
            If the figure is unavailable, with the reason, or has several panels with `ax`.

        """
        reason = self.why_unavailable(run)
        if reason:
            raise ValueError(
                f"The figure {self.name!r} cannot be drawn of {run.name!r}: {reason}; "
                f"available figures: {', '.join(available(run)) or 'none'}."
            )
        from flowsim.pictures.kit import style

        with style.settings():
            return self._draw(replace(self._subject(run), axes=ax))

    def why_not_animatable(self, run: Run) -> str | None:
        """Return the reason why this figure of `run` cannot be animated, or None if it can."""
        if not self.animated_by:
            return "it is drawn as a whole only"
        from flowsim.pictures.kit import reading

        return self.why_unavailable(run) or reading.why_single_time(run)

    def animation(self, run: Run) -> Animation:
        """Return the animation of the figure, which must be animatable for `run`."""
        from flowsim.pictures.animation import ANIMATIONS
        from flowsim.pictures.kit import style

        with style.settings():
            return ANIMATIONS[self.animated_by](self._subject(run), self._draw)

    def _draw(self, subject: Subject) -> Figure:
        grid: PanelGrid = self._module().draw(subject)
        return grid.figure

    def _subject(self, run: Run) -> Subject:
        from flowsim.pictures.kit import reading

        run, module = self.completed(run), self._module()
        able = {n: r for n, r in reading.members(run).items() if module.why_unavailable(r) is None}
        parts = dict(list(able.items())[: reading.MOST_PANELS])
        headline = module.over_variants(parts) if run.variants else module.headline(run)
        return reading.Subject(run, parts, headline)

    def _module(self) -> Any:
        import_module("flowsim.pictures.kit")  # imports Matplotlib, whatever MPLBACKEND is
        if not isinstance(self.module, str):
            return self.module
        return import_module(self.module or f"flowsim.pictures.{self.name}")


_OF_DIAGNOSTICS = {
    name: FigureSpec(name, measure.question, f"{measure.package}.figure")
    for name, measure in MEASURES.items()
}

FIGURES: dict[str, FigureSpec] = {
    figure.name: figure
    for figure in (
        FigureSpec("singular_values", "Which modes are learned, and when?", animated_by="flows"),
        FigureSpec(
            "loss",
            "How fast does the loss decrease, and which step sizes diverge?",
            animated_by="descents",
        ),
        FigureSpec(
            "descent_singular_values",
            "At which step sizes does each mode converge, oscillate or diverge?",
            "flowsim.theory.long_run.figure",
            animated_by="descents",
        ),
        FigureSpec(
            "descent_distance",
            "How far is gradient descent from the flow, and in which order of η?",
        ),
        FigureSpec("gap", "Do the end-to-end flow and the layer flow agree?"),
        FigureSpec("imbalance", "Which imbalance does the flow conserve, and descent change?"),
        FigureSpec(
            "plane",
            "Which path does the end-to-end matrix take over the loss?",
            animated_by="plane",
            group="plane",
        ),
        FigureSpec("effective_rank", "Does the flow prefer low rank or a small norm?"),
        _OF_DIAGNOSTICS["norms"],
        _OF_DIAGNOSTICS["minimum_nuclear_norm"],
        FigureSpec(
            "end_to_end_entries",
            "How does each entry of the end-to-end matrix evolve?",
            animated_by="flows",
        ),
        FigureSpec("entry_comparison", "How far does the largest final entry grow in each flow?"),
        *_OF_DIAGNOSTICS.values(),
    )
}
"""Every figure by name. The first available one leads."""


def available(run: Run) -> list[str]:
    """Return the names of the figures that can be drawn of `run`, in the order of `FIGURES`."""
    return [name for name, figure in FIGURES.items() if figure.available(run)]


def animatable(run: Run) -> list[str]:
    """Return the names of the figures of `run` that can be animated, the plane first."""
    names = [name for name, figure in FIGURES.items() if not figure.why_not_animatable(run)]
    return sorted(names, key=lambda name: name != "plane")


def no_figure(name: str) -> str:
    """Return in words that there is no figure of this name, with the nearest known one."""
    near = get_close_matches(name, FIGURES, n=1, cutoff=0.5)
    return f"There is no figure {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")
