"""How figures look: colours, pens and matplotlib settings that leave a user's own untouched.

Colours are Okabe & Ito's (2008) up to six, Petroff's ten (arXiv:2107.02270) up to ten, and viridis
beyond; every coloured line also carries its own marker, so that it is told apart in greyscale.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import matplotlib as mpl
import numpy as np

Pen = dict[str, Any]
"""Keyword arguments of `Axes.plot` (a patch's where it has a `facecolor`) that draw one thing."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PETROFF = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadb",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
FEW = 8
"""More curves than this are told apart by a colour scale, not by a legend."""

INK = "#222222"
EXACT: Pen = {"color": "black", "linewidth": 0.7, "linestyle": (0, (4, 4)), "zorder": 4}
FLOW: Pen = {"color": "#9a9a9a", "linewidth": 2.8, "solid_capstyle": "butt", "zorder": 1.9}
FAINT: Pen = {"color": "#b5b5b5", "linewidth": 0.4, "zorder": 1.5}
LEVEL: Pen = {"color": INK, "linewidth": 0.7, "linestyle": (0, (1, 2))}
BAND: Pen = {"facecolor": "#56B4E9", "alpha": 0.35, "linewidth": 0}

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
    """Return a context in which matplotlib has its defaults and ours, whatever a user has set."""
    defaults = {k: v for k, v in mpl.rcParamsDefault.items() if k.startswith(TOUCHED)}
    return mpl.rc_context(cast("Any", {**defaults, **SETTINGS}))


def shades(fractions: np.ndarray) -> list[str]:
    """Return viridis colours, dark (0) to light but readable on white (1)."""
    from matplotlib.colors import to_hex

    return [to_hex(mpl.colormaps["viridis"](0.88 * float(f))) for f in fractions]


def colours(count: int) -> list[str]:
    """Return `count` colours told apart by colour-blind readers."""
    if count <= len(OKABE_ITO):
        return list(OKABE_ITO[:count])
    if count <= len(PETROFF):
        return list(PETROFF[:count])
    return shades(np.linspace(0, 1, count))


def sparse(points: int, marks: int = 9, shift: int = 0) -> tuple[int, int]:
    """Return `markevery` for about `marks` marks along a curve, shifted from curve to curve."""
    every = max(points // marks, 1)
    return (every // 2 + shift * max(every // 4, 1)) % every, every


def curve_pens(count: int) -> list[Pen]:
    """Return one pen a curve: a colour, and up to ten a marker of its own."""
    pens: list[Pen] = [{"color": colour} for colour in colours(count)]
    if count <= len(MARKERS):
        for pen, marker in zip(pens, MARKERS, strict=False):
            pen["marker"] = marker
    return pens


def grey_pens(count: int) -> list[Pen]:
    """Return one grey pen a curve, for curves that stand beside coloured step sizes."""
    greys = [str(round(level, 3)) for level in np.linspace(0.1, 0.62, count)]
    pens: list[Pen] = [{"color": grey, "markerfacecolor": "white"} for grey in greys]
    if count <= len(MARKERS):
        for pen, marker in zip(pens, MARKERS, strict=False):
            pen["marker"] = marker
    return pens


def step_fractions(step_sizes: np.ndarray) -> np.ndarray:
    """Return where each step size lies on the colour scale, logarithmically from 0 to 1."""
    low, high = np.log(step_sizes.min()), np.log(step_sizes.max())
    return np.asarray((np.log(step_sizes) - low) / max(high - low, 1e-300))


def step_pens(step_sizes: np.ndarray) -> list[Pen]:
    """Return one pen a step size: as for curves, or off a colour scale where they are many."""
    if len(step_sizes) <= FEW:
        return curve_pens(len(step_sizes))
    return [{"color": c, "linewidth": 0.8} for c in shades(step_fractions(step_sizes))]


def dotted(pen: Pen, points: int, shift: int = 0) -> Pen:
    """Return the pen for a curve of that many points: sparse markers, or one that shows a point."""
    if points == 1:
        return {"marker": "o", **pen}
    return {**pen, "markevery": sparse(points, shift=shift)} if "marker" in pen else pen


def open_marks(rank: int, colour: str = INK) -> Pen:
    """Return the pen of a second flow, drawn over the first as sparse open marks without a line."""
    return {
        "linestyle": "none",
        "marker": ("o", "s", "D")[rank % 3],
        "color": colour,
        "markerfacecolor": "white",
        "markersize": 3.6,
        "zorder": 3.5,
    }
