"""The neural tangent kernel along the layer flow, which rotates (rich) or stays fixed (lazy)."""

from __future__ import annotations

import numpy as np

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LINE_STYLE: style.LineStyle = {"color": "#0072B2", "linewidth": 1.6}
LABELS = (
    r"angle of $\Theta$ to $\Theta(0)$ in degrees",
    r"$\|\Theta-\Theta(0)\|_F\,/\,\|\Theta(0)\|_F$",
)


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "tangent_kernel.angle", "tangent_kernel.distance")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the kernel's rotation and its relative change since initialization."""
    run, parts = subject.run, subject.parts
    line_styles = curves.variant_legend(run, parts, LINE_STYLE)
    grid = layout.panel_grid(
        subject, panels=2, legend=line_styles if run.variants else {}, gap=layout.OWN_AXIS
    )
    rotation, change = grid.panels
    times = [part["tangent_kernel.time"] for part in parts.values()]
    angles = [degrees(part) for part in parts.values()]
    distances = [part["tangent_kernel.distance"] for part in parts.values()]
    curves.fit_time_axis(grid.panels, times, reading.has_log_times(parts.values()))
    curves.plain_axis([rotation], angles)
    # at t = 0 the change is 0, which a logarithmic axis cannot show
    curves.log_axis([change], [values[1:] for values in distances])
    curves.draw_parts(rotation, times, angles, line_styles)
    curves.draw_parts(change, times, distances, line_styles)
    grid.label("time t", *LABELS)
    return grid


def degrees(run: Run) -> np.ndarray:
    """Return the angle of the kernel to that at initialization, in degrees."""
    return np.asarray(np.degrees(run["tangent_kernel.angle"]))


def largest_rotation(run: Run) -> str:
    """Return the largest rotation of the kernel, in degrees."""
    return f"{number(float(np.nanmax(degrees(run))), 2)}°"


def headline(run: Run) -> str:
    """Return how far the kernel rotates and changes."""
    change = number(float(np.nanmax(run["tangent_kernel.distance"])), 2)
    return (
        f"The neural tangent kernel rotates by up to {largest_rotation(run)} and changes by up to "
        f"{change} times its norm at initialization"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Return how far the kernel of each variant rotates."""
    phrases = (f"{largest_rotation(part)} ({name})" for name, part in parts.items())
    return f"The neural tangent kernel rotates by up to {join_words(phrases, most=7)}"
