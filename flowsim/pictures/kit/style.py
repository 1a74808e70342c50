"""How figures look: colours, line styles, and settings that leave a user's own untouched.

Colours are Okabe & Ito's (2008) up to six, Petroff's ten (arXiv:2107.02270) up to ten, and viridis
beyond. Every coloured line also has its own marker, so that it is distinct in greyscale.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import matplotlib as mpl
import numpy as np

LineStyle = dict[str, Any]
"""Keyword arguments of `Axes.plot`, or of a patch if it has a `facecolor`."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PETROFF = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadb",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
FEW = 8
"""More curves than this get a colour scale in place of a legend."""

INK = "#222222"
EXACT: LineStyle = {"color": "black", "linewidth": 0.7, "linestyle": (0, (4, 4)), "zorder": 4}
FLOW: LineStyle = {"color": "#9a9a9a", "linewidth": 2.8, "solid_capstyle": "butt", "zorder": 1.9}
FAINT: LineStyle = {"color": "#b5b5b5", "linewidth": 0.4, "zorder": 1.5}
LEVEL: LineStyle = {"color": INK, "linewidth": 0.7, "linestyle": (0, (1, 2))}
BAND: LineStyle = {"facecolor": "#56B4E9", "alpha": 0.35, "linewidth": 0}

SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.0,
    "mathtext.fontset": "dejavusans",
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.0,
    "axes.titlepad": 3.0,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.4,
    "ytick.minor.size": 1.4,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.4,
    "lines.markeredgewidth": 0.7,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.0,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.0,
    "legend.borderpad": 0.0,
    "legend.labelspacing": 0.35,
    "svg.hashsalt": "flowsim",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
TOUCHED = (
    "agg.", "axes.", "contour.", "figure.", "font.", "grid.", "hatch.", "image.", "legend.",
    "lines.", "markers.", "mathtext.", "patch.", "path.", "pdf.", "savefig.", "scatter.", "svg.",
    "text.", "xtick.", "xaxis.", "ytick.", "yaxis.",
)  # fmt: skip


def settings() -> AbstractContextManager[None]:
    """Return a context with Matplotlib's defaults and ours, independent of the user's settings."""
    # only settings of drawing: others, such as the backend, stay the user's
    defaults = {k: v for k, v in mpl.rcParamsDefault.items() if k.startswith(TOUCHED)}
    return mpl.rc_context(cast("Any", {**defaults, **SETTINGS}))


def shades(fractions: np.ndarray) -> list[str]:
    """Return viridis colours, from dark (0) to light (1) but still readable on white."""
    from matplotlib.colors import to_hex

    return [to_hex(mpl.colormaps["viridis"](0.88 * float(f))) for f in fractions]


def colours(count: int) -> list[str]:
    """Return `count` colours that colour-blind readers can distinguish."""
    if count <= len(OKABE_ITO):
        return list(OKABE_ITO[:count])
    if count <= len(PETROFF):
        return list(PETROFF[:count])
    return shades(np.linspace(0, 1, count))


def marker_spacing(points: int, marks: int = 9, shift: int = 0) -> tuple[int, int]:
    """Return `markevery` for about `marks` marks along a curve, shifted from curve to curve."""
    every = max(points // marks, 1)
    # a quarter of the spacing per curve, so that markers of curves that coincide do not
    return (every // 2 + shift * max(every // 4, 1)) % every, every


def curve_styles(count: int) -> list[LineStyle]:
    """Return one line style per curve: its colour and, of up to ten, its own marker."""
    return _with_own_marker([{"color": colour} for colour in colours(count)])


def grey_styles(count: int) -> list[LineStyle]:
    """Return one grey line style per curve, for curves beside coloured step sizes."""
    greys = [str(round(level, 3)) for level in np.linspace(0.1, 0.62, count)]
    return _with_own_marker([{"color": grey, "markerfacecolor": "white"} for grey in greys])


def _with_own_marker(line_styles: list[LineStyle]) -> list[LineStyle]:
    if len(line_styles) > len(MARKERS):
        return line_styles
    return [{**each, "marker": m} for each, m in zip(line_styles, MARKERS, strict=False)]


def step_fractions(step_sizes: np.ndarray) -> np.ndarray:
    """Return the place of each step size on the logarithmic colour scale, from 0 to 1."""
    low, high = np.log(step_sizes.min()), np.log(step_sizes.max())
    # one step size has no span; 1e-300 makes its place 0
    return np.asarray((np.log(step_sizes) - low) / max(high - low, 1e-300))


def step_size_styles(step_sizes: np.ndarray) -> list[LineStyle]:
    """Return one line style per step size: as for curves, or from a colour scale if many."""
    if len(step_sizes) <= FEW:
        return curve_styles(len(step_sizes))
    return [{"color": c, "linewidth": 0.8} for c in shades(step_fractions(step_sizes))]


def with_markers(line_style: LineStyle, points: int, shift: int = 0) -> LineStyle:
    """Return the line style of a curve of `points` points: sparse markers, or one for one point."""
    if points == 1:
        return {"marker": "o", **line_style}
    if "marker" not in line_style:
        return line_style
    return {**line_style, "markevery": marker_spacing(points, shift=shift)}


def open_markers(rank: int, colour: str = INK) -> LineStyle:
    """Return the line style of a further flow: open markers without a line, over the first flow."""
    return {
        "linestyle": "none",
        "marker": ("o", "s", "D")[rank % 3],
        "color": colour,
        "markerfacecolor": "white",
        "markersize": 3.6,
        "zorder": 3.5,
    }
