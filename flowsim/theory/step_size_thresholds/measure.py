"""Step sizes above which descent no longer tracks the flow, stops converging, or diverges."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from flowsim.results.power_law import PowerLaw
from flowsim.solvers.behaviour import Behaviour
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.long_run.regimes import regime_code
from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.sharpness.measure import extremes_or_nan
from flowsim.theory.step_size_thresholds.scanning import Course, Scan, Scanner
from flowsim.theory.step_size_thresholds.searching import Bracket, Search
from flowsim.theory.step_size_thresholds.spec import OF_STEPS, THRESHOLDS, levels

UNKNOWN = Bracket(np.nan, np.nan)
COARSE = 0.1
"""Largest error of the flow over the smallest allowed distance without a note."""


def measure(setting: Setting) -> Arrays:
    """Return thresholds with their brackets, the order, and the behaviour at every step size.

    Values after an interrupt are nan.
    """
    flow, within = setting.layer_flow, np.array(levels(setting.scenario))
    sizes = np.zeros(0) if setting.descent is None else setting.descent.step_sizes
    limits = _limits(setting, flow)
    search = _search(setting, flow, within)
    law = PowerLaw()
    if search is not None and sizes.size:
        scale = np.array([limit for limit in limits.values() if np.isfinite(limit)] or sizes)
        search.scan(sizes, scale)
        law = search.order()
        search.look_between()
        search.refine()
    return {
        **_by_level(within, search),
        **limits,
        **_single(search, law),
        **_by_step_size(sizes, search),
        "note": _notes(search),
    }


def _limits(setting: Setting, flow: Trajectory) -> dict[str, float]:
    """Return 2/λ_max at initialization, at the final point and at its smallest along the flow.

    It is nan where λ_max ≤ 0, where no step size is unstable, and after an interrupt.
    """
    sharpness = np.full(flow.times.size, np.nan)
    for i in range(flow.times.size):
        if setting.monitor.stop_requested():
            break
        sharpness[i] = extremes_or_nan(setting.problem, setting.layers(i)).largest
    limit = 2 / np.where(sharpness > 0, sharpness, np.nan)
    known = not np.isnan(sharpness).any() and not np.isnan(limit).all()
    return {
        "critical_start": float(limit[0]),
        "critical_end": float(limit[-1]),
        "critical_flow": float(np.nanmin(limit)) if known else float("nan"),
    }


def _search(setting: Setting, flow: Trajectory, within: np.ndarray) -> Search | None:
    """Return a search along the flow, or None if the flow has fewer than two saved times."""
    problem, series = setting.problem, flow.layer_series
    assert series is not None
    if flow.times.size < 2 or setting.monitor.stop_requested():
        return None
    layers = [np.asarray(history) for history in series]
    course = Course.of(problem.loss, flow.times, layers, problem.weight_decay)
    own = flow.largest_error
    # errors of the solution and of its interpolation add up; without an estimate all is undecided
    error = course.error + (own if np.isfinite(own) else np.inf)
    scanner = Scanner.of(problem, course, setting.monitor.silent())
    return Search(scanner, within * course.size, error, setting.monitor)


def _by_level(within: np.ndarray, search: Search | None) -> Arrays:
    """Return the largest step size that tracks the flow, for each allowed distance."""
    allowed = search.levels if search else np.full(within.size, np.nan)
    brackets = [search.tracking(level) if search else UNKNOWN for level in allowed.tolist()]
    return {
        "level": within,
        "allowed": allowed,
        "tracking": np.array([bracket.low for bracket in brackets]),
        "tracking_error": np.array([bracket.width for bracket in brackets]),
    }


def _single(search: Search | None, law: PowerLaw) -> Arrays:
    """Return the thresholds with their brackets, and the order."""
    ends = {name: search.threshold(name) if search else UNKNOWN for name in THRESHOLDS}
    order = {name: float(value) for name, value in asdict(law).items()}
    return {
        **{name: bracket.high for name, bracket in ends.items()},
        **{f"{name}_error": bracket.width for name, bracket in ends.items()},
        "order": order.pop("order"),
        **{f"order_{name}": value for name, value in order.items()},
        "distance_error": search.error if search else np.nan,
    }


def _by_step_size(sizes: np.ndarray, search: Search | None) -> Arrays:
    """Return the behaviour at the step sizes of the run, and at all that were iterated."""
    scan = search.found if search else Scan.nothing()
    names = [spec.name for spec in OF_STEPS]
    columns = _columns(search) if search else dict.fromkeys(names, np.zeros(0))
    rows = scan.rows(sizes)  # -1 where a step size was not iterated: the nan at the end
    return {
        "step_size": sizes,
        **{name: np.append(columns[name], np.nan)[rows] for name in names},
        "scanned": scan.eta,
        **{f"scanned_{name}": columns[name] for name in names},
    }


def _columns(search: Search) -> dict[str, np.ndarray]:
    """Return `OF_STEPS` of every step size that was iterated; undecided is nan."""
    scan, within = search.found, float(search.levels.max())
    known = np.abs(scan.distance - within) > search.error
    decided = zip(scan.kinds(), np.where(known, scan.distance, np.nan).tolist(), strict=True)
    converges = [each.kind is Behaviour.CONVERGES for each in scan.behaviours]
    cycles = np.array([each.period for each in scan.behaviours], dtype=float)
    return {
        "fate": np.array([regime_code(kind, off, within) for kind, off in decided], dtype=float),
        "distance": scan.distance,
        "final_loss": scan.loss,
        "period": np.where(converges, 1.0, np.where(cycles > 0, cycles, np.nan)),
    }


def _notes(search: Search | None) -> list[str]:
    """Return a sentence per threshold that was not found, and one if the flow is too inaccurate."""
    if search is None or not search.found.eta.size:
        return []
    (low, high), closest = search.found.eta[[0, -1]], float(search.levels.min())
    notes = [
        f"no step size up to {high:.4g} was found at which descent {what}."
        for name, what in THRESHOLDS.items()
        if np.isnan(search.threshold(name).high)
    ]
    notes += [
        f"no step size down to {low:.4g} was found that tracks the flow within {level:.3g}."
        for level in search.levels
        if search.tracking(level).low == 0
    ]
    if search.error > COARSE * closest:
        notes.append(
            f"the error of the flow between saved times, {search.error:.2g}, is not far below the "
            f"allowed distance {closest:.2g}; write more flow.samples, or a smaller flow.rtol."
        )
    return notes
