"""How the layers move the singular values, the law that says so, and what lies between them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.pictures.singular_values import TOP_MODES
from flowsim.results.run import Run

MOST_VARIANTS = 4
"""Each takes a panel of both rows."""

MEASURED: style.Pen = {"color": "#666666", "linewidth": 1.9}
BOUND: style.Pen = {"color": "#666666", "linewidth": 0.8, "linestyle": (0, (1, 2))}
KEYS: dict[str, style.Pen] = {
    "velocity of the layers; its distance from the law": MEASURED,
    "the law": style.EXACT,
    "bound on the distance": BOUND,
}
PATH = "singular_value_law"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, f"{PATH}.velocity", f"{PATH}.law")


def draw(run: Run) -> Figure:
    """Draw u_rᵀẆv_r(t) with the law over it, and in a second panel their relative distance."""
    parts = dict(list(reading.fitted(run, why_unavailable).items())[:MOST_VARIANTS])
    names = list(parts) if run.variants else []
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=2 * len(parts),
        names=names,
        drawn=parts if run.variants else (),
        keys=KEYS,
        gap=page.OWN_AXIS if len(parts) == 1 else page.SHARED_AXIS,
    )
    upper, lower = sheet.panels[: len(parts)], sheet.panels[len(parts) :]
    times = [[part[f"{PATH}.time"]] for part in parts.values()]
    for row in (upper, lower):
        curves.time_axes(row, times, reading.logarithmic(parts.values()))
    curves.plain_axis(upper, [part[f"{PATH}.velocity"] for part in parts.values()])
    curves.log_axis(lower, [relative(p, name) for p in parts.values() for name in FROM_THE_LAW])
    for panels in zip(upper, lower, parts.values(), strict=True):
        draw_law(*panels)
    sheet.label("time t", "")
    upper[0].set_ylabel(r"velocity of $\sigma_r$")
    lower[0].set_ylabel("distance / largest velocity")
    for panel in (upper[0], lower[0]):
        panel.tick_params(axis="y", which="both", labelleft=True)
    return sheet.figure


FROM_THE_LAW = ("difference", "error")


def draw_law(upper: Axes, lower: Axes, run: Run) -> None:
    """Draw the velocities and the law, and their distance with its bound, mode by mode."""
    time, velocity, law = (run[f"{PATH}.{name}"] for name in ("time", "velocity", "law"))
    modes = min(velocity.shape[1], TOP_MODES)
    off, bound = (relative(run, name) for name in FROM_THE_LAW)
    for r, colour in enumerate(style.colours(modes)):
        curves.plot(upper, time, velocity[:, r], {**MEASURED, "color": colour})
        curves.plot(upper, time, law[:, r], style.EXACT)
        curves.plot(lower, time, off[:, r], {**MEASURED, "color": colour, "linewidth": 1.1})
        curves.plot(lower, time, bound[:, r], {**BOUND, "color": colour})


def relative(run: Run, name: str) -> np.ndarray:
    """Return a distance over the largest velocity of any mode at any time."""
    largest = float(np.nanmax(np.abs(run[f"{PATH}.velocity"]), initial=0.0))
    return np.asarray(np.abs(run[f"{PATH}.{name}"]) / (largest or 1.0))


def worst(run: Run) -> float:
    """Return the largest relative distance."""
    return float(np.nanmax(relative(run, "difference")))


def within(run: Run) -> bool:
    """Say whether the distance stays within its bound."""
    off, bound = (relative(run, name) for name in FROM_THE_LAW)
    known = np.isfinite(off) & np.isfinite(bound)
    return bool((off <= bound)[known].all())


def told(run: Run) -> str:
    """Say how far velocities are from the law, and where the bound does not explain it."""
    beyond = "" if within(run) else ", more than its bound"
    return f"{number(worst(run), 2)}{beyond}"


def headline(run: Run) -> str:
    """Say how far the singular values are from moving by the law."""
    where = "within" if within(run) else "NOT within"
    return (
        f"Singular values move by the law for balanced layers up to {number(worst(run), 2)} of "
        f"their largest velocity, {where} the bound"
    )


def over_variants(parts: dict[str, Run]) -> str:
    """Say how far each variant is from the law."""
    ends = listed((f"{told(part)} in {name}" for name, part in parts.items()), most=MOST_VARIANTS)
    return f"Distance from the law for balanced layers, of the largest velocity: {ends}"
