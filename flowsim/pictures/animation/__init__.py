"""Animated figures: the static artists are drawn once, the animated ones for every frame.

`ANIMATIONS` are the kinds of animation, by the name in `FigureSpec.animated_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flowsim.pictures.animation import over_time, plane
from flowsim.pictures.animation.animation import Animation
from flowsim.pictures.kit import reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowsim.results.run import Run

Draw = Callable[["Run"], "Figure"]
Build = Callable[["Run", Draw], Animation]


def _flows(run: Run, draw: Draw) -> Animation:
    """Animate curves of flows over time."""
    return over_time.animation(draw(run), reading.all_step_sizes([]))


def _descents(run: Run, draw: Draw) -> Animation:
    """Animate curves over time of flows and of descent, whose iterations are counted."""
    return over_time.animation(draw(run), reading.all_step_sizes(reading.members(run).values()))


def _plane(run: Run, _draw: Draw) -> Animation:
    """Animate descent along the flow in the plane."""
    return plane.animation(run)


ANIMATIONS: Mapping[str, Build] = {"flows": _flows, "descents": _descents, "plane": _plane}
