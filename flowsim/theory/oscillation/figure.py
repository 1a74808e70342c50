"""Bifurcation diagram: the last iterates of each mode against the step size.

One line where descent converges; it splits at η = 2/λ into a 2-cycle, then into 4-cycles, and
spreads into chaotic bands before descent diverges (period doubling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

GROUP = "oscillation"
MOST_MODES, LEAST_STEP_SIZES = 3, 16
DIGITS = 4
"""Significant digits of a step size: hundreds of them are close together."""
SMALL = 1e-6
"""Modes below this fraction of the largest target are left out."""
DIVERGED: style.LineStyle = {"facecolor": "#d9d9d9", "linewidth": 0}
CYCLE: style.LineStyle = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 4}
FIXED_POINT: style.LineStyle = {"color": style.INK, "linewidth": 0.7, "zorder": 1.8}
EVENTS = {
    "critical": "2-cycle",
    "turning": "unstable, if noisy",
    "second_doubling": "4-cycle",
    "sign_change": "may change sign",
}


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    lacking = reading.why_missing(run, f"{GROUP}.orbit")
    if not lacking and np.unique(read(run, "step_size")).size < LEAST_STEP_SIZES:
        return f"descent was run at fewer than {LEAST_STEP_SIZES} step sizes"
    return lacking or (None if modes(run) else "no mode has a target above 0")


def read(run: Run, name: str) -> np.ndarray:
    """Return a variable of the group."""
    return run[f"{GROUP}.{name}"]


def diverged(run: Run) -> np.ndarray:
    """Return a boolean per step size: whether descent diverges."""
    return np.asarray(np.isinf(read(run, "highest_loss")))


def unit(run: Run) -> float:
    """Return the critical step size of the sharpest mode, or 1 if none is known."""
    critical = read(run, "critical")
    known = critical[np.isfinite(critical)]
    return float(known.min()) if known.size else 1.0


def modes(run: Run) -> list[int]:
    """Return the modes to draw: the largest with a nonzero target."""
    target = read(run, "target")
    return [int(r) for r in np.flatnonzero(target > SMALL * target.max())[:MOST_MODES]]


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw one panel per mode; of variants the two largest modes of each."""
    return draw_variants(subject) if subject.run.variants else draw_plain(subject)


