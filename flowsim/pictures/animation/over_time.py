"""Curves over time that are drawn up to a moment: any figure all of whose panels are over time."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from flowsim.pictures.animation.moving import Moving
from flowsim.pictures.animation.parts import Clock, Cursor, Growing


def moving(figure: Figure, sizes: np.ndarray) -> Moving:
    """Return the motion of a figure, given the step sizes whose iterations are told."""
    over_time = {
        panel: [line for line in panel.lines if line.get_transform() is panel.transData]
        for panel in figure.axes
    }
    panels = [panel for panel, lines in over_time.items() if lines]
    log = all(panel.get_xscale() == "log" for panel in panels)
    first = min(panel.get_xlim()[0] for panel in panels)
    last = max(panel.get_xlim()[1] for panel in panels)
    growing = [Growing(line, last) for panel in panels for line in over_time[panel]]
    clock = Clock(figure, sizes, last, not log)
    return Moving(figure, [*growing, Cursor(panels), clock], first, last, log)
