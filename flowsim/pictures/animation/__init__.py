"""Animated figures: the static artists are drawn once, the animated ones for every frame.

`ANIMATIONS` are the kinds of animation, by the name in `FigureSpec.animated_by`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flowsim.pictures.animation import plane
from flowsim.pictures.animation.animation import Animation, GrowingLine, TimeCursor, TimeLabel
from flowsim.pictures.kit.reading import Subject, all_step_sizes, members

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

Draw = Callable[[Subject], "Figure"]
Build = Callable[[Subject, Draw], Animation]


def over_time(figure: Figure, sizes: np.ndarray) -> Animation:
    """Return the animation of a figure over time, whose curves are drawn up to a time.

    `sizes` are the step sizes whose iterations are counted.
    """
    lines = {
        panel: [line for line in panel.lines if line.get_transform() is panel.transData]
        for panel in figure.axes
    }
    # colour scales and lines across a panel are in other coordinates, and stay
    panels = [panel for panel, own in lines.items() if own]
    log = all(panel.get_xscale() == "log" for panel in panels)
    first = min(panel.get_xlim()[0] for panel in panels)
    last = max(panel.get_xlim()[1] for panel in panels)
    growing = [GrowingLine(line, last) for panel in panels for line in lines[panel]]
    time_label = TimeLabel(figure, sizes, last, not log)
    return Animation(figure, [*growing, TimeCursor(panels), time_label], first, last, log)


ANIMATIONS: Mapping[str, Build] = {
    "flows": lambda subject, draw: over_time(draw(subject), all_step_sizes([])),
    "descents": lambda subject, draw: over_time(
        draw(subject), all_step_sizes(members(subject.run).values())
    ),
    "plane": lambda subject, _draw: plane.animation(subject),
}
