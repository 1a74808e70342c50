"""Animation of any figure whose panels are all over time: curves are drawn up to a time."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from flowsim.pictures.animation.animated_parts import GrowingLine, TimeCursor, TimeLabel
from flowsim.pictures.animation.animation import Animation


def animation(figure: Figure, sizes: np.ndarray) -> Animation:
    """Return the animation of a figure, given the step sizes whose iterations are counted."""
    over_time = {
        panel: [line for line in panel.lines if line.get_transform() is panel.transData]
        for panel in figure.axes
    }
    # colour scales and lines across a panel are in other coordinates, and stay
    panels = [panel for panel, lines in over_time.items() if lines]
    log = all(panel.get_xscale() == "log" for panel in panels)
    first = min(panel.get_xlim()[0] for panel in panels)
    last = max(panel.get_xlim()[1] for panel in panels)
    growing = [GrowingLine(line, last) for panel in panels for line in over_time[panel]]
    time_label = TimeLabel(figure, sizes, last, not log)
    return Animation(figure, [*growing, TimeCursor(panels), time_label], first, last, log)
