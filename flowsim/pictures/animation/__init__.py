"""Figures in motion: what stands still is drawn once, and what moves over it at each moment.

`WAYS` are the ways in which a figure can move, by the name that its `Picture` has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flowsim.pictures.animation import over_time, plane
from flowsim.pictures.animation.moving import Moving
from flowsim.pictures.kit import reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowsim.results.run import Run

Draw = Callable[["Run"], "Figure"]
Way = Callable[["Run", Draw], Moving]


def _flows(run: Run, draw: Draw) -> Moving:
    """Draw curves of flows over time up to the moment."""
    return over_time.moving(draw(run), reading.all_step_sizes([]))


def _descents(run: Run, draw: Draw) -> Moving:
    """Draw curves over time up to the moment, of descents too."""
    return over_time.moving(draw(run), reading.all_step_sizes(reading.members(run).values()))


def _plane(run: Run, _draw: Draw) -> Moving:
    """Let descents run along the flow in the plane."""
    return plane.moving(run)


WAYS: Mapping[str, Way] = {"flows": _flows, "descents": _descents, "plane": _plane}
