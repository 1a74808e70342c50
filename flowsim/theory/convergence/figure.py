"""ℓ - ℓ* along the layer flow, beside the bounds that theorems give for it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from flowsim.pictures.kit import curves, page, reading, style
from flowsim.pictures.kit.words import listed, number
from flowsim.results.run import Run

MEASURED: style.Pen = {"color": "#0072B2", "linewidth": 1.8, "zorder": 3}
BOUND: style.Pen = {"color": "#D55E00", "linewidth": 1.2, "linestyle": (0, (5, 2)), "zorder": 3.2}
RUNNING: style.Pen = {"color": style.INK, "linewidth": 0.9, "linestyle": (0, (1, 2)), "zorder": 3.4}
WRONG: style.Pen = {"color": "#8a8a8a", "linewidth": 0.9, "linestyle": (0, (3, 1, 1, 1))}
KEYS = {
    "excess_loss": "measured",
    "bound": "bound by the margin at t = 0",
    "running_bound": "bound by P_W's smallest eigenvalue so far",
}
PENS = {"excess_loss": MEASURED, "bound": BOUND, "running_bound": RUNNING}
WRONG_KEY = "N times that rate: no bound, W is not square"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "convergence.excess_loss")


def draw(run: Run) -> Figure:
    """Draw ℓ(t) - ℓ* and its bounds, a panel a variant, with the bound that would be too good."""
    parts = reading.fitted(run, why_unavailable)
    shown = {
        name: pen
        for name, pen in PENS.items()
        if any(reading.drawable(part, f"convergence.{name}") for part in parts.values())
    }
    keys = {KEYS[name]: pen for name, pen in shown.items()}
    if any(too_good(part) is not None for part in parts.values()):
        keys[WRONG_KEY] = WRONG
    sheet = page.open_page(
        run,
        over_variants(parts) if run.variants else headline(run),
        panels=len(parts),
        names=list(parts) if run.variants else (),
        drawn=parts if run.variants else (),
        keys=keys,
    )
    times = [[part["convergence.time"]] for part in parts.values()]
    curves.time_axes(sheet.panels, times, reading.logarithmic(parts.values()))
    drawn = [{name: resolved(part, name) for name in shown} for part in parts.values()]
    curves.log_axis(sheet.panels, [values for of_part in drawn for values in of_part.values()])
    for panel, part, values in zip(sheet.panels, parts.values(), drawn, strict=True):
        time, wrong = part["convergence.time"], too_good(part)
        for name, pen in shown.items():
            curves.plot(panel, time, values[name], pen)
        if wrong is not None:
            curves.plot(panel, time, wrong, WRONG)
    sheet.label("time t", r"$\ell(W) - \ell^*$")
    return sheet.figure


def resolved(run: Run, name: str) -> np.ndarray:
    """Return ℓ - ℓ* where it is larger than its estimated error, or a bound where it is above that.

    A bound that goes on far below the smallest loss measured would only take room.
    """
    excess, error = run["convergence.excess_loss"], run["convergence.error"]
    known = np.where(excess > np.nan_to_num(error), excess, np.nan)
    if name == "excess_loss":
        return known
    least = np.nanmin(known) if np.isfinite(known).any() else 0.0
    values = run[f"convergence.{name}"]
    return np.where(values >= least, values, np.nan)


def too_good(run: Run) -> np.ndarray | None:
    """Return the bound with the factor N in its exponent, where W is not square."""
    widths = run.scenario.network.widths
    rate = float(run["convergence.rate_bound"])
    if widths[0] == widths[-1] or len(widths) == 2 or np.isnan(rate):
        return None
    faster = (len(widths) - 1) * rate
    first = run["convergence.excess_loss"][0]
    return np.asarray(first * np.exp(-faster * run["convergence.time"]))


def failing(run: Run) -> str:
    """Name the first hypothesis that fails, and what was found instead; or nothing."""
    names, found = run["convergence.hypothesis"], run["convergence.found"]
    lost = np.flatnonzero(run["convergence.holds"] == 0)
    if not lost.size:
        return ""
    return f"{reading.text(names[lost[0]])} {reading.text(found[lost[0]])}".replace("-", "−")


def rates(run: Run) -> tuple[float, float]:
    """Return the slowest and the fastest rate measured."""
    rate = curves.finite([run["convergence.rate"]])
    return (float(rate.min()), float(rate.max())) if rate.size else (np.nan, np.nan)


def headline(run: Run) -> str:
    """Say at what rates the loss falls, at least at what it must, and after how many iterations."""
    slowest, fastest = rates(run)
    promised = float(run["convergence.rate_bound"])
    said = f"The loss falls at a rate from {number(slowest)} to {number(fastest)}"
    if np.isnan(slowest):
        said = f"The loss {reading.course(run['convergence.loss'])}"
    if np.isfinite(promised):
        said += f"; the theorem promises {number(promised)}"
    elif failing(run):
        said += f"; no theorem promises one ({failing(run)})"
    return "; ".join([said, *counted(run)])


def counted(run: Run) -> list[str]:
    """Say how many iterations the step size with fewest needs, and what the theorem promises."""
    if not reading.drawable(run, "convergence.iterations_measured"):
        return []
    measured = run["convergence.iterations_measured"]
    best = int(np.nanargmin(measured))
    eta = number(float(run["convergence.step_size"][best]))
    said = f"descent takes {number(float(measured[best]))} iterations at η = {eta}"
    promised = float(run["convergence.fewest_iterations"])
    return [said + (f", its theorem {number(promised)}" if np.isfinite(promised) else "")]


def over_variants(parts: dict[str, Run]) -> str:
    """Say for each variant the slowest rate and its bound, or which hypothesis fails."""
    return "Slowest rate, and its bound: " + listed(map(compared, parts, parts.values()), most=5)


def compared(name: str, run: Run) -> str:
    """Say the slowest rate of a variant beside its bound, or which hypothesis fails."""
    slowest, promised = rates(run)[0], float(run["convergence.rate_bound"])
    if np.isfinite(promised):
        return f"{name} {number(slowest)} ≥ {number(promised)}"
    return f"{name} {number(slowest)} (none; {failing(run)})"
