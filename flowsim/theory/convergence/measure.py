"""Convergence of the layer flow and of gradient descent, compared with proved rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.convergence import formulas as convergence
from flowsim.theory.convergence.certificate import OF_DESCENT, OF_FLOW, Certificate, certificate
from flowsim.theory.convergence.spec import SHARE
from flowsim.theory.global_minimum import Minimum, global_minimum
from flowsim.theory.setting import Arrays, Setting

ROUNDING = 4 * float(np.finfo(float).eps)
"""Rounding error of the difference ℓ - ℓ*, relative to ℓ."""


def measure(setting: Setting) -> Arrays:
    """Return losses, rates and bounds along the layer flow, and the hypotheses of the theorems."""
    problem, trajectory = setting.problem, setting.layer_flow
    spec = setting.scenario.descent
    plain = spec is None or spec.plain
    promised = certificate(problem, spec.sizes if spec else (), plain=plain)
    rows, columns = problem.initial.shape
    minimum = global_minimum(problem.loss, (rows, columns), min(problem.widths), setting.monitor)
    return {
        "time": trajectory.times,
        **_over_time(setting, trajectory, promised, minimum),
        "minimum": minimum.value,
        "minimum_error": minimum.error,
        "polyak_lojasiewicz": problem.loss.polyak_lojasiewicz(),
        "deficiency_margin": promised.margin,
        "rate_bound": promised.rate,
        "largest_imbalance": promised.imbalance,
        "admitted_imbalance": promised.admitted_imbalance,
        "largest_step_size": promised.largest_step_size,
        "fewest_iterations": promised.iterations(np.asarray(promised.largest_step_size), SHARE),
        **(_iterations(setting.descent, promised, minimum) if setting.descent else {}),
        **_hypotheses(promised),
        "note": _notes(promised, minimum),
    }


def _over_time(
    setting: Setting, trajectory: Trajectory, promised: Certificate, minimum: Minimum
) -> dict[str, np.ndarray]:
    """Return the variables over time; nan where they do not exist, or after an interrupt."""
    loss, time = setting.problem.loss, trajectory.times
    path = _along(setting, trajectory, minimum)
    # the difference ℓ - ℓ* loses all digits near the minimum; ½⟨∇ℓ, W - W*⟩ keeps them
    formed = loss.quadratic and minimum.free
    excess = path.excess if formed else trajectory.loss - minimum.value
    # ‖∇ℓ‖ times the error of W is the error of the loss to first order
    error = trajectory.loss_error + path.slope * trajectory.error_estimate
    error = error + (0.0 if formed else minimum.error + ROUNDING * np.abs(trajectory.loss))
    # only the part of the excess above its error can contradict a bound
    resolved = np.maximum(excess - error, 0.0)
    mu = loss.polyak_lojasiewicz()
    exponent = convergence.running_exponent(time, path.smallest)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = excess[0] * np.exp(-promised.rate * time)
        running = excess[0] * np.exp(-2 * mu * exponent)
        return {
            "loss": trajectory.loss,
            "excess_loss": excess,
            "error": error,
            "bound": bound,
            "bound_ratio": resolved / bound,
            "running_bound": running,
            "running_ratio": resolved / running,
            "decrease": path.decrease,
            "rate": np.where(excess > error, path.decrease / excess, np.nan),
            "smallest_eigenvalue": path.smallest,
            "distance_to_minimum": path.distance if minimum.only else np.full(time.size, np.nan),
        }


def _along(setting: Setting, trajectory: Trajectory, minimum: Minimum) -> convergence.Along:
    """Return the layers' quantities at every time, read in batches; nan after an interrupt."""
    series, loss = trajectory.layer_series, setting.problem.loss
    assert series is not None
    count, size = len(series[0]), min(one.rows_at_once for one in series)
    rows = np.full((len(convergence.Along._fields), count), np.nan)
    for first in range(0, count, size):
        if setting.monitor.stop_requested():
            break
        at = slice(first, min(first + size, count))
        rows[:, at] = convergence.along(loss, minimum.W, [history[at] for history in series])
        setting.monitor.report(at.stop / count)
    return convergence.Along(*rows)


def _iterations(descent: DescentTrajectory, promised: Certificate, minimum: Minimum) -> Arrays:
    """Return the iterations until ℓ - ℓ* is `SHARE` of its first value: the bound and measurements.

    Only recorded iterates are compared. If the loss decreases monotonically, the true number is
    between the last recorded iterate above that value and the first one below.
    """
    excess = descent.loss - minimum.value
    with np.errstate(invalid="ignore"):
        below = excess <= SHARE * excess[:, :1]
        above = (excess > SHARE * excess[:, :1]) & ~np.logical_or.accumulate(below, axis=1)
    count = descent.iteration.astype(float)
    measured = np.min(np.where(below, count, np.inf), axis=1)
    last = np.max(np.where(above, count, -np.inf), axis=1)
    return {
        "step_size": descent.step_sizes,
        "iterations_bound": promised.iterations(descent.step_sizes, SHARE),
        "iterations_above": np.where(np.isfinite(last), last, np.nan),
        "iterations_measured": np.where(np.isfinite(measured), measured, np.nan),
    }


def _hypotheses(promised: Certificate) -> Arrays:
    """Return the hypotheses by name, in words, and whether each holds: 1, 0 or nan."""
    names, required, actual, holds = zip(*promised.hypotheses, strict=True)
    return {
        "hypothesis": names,
        "wanted": required,
        "found": actual,
        "holds": np.array(holds, dtype=float),  # None becomes nan
    }


def _notes(promised: Certificate, minimum: Minimum) -> list[str]:
    """Return one sentence per failing hypothesis, and one if no minimizer is known."""
    theorems: dict[str, Sequence[str]] = {"the bound on the flow": OF_FLOW}
    if any(one.name == "step size" for one in promised.hypotheses):
        theorems["the theorem on descent"] = OF_DESCENT
    notes = [
        f"{theorem} does not apply: {one.name} fails, required is {one.required}, "
        f"but it is {one.actual}."
        for theorem, names in theorems.items()
        for one in promised.failing(names)
        if one.holds is not None
    ]
    if minimum.W is None:
        notes.append(f"the distance to a minimizer is not available: {minimum.how}.")
    return notes
