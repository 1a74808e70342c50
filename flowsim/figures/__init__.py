"""Figures of a Run: each answers one question, is drawn from the Run alone, and never simulates.

>>> from flowsim import figures
>>> figures.fitting(run)
['singular_values', 'loss', 'gap']
>>> figures.save(run, "figures", format="pdf", names=["loss"])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowsim.results import Run

FORMATS = ("png", "svg", "pdf")
DPI = 200


@dataclass(frozen=True)
class Picture:
    """One kind of figure: its name, which is its module's too, and the question it answers."""

    name: str
    answers: str

    def unfit(self, run: Run) -> str:
        """Say why this figure cannot be drawn of `run`, or return nothing if it can."""
        reasons = [self._module("unfit")(part) for part in run.variants.values() or [run]]
        return "" if "" in reasons else str(reasons[0])

    def fits(self, run: Run) -> bool:
        """Say whether this figure can be drawn of `run`, or of one of its variants."""
        return not self.unfit(run)

    def draw(self, run: Run) -> Figure:
        """Draw the figure, a user's own matplotlib settings untouched.

        Raises
        ------
        ValueError
            If it does not fit the run, saying why.

        """
        reason = self.unfit(run)
        if reason:
            raise ValueError(
                f"The figure {self.name!r} cannot be drawn of {run.name!r}: {reason}; "
                f"figures that fit: {', '.join(fitting(run)) or 'none'}."
            )
        from flowsim.figures import style

        with style.settings():
            return cast("Figure", self._module("draw")(run))

    def _module(self, function: str) -> Callable[[Run], Any]:
        module = import_module(f"flowsim.figures.{self.name}")
        return cast("Callable[[Run], Any]", getattr(module, function))


FIGURES: Mapping[str, Picture] = {
    picture.name: picture
    for picture in (
        Picture("singular_values", "Which modes are learned, and when?"),
        Picture("loss", "How fast does the loss fall, and which step sizes diverge?"),
        Picture(
            "descent_singular_values", "Which step sizes settle, swing or diverge, in which modes?"
        ),
        Picture("descent_distance", "How far is descent from the flow, and in what order of η?"),
        Picture("gap", "Does the end-to-end flow agree with the layers?"),
        Picture("imbalance", "What is conserved by the flow, and how does descent break it?"),
        Picture("plane", "Which path does the end-to-end matrix take over the loss?"),
        Picture("effective_rank", "Does the flow prefer low rank or a small norm?"),
        Picture("norms", "Which norms does the flow keep small, if any?"),
        Picture(
            "minimum_nuclear_norm", "How does the flow's end compare with the least nuclear norm?"
        ),
        Picture("end_to_end_entries", "Where does each entry of the end-to-end matrix go?"),
        Picture(
            "entry_comparison", "How far does the entry that ends largest go in each dynamics?"
        ),
        Picture("sharpness", "How sharp is the loss along the flow, and which step sizes bear it?"),
        Picture("tangent_kernel", "Does the neural tangent kernel turn (rich) or stay (lazy)?"),
        Picture("margin", "Does a classifier's direction settle at the largest margin?"),
        Picture("convergence", "How fast must the loss fall by theory, and how fast does it?"),
        Picture("preconditioner", "Which directions does depth speed up, and by how much?"),
        Picture("singular_value_law", "Do singular values move as the law for balance says?"),
        Picture("descriptions", "Which flow describes descent, through the edge of stability too?"),
        Picture("bifurcation", "Between which values does each mode swing, by step size?"),
        Picture("explicit_loss", "Does the end-to-end flow descend an explicit loss?"),
        Picture("speed", "How many iterations does each loss take, at the best step size?"),
        Picture("drift_budget", "How does descent leave balance, and what does that cost?"),
        Picture(
            "tracking_bound", "Where does descent come away from the flow, and how far can it?"
        ),
        Picture(
            "step_size_thresholds",
            "Which step sizes track the flow, depart, oscillate, wander and diverge?",
        ),
    )
}
"""Every figure by name, in the order in which they lead."""


def fitting(run: Run) -> list[str]:
    """Return the names of the figures that can be drawn of `run`, the most telling first."""
    return [name for name, picture in FIGURES.items() if picture.fits(run)]


def draw(run: Run, name: str) -> Figure:
    """Draw one figure by name.

    Raises
    ------
    ValueError
        If there is no such figure, or it does not fit the run.

    """
    return _picture(name, run).draw(run)


def lead(run: Run) -> str:
    """Return the name of the figure that stands for the run.

    That is the scenario's `[output] figure`, else the first that fits.

    Raises
    ------
    ValueError
        If the scenario names no known figure, or if none fits.

    """
    if run.scenario.output.figure is not None:
        return _picture(run.scenario.output.figure, run).name
    names = fitting(run)
    if not names:
        raise ValueError(f"No figure can be drawn of {run.name!r}: it holds no finite numbers.")
    return names[0]


def save(
    run: Run, folder: str | Path, format: str = "png", names: Iterable[str] | None = None
) -> list[Path]:
    """Draw figures into `folder`, made if need be, as `<name>.<format>`.

    The files are the same byte for byte whenever the run is, for one version of matplotlib.

    `names` are all that fit by default; `format` is `"png"` (200 dots per inch), `"svg"` or
    `"pdf"`. A file of the same name is replaced, and only once its new form is complete.

    Raises
    ------
    ValueError
        If the format or a figure is unknown, or a figure does not fit the run.

    """
    if format not in FORMATS:
        raise ValueError(f"Figures are saved as {', '.join(FORMATS)}, but got {format!r}.")
    figures = {name: draw(run, name) for name in (fitting(run) if names is None else names)}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(figure, folder / f"{name}.{format}") for name, figure in figures.items()]


def _picture(name: str, run: Run) -> Picture:
    if name in FIGURES:
        return FIGURES[name]
    near = get_close_matches(name, FIGURES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"There is no figure {name!r}.{hint} "
        f"Figures that fit this run: {', '.join(fitting(run)) or 'none'}."
    )


def _write(figure: Figure, path: Path) -> Path:
    import warnings

    from flowsim.figures import style

    unsaid = {"png": ("Software",), "svg": ("Date",), "pdf": ("CreationDate",)}
    metadata = dict.fromkeys(unsaid[path.suffix[1:]])
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with style.settings(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(partial, format=path.suffix[1:], dpi=DPI, metadata=metadata)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
