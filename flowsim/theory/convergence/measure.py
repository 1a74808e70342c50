"""Convergence along the layer flow and of descent, beside what theorems promise for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowsim.problem.losses import QUADRATIC, Loss
from flowsim.results.run import TIME, Group, named
from flowsim.solvers.descend import DescentTrajectory
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.convergence import formulas as convergence
from flowsim.theory.convergence.certificate import OF_DESCENT, OF_FLOW, Certificate, certificate
from flowsim.theory.global_minimum import Minimum, global_minimum
from flowsim.theory.setting import Setting

SHARE = 1e-3
"""Iterations are counted until ℓ - ℓ* is this share of what it was at the start."""

ROUNDING = 4 * float(np.finfo(float).eps)
"""What is lost, relative to ℓ, in the difference ℓ - ℓ*."""

OVER_TIME = {
    "loss": "loss ℓ(W)",
    "excess_loss": "ℓ(W) − ℓ*",
    "error": "estimated error of ℓ(W) − ℓ*",
    "bound": "bound (ℓ(0) − ℓ*) e^{−rt} on ℓ − ℓ* from the deficiency margin",
    "bound_ratio": "ℓ − ℓ*, less its estimated error, over its bound",
    "running_bound": "bound (ℓ(0) − ℓ*) exp(−2μ ∫λ ds) on ℓ − ℓ*",
    "running_ratio": "ℓ − ℓ*, less its estimated error, over its running bound",
    "decrease": "−dℓ/dt = Σ_j ‖∂φ/∂W_j‖²",
    "rate": "−d log(ℓ − ℓ*)/dt",
    "smallest_eigenvalue": "smallest eigenvalue λ of P_W; away from balance a bound from below",
    "distance_to_minimum": "‖W − W*‖_F to the only minimizer",
}


def measure(setting: Setting) -> Group:
    """Return losses, rates and bounds along the layer flow, and the hypotheses of the theorems."""
    problem, trajectory = setting.problem, setting.flows["layers"]
    spec = setting.scenario.descent
    plain = spec is None or spec.plain
    promised = certificate(problem, spec.sizes if spec else (), plain=plain)
    rows, columns = problem.start.shape
    minimum = global_minimum(problem.loss, (rows, columns), min(problem.widths))
    found = _over_time(setting, trajectory, promised, minimum)
    return {
        "time": named(("time",), trajectory.times, TIME),
        **{name: named(("time",), found[name], told) for name, told in OVER_TIME.items()},
        **_numbers(problem.loss, promised, minimum),
        **(_iterations(setting.descent, promised, minimum) if setting.descent else {}),
        **_hypotheses(promised),
        **_notes(promised, minimum),
    }


def _over_time(
    setting: Setting, trajectory: Trajectory, promised: Certificate, minimum: Minimum
) -> dict[str, np.ndarray]:
    """Return everything in `OVER_TIME`; nan where it does not exist, or after an interrupt."""
    loss, time = setting.problem.loss, trajectory.times
    found = _along(setting, trajectory, minimum)
    # a quadratic form does not cancel as the difference ℓ - ℓ* does
    formed = isinstance(loss, QUADRATIC) and minimum.free
    excess = found.excess if formed else trajectory.loss - minimum.value
    error = trajectory.loss_error + found.slope * trajectory.error_estimate
    error = error + (0.0 if formed else minimum.error + ROUNDING * np.abs(trajectory.loss))
    resolved = np.maximum(excess - error, 0.0)
    mu = convergence.polyak_lojasiewicz(loss)
    exponent = convergence.running_exponent(time, found.smallest)
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
            "decrease": found.decrease,
            "rate": np.where(excess > error, found.decrease / excess, np.nan),
            "smallest_eigenvalue": found.smallest,
            "distance_to_minimum": found.distance if minimum.only else np.full(time.size, np.nan),
        }


def _along(setting: Setting, trajectory: Trajectory, minimum: Minimum) -> convergence.Along:
    """Return what is taken of the layers at every time, piece by piece; nan after an interrupt."""
    series, loss = trajectory.layer_series, setting.problem.loss
    assert series is not None
    count, size = len(series[0]), min(one.rows_at_once for one in series)
    found = np.full((len(convergence.Along._fields), count), np.nan)
    for first in range(0, count, size):
        if setting.monitor.stop_requested():
            break
        at = slice(first, min(first + size, count))
        found[:, at] = convergence.along(loss, minimum.W, [history[at] for history in series])
        setting.monitor.report(at.stop / count)
    return convergence.Along(*found)


def _numbers(loss: Loss, promised: Certificate, minimum: Minimum) -> Group:
    """Return the single numbers: of the minimum, and of the theorems."""
    largest = promised.largest_step_size
    told = {
        "minimum": (minimum.value, "least loss ℓ* over matrices of the rank that the widths allow"),
        "minimum_error": (minimum.error, "estimated error of ℓ*"),
        "polyak_lojasiewicz": (convergence.polyak_lojasiewicz(loss), "μ in ½‖∇ℓ‖² ≥ μ(ℓ − ℓ*)"),
        "deficiency_margin": (promised.margin, "deficiency margin c = σ_min(Φ) − ‖W(0) − Φ‖_F"),
        "rate_bound": (promised.rate, "rate r of the bound"),
        "largest_imbalance": (promised.imbalance, "largest imbalance of the start"),
        "admitted_imbalance": (promised.admitted_imbalance, "largest imbalance δ of the theorem"),
        "largest_step_size": (largest, "largest step size η of the theorem"),
        "fewest_iterations": (
            promised.iterations(np.asarray(largest), SHARE),
            f"iterations of the theorem to {SHARE:g} of ℓ(0) − ℓ*, at its largest step size",
        ),
    }
    return {name: named((), np.asarray(value), text) for name, (value, text) in told.items()}


def _iterations(descent: DescentTrajectory, promised: Certificate, minimum: Minimum) -> Group:
    """Return the iterations to `SHARE` of ℓ - ℓ* at each step size: promised, and as recorded.

    Only recorded iterates are looked at. Where the loss falls all along, the first iterate of all
    that is low enough lies between the last recorded one above and the first recorded one below.
    """
    excess = descent.loss - minimum.value
    with np.errstate(invalid="ignore"):
        below = excess <= SHARE * excess[:, :1]
        above = (excess > SHARE * excess[:, :1]) & ~np.logical_or.accumulate(below, axis=1)
    count = descent.iteration.astype(float)
    measured = np.min(np.where(below, count, np.inf), axis=1)
    last = np.max(np.where(above, count, -np.inf), axis=1)
    told = {
        "step_size": (descent.step_sizes, "step size η"),
        "iterations_bound": (
            promised.iterations(descent.step_sizes, SHARE),
            f"iterations of the theorem to {SHARE:g} of ℓ(0) − ℓ*",
        ),
        "iterations_above": (
            np.where(np.isfinite(last), last, np.nan),
            f"last iteration recorded before with more than {SHARE:g} of ℓ(0) − ℓ*",
        ),
        "iterations_measured": (
            np.where(np.isfinite(measured), measured, np.nan),
            f"first iteration recorded with at most {SHARE:g} of ℓ(0) − ℓ*",
        ),
    }
    return {name: named(("step_size",), values, text) for name, (values, text) in told.items()}


def _hypotheses(promised: Certificate) -> Group:
    """Return the hypotheses by name, in words, and whether each holds: 1, 0 or nan."""
    names, wanted, found, holds = zip(*promised.hypotheses, strict=True)
    at = ("hypothesis",)
    return {
        "hypothesis": named(at, np.array(names, dtype=object), "hypothesis of a theorem"),
        "wanted": named(at, np.array(wanted, dtype=object), "what it wants"),
        "found": named(at, np.array(found, dtype=object), "what was found"),
        "holds": named(at, np.array(holds, dtype=float), "whether it holds: 1, 0, or nan"),
    }


def _notes(promised: Certificate, minimum: Minimum) -> Group:
    """Return sentences for the summary: which theorem does not apply and why, what is not known."""
    theorems: dict[str, Sequence[str]] = {"the bound on the flow": OF_FLOW}
    if any(one.name == "step size" for one in promised.hypotheses):
        theorems["the theorem on descent"] = OF_DESCENT
    notes = [
        f"{theorem} does not apply: {one.name} fails, wanted {one.wanted}, found {one.found}."
        for theorem, names in theorems.items()
        for one in promised.failing(names)
        if one.holds is not None
    ]
    if minimum.W is None:
        notes.append(f"there is no distance to a minimum: {minimum.how}.")
    return {"note": named(("note",), np.array(notes, dtype=object), "notes")} if notes else {}
