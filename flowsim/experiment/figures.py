"""Figures of a Run: each answers one question, is drawn from the Run alone, and never simulates.

>>> from flowsim import figures
>>> figures.available(run)
['singular_values', 'loss', 'gap']
>>> figures.save(run, "figures", format="pdf", names=["loss"])
>>> figures.animate(run, "figures", names=["plane"])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flowsim.pictures.kit import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowsim.pictures.animation.moving import Moving
    from flowsim.results.run import Run

FORMATS = ("png", "svg", "pdf")
ANIMATION_FORMATS = ("webp", "gif")


@dataclass(frozen=True)
class Picture:
    """One kind of figure: its name, the question it answers, and the module that draws it.

    The module is `flowsim.pictures.<name>` if left out. `moves` is the way in which the figure can
    be animated (`flowsim.pictures.animation.WAYS`), if it can.
    """

    name: str
    answers: str
    module: str = ""
    moves: str = ""

    def why_unavailable(self, run: Run) -> str | None:
        """Return the reason why this figure cannot be drawn of `run`, or None if it can.

        A run over variants has the figure where one of its variants has it.
        """
        reasons = [self._module("why_unavailable")(part) for part in run.variants.values() or [run]]
        return None if None in reasons else str(reasons[0])

    def available(self, run: Run) -> bool:
        """Whether this figure can be drawn of `run`, or of one of its variants."""
        return self.why_unavailable(run) is None

    def draw(self, run: Run) -> Figure:
        """Draw the figure, a user's own matplotlib settings untouched.

        Raises
        ------
        ValueError
            If the figure is unavailable, with the reason.

        """
        reason = self.why_unavailable(run)
        if reason:
            raise ValueError(
                f"The figure {self.name!r} cannot be drawn of {run.name!r}: {reason}; "
                f"available figures: {', '.join(available(run)) or 'none'}."
            )
        from flowsim.pictures.kit import style

        with style.settings():
            return cast("Figure", self._module("draw")(run))

    def why_not_animatable(self, run: Run) -> str | None:
        """Return the reason why this figure of `run` cannot be animated, or None if it can."""
        if not self.moves:
            return "it is drawn as a whole only"
        from flowsim.pictures.kit import reading

        return self.why_unavailable(run) or reading.why_single_time(run)

    def animation(self, run: Run) -> Moving:
        """Return the animation of the figure, which must be animatable for `run`."""
        from flowsim.pictures import animation as moving
        from flowsim.pictures.kit import style

        with style.settings():
            return moving.WAYS[self.moves](run, self.draw)

    def _module(self, function: str) -> Callable[[Run], Any]:
        module = import_module(self.module or f"flowsim.pictures.{self.name}")
        return cast("Callable[[Run], Any]", getattr(module, function))


FIGURES: Mapping[str, Picture] = {
    picture.name: picture
    for picture in (
        Picture("singular_values", "Which modes are learned, and when?", moves="flows"),
        Picture(
            "loss", "How fast does the loss fall, and which step sizes diverge?", moves="descents"
        ),
        Picture(
            "descent_singular_values",
            "Which step sizes settle, swing or diverge, in which modes?",
            module="flowsim.theory.long_run.figure",
            moves="descents",
        ),
        Picture("descent_distance", "How far is descent from the flow, and in what order of η?"),
        Picture("gap", "Does the end-to-end flow agree with the layers?"),
        Picture("imbalance", "What is conserved by the flow, and how does descent break it?"),
        Picture(
            "plane", "Which path does the end-to-end matrix take over the loss?", moves="plane"
        ),
        Picture("effective_rank", "Does the flow prefer low rank or a small norm?"),
        Picture(
            "norms",
            "Which norms does the flow keep small, if any?",
            module="flowsim.theory.norms.figure",
        ),
        Picture(
            "minimum_nuclear_norm",
            "How does the flow's end compare with the least nuclear norm?",
            module="flowsim.theory.minimum_nuclear_norm.figure",
        ),
        Picture(
            "end_to_end_entries",
            "Where does each entry of the end-to-end matrix go?",
            moves="flows",
        ),
        Picture(
            "entry_comparison", "How far does the entry that ends largest go in each dynamics?"
        ),
        Picture(
            "sharpness",
            "How sharp is the loss along the flow, and which step sizes bear it?",
            module="flowsim.theory.sharpness.figure",
        ),
        Picture(
            "tangent_kernel",
            "Does the neural tangent kernel turn (rich) or stay (lazy)?",
            module="flowsim.theory.tangent_kernel.figure",
        ),
        Picture(
            "margin",
            "Does a classifier's direction settle at the largest margin?",
            module="flowsim.theory.margin.figure",
        ),
        Picture(
            "convergence",
            "How fast must the loss fall by theory, and how fast does it?",
            module="flowsim.theory.convergence.figure",
        ),
        Picture(
            "preconditioner",
            "Which directions does depth speed up, and by how much?",
            module="flowsim.theory.preconditioner.figure",
        ),
        Picture(
            "singular_value_law",
            "Do singular values move as the law for balance says?",
            module="flowsim.theory.singular_value_law.figure",
        ),
        Picture(
            "descriptions",
            "Which flow describes descent, through the edge of stability too?",
            module="flowsim.theory.modified_flows.figure",
        ),
        Picture(
            "oscillation",
            "Between which values does each mode swing, by step size?",
            module="flowsim.theory.oscillation.figure",
        ),
        Picture(
            "explicit_loss",
            "Does the end-to-end flow descend an explicit loss?",
            module="flowsim.theory.explicit_loss.figure",
        ),
        Picture(
            "speed",
            "How many iterations does each loss take, at the best step size?",
            module="flowsim.theory.speed.figure",
        ),
        Picture(
            "drift_budget",
            "How does descent leave balance, and what does that cost?",
            module="flowsim.theory.drift_budget.figure",
        ),
        Picture(
            "tracking_bound",
            "Where does descent come away from the flow, and how far can it?",
            module="flowsim.theory.tracking_bound.figure",
        ),
        Picture(
            "step_size_thresholds",
            "Which step sizes track the flow, depart, oscillate, wander and diverge?",
            module="flowsim.theory.step_size_thresholds.figure",
        ),
        Picture(
            "momentum_flow",
            "Which flow describes descent with momentum, and in what order?",
            module="flowsim.theory.momentum_flow.figure",
        ),
        Picture(
            "sgd_noise",
            "How noisy is descent, and which equations describe that?",
            module="flowsim.theory.sgd_noise.figure",
        ),
    )
}
"""Every figure by name, in the order in which they lead."""


def available(run: Run) -> list[str]:
    """Return the names of the figures that can be drawn of `run`, in the order of `FIGURES`."""
    return [name for name, picture in FIGURES.items() if picture.available(run)]


def draw(run: Run, name: str) -> Figure:
    """Draw one figure by name.

    Raises
    ------
    ValueError
        If there is no such figure, or it is unavailable for the run.

    """
    return _picture(name, run).draw(run)


def lead(run: Run) -> str:
    """Return the name of the figure that stands for the run.

    That is the scenario's `[output] figure`, else the first available one.

    Raises
    ------
    ValueError
        If the scenario names an unknown figure, or if none is available.

    """
    if run.scenario.output.figure is not None:
        return _picture(run.scenario.output.figure, run).name
    names = available(run)
    if not names:
        raise ValueError(f"No figure can be drawn of {run.name!r}: it holds no finite numbers.")
    return names[0]


def save(
    run: Run, folder: str | Path, format: str = "png", names: Iterable[str] | None = None
) -> list[Path]:
    """Draw figures into `folder`, made if need be, as `<name>.<format>`.

    The files are the same byte for byte whenever the run is, for one version of matplotlib.

    `names` are all available figures by default; `format` is `"png"` (200 dots per inch),
    `"svg"` or `"pdf"`. A file of the same name is replaced, and only once its new form is complete.

    Raises
    ------
    ValueError
        If the format or a figure is unknown, or a figure is unavailable for the run.

    """
    if format not in FORMATS:
        raise ValueError(f"Figures are saved as {', '.join(FORMATS)}, but got {format!r}.")
    figures = {name: draw(run, name) for name in (available(run) if names is None else names)}
    return [files.write(each, Path(folder) / f"{name}.{format}") for name, each in figures.items()]


def animatable(run: Run) -> list[str]:
    """Return the names of the figures of `run` that can be animated, the plane first."""
    names = [name for name, picture in FIGURES.items() if not picture.why_not_animatable(run)]
    return sorted(names, key=lambda name: name != "plane")


def animate(
    run: Run,
    folder: str | Path,
    format: str = "webp",
    names: Iterable[str] | None = None,
    progress: Callable[[str, float], None] = lambda _name, _fraction: None,
) -> list[Path]:
    """Animate figures into `folder`, made if need be, as `<name>.<format>`.

    The film of `plane` shows descents run along the flow over the loss, and their losses beside
    it; that of a figure over time draws its curves up to the moment. A line below tells the time
    t = kη and the iterations k. A film has 120 frames, evenly over the time of the figure, and
    lasts 11 seconds. The files are the same byte for byte whenever the run is, for one version of
    matplotlib and Pillow.

    Parameters
    ----------
    run
        What is shown; with variants each has a panel of its own.
    folder
        Where files go; one of the same name is replaced, and only once its new form is complete.
    format
        `"webp"` (lossless, 200 dots per inch) or `"gif"` (256 colours, 120 dots per inch).
    names
        Which figures; by default the first of `animatable(run)`.
    progress
        Is called with a figure's name and the fraction of its frames that are drawn.

    Raises
    ------
    ValueError
        If the format or a figure is unknown, or a figure cannot be animated, saying why.

    """
    if format not in ANIMATION_FORMATS:
        raise ValueError(
            f"Animations are saved as {', '.join(ANIMATION_FORMATS)}, but got {format!r}."
        )
    from flowsim.pictures.animation import film
    from flowsim.pictures.kit import style

    if missing := film.lacking(format):
        raise ValueError(f"No animation can be written: {missing}.")
    chosen = animatable(run)[:1] if names is None else list(names)
    for name in chosen:
        if reason := _picture(name, run).why_not_animatable(run):
            raise ValueError(
                f"The figure {name!r} of {run.name!r} cannot be animated: {reason}; "
                f"figures that can: {', '.join(animatable(run)) or 'none'}."
            )
    paths = []
    for name in chosen:
        with files.replacing(Path(folder) / f"{name}.{format}") as new, style.settings():
            film.write(FIGURES[name].animation(run), new, format, partial(progress, name))
        paths.append(Path(folder) / f"{name}.{format}")
    return paths


def _picture(name: str, run: Run) -> Picture:
    if name in FIGURES:
        return FIGURES[name]
    near = get_close_matches(name, FIGURES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is no figure {name!r}.{hint} "
        f"Figures available for this run: {', '.join(available(run)) or 'none'}."
    )


_RENAMED = {"fitting": "available", "animated": "animatable"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"figures.{name} is now called figures.{_RENAMED[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
