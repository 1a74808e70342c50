"""Moving what stands on a page: a panel by itself, or all of it up from the foot."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def shrink(panel: Axes, ratio: float) -> None:
    """Make a panel as high as wide times the ratio, within where it stands, from its lower left."""
    figure = panel.get_figure(root=True)
    assert figure is not None  # a panel is made on a page
    box, (width, height) = panel.get_position(), figure.get_size_inches()
    wide = min(box.width * width, box.height * height / ratio)
    panel.set_position((box.x0, box.y0, wide / width, wide * ratio / height))


def place(panel: Axes, left: float, wide: float) -> None:
    """Move a panel sideways and make it so wide, in inches."""
    figure = panel.get_figure(root=True)
    assert figure is not None  # a panel is made on a page
    box, width = panel.get_position(), figure.get_figwidth()
    panel.set_position((left / width, box.y0, wide / width, box.height))


def heighten(figure: Figure, inches: float) -> None:
    """Add space at the foot of a page, and leave what stands on it where it stands."""
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
        place = (corner.x0, (corner.y0 * height + inches) / tall)
        legend.set_bbox_to_anchor(place, transform=figure.transFigure)
    figure.set_size_inches(width, tall)
