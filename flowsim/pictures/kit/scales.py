"""The colour scale of step sizes, at the bottom of a figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from flowsim.pictures.kit import reading, style
from flowsim.pictures.kit.words import distinct_numbers
from flowsim.results.run import Run

BAR, UNITS = 0.36, 0.27
"""Inches of a scale's height, and of the second axis in units of 2/λ."""
LONG, SHORT = 3.0, 0.4
"""Inches of a scale's length, and of the part of each step size if they are few."""
MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))


@dataclass(frozen=True, eq=False)
class StepScale:
    """Ascending step sizes, and the critical step size 2/λ that is their second unit, if any.

    A few step sizes have equal parts of the scale, so that all are distinct; many have a
    logarithmic scale.
    """

    sizes: np.ndarray
    critical: float = np.nan
    unit: str = ""

    @property
    def few(self) -> bool:
        """Whether each step size has its own part."""
        return len(self.sizes) <= style.FEW

    @property
    def height(self) -> float:
        """The height in inches at the bottom of a figure."""
        return BAR + (UNITS if self.unit else 0.0)

    def colours(self) -> list[str]:
        """Return the colour of each step size, dark to light."""
        even = np.linspace(0, 1, len(self.sizes))
        return style.shades(even if self.few else style.step_fractions(self.sizes))

    def entries(self) -> dict[str, style.LineStyle]:
        """Return entries of a legend in place of the scale: all step sizes, or both ends."""
        last = len(self.sizes) - 1
        shown = range(last + 1) if self.few else (0, last)
        styles = style.step_size_styles(self.sizes)
        labels = reading.step_labels(self.sizes, np.zeros(last + 1, dtype=bool))
        return {labels[k]: styles[k] for k in shown}


def step_size_scale(runs: Iterable[Run]) -> StepScale | None:
    """Return the scale of the step sizes of these runs, or None if there is one or none."""
    runs = list(runs)
    sizes = reading.all_step_sizes(runs)
    return StepScale(sizes, *reading.critical_step_size(runs)) if len(sizes) > 1 else None


def scale_if_many(runs: Iterable[Run]) -> StepScale | None:
    """Return the scale of the step sizes of these runs if they are too many for a legend."""
    scale = step_size_scale(runs)
    return None if scale is None or scale.few else scale


def draw(figure: Figure, scale: StepScale, left: float) -> None:
    """Draw the scale at the bottom of a figure, from `left` inches on."""
    width, height = figure.get_size_inches()
    longest = SHORT * len(scale.sizes) if scale.few else LONG
    # 0.9 in at the right for the words "step size η"
    long = min(width - left - 0.9, max(longest, 2 * SHORT))
    axes = figure.add_axes((left / width, 0.24 / height, long / width, 0.08 / height))
    (_few if scale.few else _many)(axes, scale)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    axes.grid(visible=False)
    x, y = (left + long + 0.12) / width, 0.28 / height
    figure.text(x, y, "step size η", size=6.5, va="center")
    if scale.unit:
        y = (0.24 + 0.08 + 0.19) / height
        sentence = f"in units of {scale.unit}"
        figure.text(left / width, y, sentence, size=6.5, va="bottom", parse_math=False)


def _few(axes: Axes, scale: StepScale) -> None:
    """Draw one part per step size, with its number below and, in units of 2/λ, above."""
    count = len(scale.sizes)
    edges = np.arange(count + 1) - 0.5
    palette = ListedColormap(scale.colours())
    filled = ScalarMappable(BoundaryNorm(edges, count), palette)
    axes.figure.colorbar(filled, cax=axes, orientation="horizontal")
    middles = list(range(count))
    axes.set_xticks(middles, labels=distinct_numbers(list(scale.sizes)))
    if scale.unit:
        _above(axes, middles, distinct_numbers(list(scale.sizes / scale.critical)))
        # between the last step size below 2/λ and the first above
        under = np.searchsorted(scale.sizes, scale.critical) - 0.5
        _mark_one(axes, float(under) if -0.5 < under < count - 0.5 else np.nan)


def _many(axes: Axes, scale: StepScale) -> None:
    """Draw a logarithmic scale with round numbers below and, in units of 2/λ, above."""
    low, high = float(scale.sizes.min()), float(scale.sizes.max())
    palette = ListedColormap(style.shades(np.linspace(0, 1, 256)))
    filled = ScalarMappable(LogNorm(low, high), palette)
    axes.figure.colorbar(filled, cax=axes, orientation="horizontal")
    ticks = round_numbers(low, high, 6)
    axes.set_xticks(ticks, labels=distinct_numbers(ticks))
    if scale.unit:
        ticks = round_numbers(low / scale.critical, high / scale.critical, 6)
        _above(axes, [tick * scale.critical for tick in ticks], distinct_numbers(ticks))
        _mark_one(axes, scale.critical if low < scale.critical < high else np.nan)


def _above(axes: Axes, places: list[float] | list[int], labels: list[str]) -> None:
    """Write labels above the bar."""
    for place, label in zip(places, labels, strict=True):
        axes.annotate(
            label, (place, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", size=6, annotation_clip=False,
        )  # fmt: skip


def _mark_one(axes: Axes, place: float) -> None:
    """Mark η = 2/λ."""
    # white below black: visible on every colour of the scale
    axes.axvline(place, color="white", linewidth=2.0)
    axes.axvline(place, color="black", linewidth=0.9)


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` round numbers between two positive ones.

    They are powers of ten, or have leading digits such as 1, 2 and 5, or are evenly spaced.
    """
    # one decade more on each side, since mantissas reach up to 7
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for mantissas in MANTISSAS:
        every = [float(f"{m}e{k}") for k in powers for m in mantissas]
        between = [x for x in every if low * (1 - 1e-9) <= x <= high * (1 + 1e-9)]
        # the densest set of mantissas that has room
        if len(found) < len(between) <= most:
            found = between
    if len(found) > 2:
        return found
    even = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(x) for x in even if low * (1 - 1e-9) <= x <= high * (1 + 1e-9)] or found
