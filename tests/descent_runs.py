"""Runs of descent whose two modes settle, swing or diverge, and what their figure shows."""

from __future__ import annotations

from typing import Any

import figure_runs as made
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.experiment import figures
from flowsim.results.run import Run

NAME = "descent_singular_values"

ETA = 0.05
ITERATION = np.arange(201)
PARITY = (-1.0) ** ITERATION
GROWTH = 1 - np.exp(-ITERATION / 8)
SETTLING = np.stack([10 * GROWTH, 9.5 * GROWTH], axis=1)
ONE_SWINGS = SETTLING + np.stack([0.8 * PARITY * GROWTH, 0 * PARITY], axis=1)
BOTH_SWING = SETTLING + np.stack([2.0 * PARITY, 1.0 * PARITY], axis=1) * GROWTH[:, None]
SHRINKING = SETTLING + np.stack([2 * PARITY * 0.98**ITERATION, 0 * PARITY], axis=1)
DIVERGING = np.where(ITERATION[:, None] < 30, SETTLING * 1.5 ** ITERATION[:, None], np.nan)


def turned(angle: float = 0.7) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


U, V = turned(0.4), turned(-1.1)


def matrices(strengths: np.ndarray) -> np.ndarray:
    """Return U diag(s) Vᵀ for strengths `(…, mode)`."""
    return np.einsum("or,...r,ir->...oi", U, strengths, V)


def spectrum(W: np.ndarray) -> np.ndarray:
    known = np.isfinite(W).all(axis=(-1, -2))
    values = np.full(W.shape[:-1], np.nan)
    values[known] = np.linalg.svd(W[known], compute_uv=False)
    return values


def run_of(*descents: np.ndarray, saved: bool = True, every: int = 1, **more: Any) -> Run:
    """Return a run whose descents have these strengths, `every` so many iterates."""
    sizes = ETA * np.arange(1, len(descents) + 1)
    W = matrices(np.stack(descents))
    if "added" in more:
        W = W + more["added"]
    W = W[:, ::every]
    iteration = np.tile(ITERATION[::every], (len(sizes), 1))
    lost = ~np.isfinite(W).all(axis=(1, 2, 3))
    sample = ("step_size", "sample")
    descent = made.group(
        step_size=(("step_size",), sizes),
        iteration=(sample, iteration),
        time=(sample, iteration * sizes[:, None]),
        singular_values=((*sample, "mode"), spectrum(W)),
        outcome=(("step_size",), np.where(lost, "diverged", "completed")),
    )
    time = ITERATION * ETA
    path = matrices(SETTLING)
    flow = made.group(time=(("time",), time), singular_values=(("time", "mode"), spectrum(path)))
    if saved:
        descent |= made.group(end_to_end=((*sample, "output", "input"), W))
        flow |= made.group(end_to_end=(("time", "output", "input"), path))
    return Run("made", made.scenario(), {"layers": flow, "descent": descent}, {})


def drawn(run: Run) -> Figure:
    return figures.draw(run, NAME)


def headline(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts if text.get_size() == 7.6)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def curves_of(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in axes.lines]


def has(axes: Axes, x: np.ndarray, y: np.ndarray) -> bool:
    return any(
        a.shape == x.shape and np.array_equal(a, x) and np.allclose(b, y, equal_nan=True)
        for a, b in curves_of(axes)
    )