def draw_plain(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the modes of one run, the largest first."""
    run = subject.run
    shown = modes(run)
    grid = layout.panel_grid(
        subject,
        panels=len(shown),
        names=[f"mode {r + 1}: target {number(float(read(run, 'target')[r]))}" for r in shown],
        legend=legend([run]),
    )
    draw_panels(grid, [(run, r) for r in shown])
    return grid


def draw_variants(subject: reading.Subject) -> layout.PanelGrid:
    """Draw the two largest modes of every variant, up to `MOST_PANELS`."""
    parts = subject.parts
    each = [(name, r) for name, part in parts.items() for r in modes(part)[:2]]
    each = each[: reading.MOST_PANELS]
    drawn = {name: parts[name] for name, _ in each}
    grid = layout.panel_grid(
        replace(subject, parts=drawn, headline=over_variants(drawn)),
        panels=len(each),
        names=[f"{name}: mode {r + 1}" for name, r in each],
        legend=legend(list(drawn.values())),
    )
    draw_panels(grid, [(parts[name], r) for name, r in each])
    return grid


def legend(runs: Sequence[Run]) -> dict[str, style.LineStyle]:
    """Return the legend of what any of the runs shows."""
    dots: style.LineStyle = {
        "marker": "o",
        "markersize": 1.6,
        "linestyle": "none",
        "color": ORBIT["color"],
    }
    found: dict[str, style.LineStyle] = {"last iterates": dots, "fixed point": FIXED_POINT}
    if any(np.isfinite(read(run, "predicted_low")).any() for run in runs):
        found["exact 2-cycle of the mode alone"] = CYCLE
    if any(diverged(run).any() for run in runs):
        found["diverges"] = DIVERGED
    return found


ORBIT: style.LineStyle = {
    "color": style.OKABE_ITO[0],
    "marker": ".",
    "markersize": 1.1,
    "markeredgewidth": 0,
    "linestyle": "none",
    "alpha": 0.35,
    "rasterized": True,
}


def draw_panels(grid: layout.PanelGrid, each: Sequence[tuple[Run, int]]) -> None:
    """Draw one mode of one run in each panel, on shared axes."""
    tops = [orbit_over_target(run, r) for run, r in each]
    curves.plain_axis(grid.panels, tops)
    sizes = [read(run, "step_size") / unit(run) for run, _ in each]
    # one axis for all panels: thresholds of different modes can be compared
    low, high = min(float(s.min()) for s in sizes), max(float(s.max()) for s in sizes)
    for panel, (run, r) in zip(grid.panels, each, strict=True):
        panel.set_xlim(low, high)
        curves.round_ticks(panel.xaxis, 5)
        draw_mode(panel, run, r)
    scale = "step size η over critical 2/λ" if unit(each[0][0]) != 1.0 else "step size η"
    grid.label(scale, "mode strength over target")


def orbit_over_target(run: Run, r: int) -> np.ndarray:
    """Return the last iterates of a mode over its target, `(step_size, iterate)`."""
    return np.asarray(read(run, "orbit")[:, r] / read(run, "target")[r])


def draw_mode(panel: Axes, run: Run, r: int) -> None:
    """Draw the last iterates of a mode, its exact 2-cycle, its thresholds, and divergence."""
    x, orbit = read(run, "step_size") / unit(run), orbit_over_target(run, r)
    shade_diverged(panel, x, diverged(run))
    panel.axhline(1.0, **FIXED_POINT)
    panel.plot(np.repeat(x, orbit.shape[1]), orbit.ravel(), **ORBIT)
    for name in ("predicted_low", "predicted_high"):
        panel.plot(x, read(run, name)[:, r] / read(run, "target")[r], **CYCLE)
    for name, label in EVENTS.items():
        at = float(read(run, name)[r]) / unit(run)
        if panel.get_xlim()[0] < at < panel.get_xlim()[1]:
            panel.axvline(at, **style.LEVEL)
            low, top = panel.get_ylim()
            y, away, side = (low, 2, "bottom") if name == "turning" else (top, -2, "top")
            # on both sides of the lines, since the first two thresholds may be close together
            left = name == "critical"
            panel.annotate(
                label, (at, y), xytext=(-1 if left else 1.5, away), textcoords="offset points",
                rotation=90, va=side, ha="right" if left else "left", size=5.2, color=style.INK,
            )  # fmt: skip


def shade_diverged(panel: Axes, x: np.ndarray, lost: np.ndarray) -> None:
    """Shade the step sizes that diverge, each up to half way to its neighbours."""
    edges = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])
    for k in np.flatnonzero(lost):
        panel.axvspan(edges[k], edges[k + 1], zorder=0, **DIVERGED)


def headline(run: Run) -> str:
    """Return the step sizes from which each mode oscillates, and descent diverges."""
    onset, scale = read(run, "onset") / unit(run), unit(run)
    phrases = [
        f"mode {r + 1} oscillates from {number(float(onset[r]), DIGITS)}"
        for r in modes(run)
        if np.isfinite(onset[r])
    ]
    lost = read(run, "step_size")[diverged(run)]
    if lost.size:
        phrases.append(f"descent diverges from {number(float(lost.min()) / scale, DIGITS)}")
    of_what = " of the critical step size on" if scale != 1.0 else " on"
    text = (
        join_words(phrases) + of_what
        if phrases
        else "No mode oscillates at any of these step sizes"
    )
    return text[0].upper() + text[1:]


def over_variants(parts: dict[str, Run]) -> str:
    """Return for every variant the step sizes from which its modes oscillate."""
    phrases = []
    for name, part in parts.items():
        onset = read(part, "onset")[modes(part)[:2]] / unit(part)
        onsets = [number(float(x), DIGITS) if np.isfinite(x) else "none" for x in onset]
        phrases.append(f"{join_words(onsets)} ({name})")
    return f"In units of 2/λ modes start to oscillate at {'; '.join(phrases)}"
