"""Changes to a finished layout: the place of one panel, or space below all."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def set_aspect(panel: Axes, ratio: float) -> None:
    """Give a panel the aspect ratio height/width `ratio`, within its box and at its lower left."""
    figure = panel.get_figure(root=True)
    assert figure is not None  # panels are made in a figure
    box, (width, height) = panel.get_position(), figure.get_size_inches()
    wide = min(box.width * width, box.height * height / ratio)
    panel.set_position((box.x0, box.y0, wide / width, wide * ratio / height))


def set_horizontal(panel: Axes, left: float, wide: float) -> None:
    """Set the left edge and the width of a panel in inches."""
    figure = panel.get_figure(root=True)
    assert figure is not None  # panels are made in a figure
    box, width = panel.get_position(), figure.get_figwidth()
    panel.set_position((left / width, box.y0, wide / width, box.height))


def extend_below(figure: Figure, inches: float) -> None:
    """Add space below everything in a figure; what is drawn keeps its size and its order."""
    width, height = figure.get_size_inches()
    tall = height + inches
    for axes in figure.axes:
        box = axes.get_position()
        low = (box.y0 * height + inches) / tall
        axes.set_position((box.x0, low, box.width, box.height * height / tall))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * height + inches) / tall)
    for legend in figure.legends:
        corner = legend.get_bbox_to_anchor().transformed(figure.transFigure.inverted())
        moved = (corner.x0, (corner.y0 * height + inches) / tall)
        legend.set_bbox_to_anchor(moved, transform=figure.transFigure)
    figure.set_size_inches(width, tall)
