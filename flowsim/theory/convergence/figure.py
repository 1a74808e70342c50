"""Excess loss ℓ − ℓ* along the layer flow, beside the bounds that theorems give for it."""

from __future__ import annotations

import numpy as np

from flowsim.pictures.kit import curves, layout, reading, style
from flowsim.pictures.kit.words import join_words, number
from flowsim.results.run import Run

LINE_STYLES: dict[str, style.LineStyle] = {
    "excess_loss": {"color": "#0072B2", "linewidth": 1.8, "zorder": 3},
    "bound": {"color": "#D55E00", "linewidth": 1.2, "linestyle": (0, (5, 2)), "zorder": 3.2},
    "running_bound": {
        "color": style.INK, "linewidth": 0.9, "linestyle": (0, (1, 2)), "zorder": 3.4,
    },
}  # fmt: skip
LABELS = {
    "excess_loss": "measured",
    "bound": "bound from the margin at t = 0",
    "running_bound": "bound from P_W's smallest eigenvalue so far",
}
INVALID: style.LineStyle = {
    "color": "#8a8a8a", "linewidth": 0.9, "linestyle": (0, (3, 1, 1, 1)),
}  # fmt: skip
INVALID_LABEL = "N times that rate: not a bound, W is not square"


def why_unavailable(run: Run) -> str | None:
    """Return the reason why the figure is unavailable, or None."""
    return reading.why_missing(run, "convergence.excess_loss")


def draw(subject: reading.Subject) -> layout.PanelGrid:
    """Draw ℓ(t) − ℓ*, its bounds, and the N times larger rate that is wrong if W is not square."""
    parts = subject.parts
    shown = {
        name: line_style
        for name, line_style in LINE_STYLES.items()
        if any(reading.has_numbers(part, f"convergence.{name}") for part in parts.values())
    }
    invalid = any(invalid_bound(part) is not None for part in parts.values())
    grid = layout.panel_grid(
        subject,
        legend={LABELS[name]: line_style for name, line_style in shown.items()}
        | ({INVALID_LABEL: INVALID} if invalid else {}),
    )
    curves.time_axes(grid.panels, parts.values(), lambda part: [part["convergence.time"]])
    drawn = [{name: above_error(part, name) for name in shown} for part in parts.values()]
    curves.log_axis(grid.panels, [values for of_part in drawn for values in of_part.values()])
    for panel, part, values in zip(grid.panels, parts.values(), drawn, strict=True):
        time, wrong = part["convergence.time"], invalid_bound(part)
        for name, line_style in shown.items():
            curves.plot(panel, time, values[name], line_style)
        if wrong is not None:
            curves.plot(panel, time, wrong, INVALID)
    grid.label("time t", r"$\ell(W) - \ell^*$")
    return grid


def above_error(run: Run, name: str) -> np.ndarray:
    """Return ℓ − ℓ* where it exceeds its estimated error, or a bound where it is above that.

    A bound far below the smallest measured excess loss would only stretch the axis.
    """
    excess, error = run["convergence.excess_loss"], run["convergence.error"]
    # an unknown error counts as 0
    known = np.where(excess > np.nan_to_num(error), excess, np.nan)
    if name == "excess_loss":
        return known
    least = np.nanmin(known) if np.isfinite(known).any() else 0.0
    values = run[f"convergence.{name}"]
    return np.where(values >= least, values, np.nan)


def invalid_bound(run: Run) -> np.ndarray | None:
    """Return the curve of N times the proved rate, or None if that rate is proved or unknown.

    For square W the smallest eigenvalue of P_W gains a factor N; for other shapes it does not.
    """
    widths = run.scenario.network.widths
    rate = float(run["convergence.rate_bound"])
    # for square W the larger rate is proved, and with one layer both are equal
    if widths[0] == widths[-1] or len(widths) == 2 or np.isnan(rate):
        return None
    faster = (len(widths) - 1) * rate
    first = run["convergence.excess_loss"][0]
    return np.asarray(first * np.exp(-faster * run["convergence.time"]))


def failed_hypothesis(run: Run) -> str:
    """Return the first hypothesis that fails with its actual value, or an empty text."""
    names, actual = run["convergence.hypothesis"], run["convergence.found"]
    failed = np.flatnonzero(run["convergence.holds"] == 0)
    if not failed.size:
        return ""
    k = failed[0]
    return f"{reading.decode(names[k])} {reading.decode(actual[k])}".replace("-", "−")


def slowest_and_fastest_rate(run: Run) -> tuple[float, float]:
    """Return the smallest and the largest measured rate."""
    rate = curves.finite_values([run["convergence.rate"]])
    return (float(rate.min()), float(rate.max())) if rate.size else (np.nan, np.nan)


def headline(run: Run) -> str:
    """Return the measured rates, the proved rate, and the number of iterations."""
    slowest, fastest = slowest_and_fastest_rate(run)
    proved = float(run["convergence.rate_bound"])
    sentence = f"The loss falls at a rate from {number(slowest)} to {number(fastest)}"
    if np.isnan(slowest):
        sentence = f"The loss {reading.describe_change(run['convergence.loss'])}"
    if np.isfinite(proved):
        sentence += f"; the proved rate is {number(proved)}"
    elif failed_hypothesis(run):
        sentence += f"; no rate is proved ({failed_hypothesis(run)})"
    return "; ".join([sentence, *describe_iterations(run)])


def describe_iterations(run: Run) -> list[str]:
    """Return the fewest iterations over the step sizes, and the proved number."""
    if not reading.has_numbers(run, "convergence.iterations_measured"):
        return []
    measured = run["convergence.iterations_measured"]
    best = int(np.nanargmin(measured))
    eta = number(float(run["convergence.step_size"][best]))
    phrase = f"descent takes {number(float(measured[best]))} iterations at η = {eta}"
    proved = float(run["convergence.fewest_iterations"])
    return [phrase + (f", at most {number(proved)} by theorem" if np.isfinite(proved) else "")]


def over_variants(parts: dict[str, Run]) -> str:
    """Return for each variant the slowest rate and its bound, or the hypothesis that fails."""
    return "Slowest rate, and its bound: " + join_words(map(compare, parts, parts.values()), most=5)


def compare(name: str, run: Run) -> str:
    """Return the slowest rate of a variant beside its bound, or the hypothesis that fails."""
    slowest, proved = slowest_and_fastest_rate(run)[0], float(run["convergence.rate_bound"])
    if np.isfinite(proved):
        return f"{name} {number(slowest)} ≥ {number(proved)}"
    return f"{name} {number(slowest)} (none; {failed_hypothesis(run)})"
