"""Where the last iterates of each mode lie, against the step size: the bifurcation diagram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

GROUP = "oscillation"
MOST_MODES, LEAST_STEP_SIZES = 3, 16
DIGITS = 4
"""Significant digits of a step size: hundreds of them lie close together."""
SMALL = 1e-6
"""Modes of less than this share of the largest target are left out."""
DIVERGED: style.Pen = {"facecolor": "#d9d9d9", "linewidth": 0}
CYCLE: style.Pen = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 4}
REST: style.Pen = {"color": style.INK, "linewidth": 0.7, "zorder": 1.8}
EVENTS = {
    "critical": "2-cycle",
    "turning": "turns, if noisy",
    "second_doubling": "4-cycle",
    "sign_change": "may change sign",
}


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    lacking = reading.why_missing(run, f"{GROUP}.orbit")
    if not lacking and np.unique(of(run, "step_size")).size < LEAST_STEP_SIZES:
        return f"descent was run at fewer than {LEAST_STEP_SIZES} step sizes"
    return lacking or (None if modes(run) else "no mode has a target above 0")


def of(run: Run, name: str) -> np.ndarray:
    """Return a variable of the group."""
    return run[f"{GROUP}.{name}"]


def diverged(run: Run) -> np.ndarray:
    """Say at which step sizes descent diverges."""
    return np.asarray(np.isinf(of(run, "highest_loss")))


def unit(run: Run) -> float:
    """Return the critical step size of the sharpest mode, 1 where none is known."""
    critical = of(run, "critical")
    known = critical[np.isfinite(critical)]
    return float(known.min()) if known.size else 1.0


def modes(run: Run) -> list[int]:
    """Return the modes to draw: the strongest that are no zero."""
    target = of(run, "target")
    return [int(r) for r in np.flatnonzero(target > SMALL * target.max())[:MOST_MODES]]


def draw(run: Run) -> Figure:
    """Draw a panel a mode; of variants, the strongest mode of each that swings."""
    return draw_variants(run) if run.variants else draw_plain(run)


def draw_plain(run: Run) -> Figure:
    """Draw the modes of one run, the strongest first."""
    shown = modes(run)
    sheet = page.open_page(
        run,
        headline(run),
        panels=len(shown),
        names=[f"mode {r + 1}: target {number(float(of(run, 'target')[r]))}" for r in shown],
        keys=keys([run]),
    )
    draw_panels(sheet, [(run, r) for r in shown])
    return sheet.figure


def draw_variants(run: Run) -> Figure:
    """Draw the two strongest modes of every variant, as far as there is room."""
    parts = reading.fitted(run, why_unavailable)
    each = [(name, r) for name, part in parts.items() for r in modes(part)[:2]]
    each = each[: reading.MOST_PANELS]
    drawn = {name: parts[name] for name, _ in each}
    sheet = page.open_page(
        run,
        over_variants(drawn),
        panels=len(each),
        names=[f"{name}: mode {r + 1}" for name, r in each],
        drawn=drawn,
        keys=keys(list(drawn.values())),
    )
    draw_panels(sheet, [(parts[name], r) for name, r in each])
    return sheet.figure


def keys(runs: Sequence[Run]) -> dict[str, style.Pen]:
    """Return the legend."""
    dots: style.Pen = {"marker": "o", "markersize": 1.6, "linestyle": "none", "color": PEN["color"]}
    found: dict[str, style.Pen] = {"last iterates": dots, "at rest": REST}
    if any(np.isfinite(of(run, "predicted_low")).any() for run in runs):
        found["exact 2-cycle of the mode alone"] = CYCLE
    if any(diverged(run).any() for run in runs):
        found["diverges"] = DIVERGED
    return found


PEN: style.Pen = {
    "color": style.OKABE_ITO[0],
    "marker": ".",
    "markersize": 1.1,
    "markeredgewidth": 0,
    "linestyle": "none",
    "alpha": 0.35,
    "rasterized": True,
}


def draw_panels(sheet: page.Page, each: Sequence[tuple[Run, int]]) -> None:
    """Draw one mode of one run in each panel, on axes that all share."""
    tops = [scaled(run, r) for run, r in each]
    curves.plain_axis(sheet.panels, tops)
    sizes = [of(run, "step_size") / unit(run) for run, _ in each]
    low, high = min(float(s.min()) for s in sizes), max(float(s.max()) for s in sizes)
    for panel, (run, r) in zip(sheet.panels, each, strict=True):
        panel.set_xlim(low, high)
        curves.nice_ticks(panel.xaxis, 5)
        draw_mode(panel, run, r)
    scale = "step size η over the critical 2/λ" if unit(each[0][0]) != 1.0 else "step size η"
    sheet.label(scale, "mode strength over target")


def scaled(run: Run, r: int) -> np.ndarray:
    """Return the orbit of a mode in units of its target, `(step_size, visit)`."""
    return np.asarray(of(run, "orbit")[:, r] / of(run, "target")[r])


def draw_mode(panel: Axes, run: Run, r: int) -> None:
    """Draw the last iterates of a mode, what is predicted of it, and where descent is lost."""
    x, orbit = of(run, "step_size") / unit(run), scaled(run, r)
    shade(panel, x, diverged(run))
    panel.axhline(1.0, **REST)
    panel.plot(np.repeat(x, orbit.shape[1]), orbit.ravel(), **PEN)
    for name in ("predicted_low", "predicted_high"):
        panel.plot(x, of(run, name)[:, r] / of(run, "target")[r], **CYCLE)
    for name, says in EVENTS.items():
        at = float(of(run, name)[r]) / unit(run)
        if panel.get_xlim()[0] < at < panel.get_xlim()[1]:
            panel.axvline(at, **style.LEVEL)
            low, top = panel.get_ylim()
            y, away, side = (low, 2, "bottom") if name == "turning" else (top, -2, "top")
            left = name == "critical"
            panel.annotate(
                says, (at, y), xytext=(-1 if left else 1.5, away), textcoords="offset points",
                rotation=90, va=side, ha="right" if left else "left", size=5.2, color=style.INK,
            )  # fmt: skip


def shade(panel: Axes, x: np.ndarray, lost: np.ndarray) -> None:
    """Shade the step sizes that diverge, each half-way to its neighbours."""
    edges = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])
    for k in np.flatnonzero(lost):
        panel.axvspan(edges[k], edges[k + 1], zorder=0, **DIVERGED)


def headline(run: Run) -> str:
    """Say from which step size on each mode swings, and from which descent diverges."""
    onset, scale = of(run, "onset") / unit(run), unit(run)
    said = [
        f"mode {r + 1} swings from {number(float(onset[r]), DIGITS)}"
        for r in modes(run)
        if np.isfinite(onset[r])
    ]
    lost = of(run, "step_size")[diverged(run)]
    if lost.size:
        said.append(f"descent diverges from {number(float(lost.min()) / scale, DIGITS)}")
    of_what = " of the critical step size on" if scale != 1.0 else " on"
    text = listed(said) + of_what if said else "No mode swings at any of these step sizes"
    return text[0].upper() + text[1:]


def over_variants(parts: dict[str, Run]) -> str:
    """Say of every variant from which step size on its modes swing."""
    said = []
    for name, part in parts.items():
        onset = of(part, "onset")[modes(part)[:2]] / unit(part)
        swings = [number(float(x), DIGITS) if np.isfinite(x) else "none" for x in onset]
        said.append(f"{listed(swings)} ({name})")
    return f"In units of the critical step size, modes begin to swing at {'; '.join(said)}"
