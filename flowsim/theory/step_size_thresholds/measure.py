"""The step sizes at which descent leaves the flow, stops converging, oscillates and diverges."""

from __future__ import annotations

import numpy as np

from flowsim.results.run import Group, named
from flowsim.solvers.trajectory import Trajectory
from flowsim.theory.long_run.fates import numbered
from flowsim.theory.power_law import PowerLaw
from flowsim.theory.setting import Setting
from flowsim.theory.sharpness.measure import settled
from flowsim.theory.step_size_thresholds.brackets import Bracket
from flowsim.theory.step_size_thresholds.following import Course
from flowsim.theory.step_size_thresholds.scanning import Scan
from flowsim.theory.step_size_thresholds.searching import Search
from flowsim.theory.step_size_thresholds.spec import levels

LIMITS = {
    "critical_start": "2/λ_max of the Hessian over the layers at the start",
    "critical_end": "2/λ_max where the flow ends",
    "critical_flow": "2/λ_max at its smallest along the flow",
}
THRESHOLDS = {
    "convergence_lost": "smallest step size η found at which descent does not converge",
    "oscillation": "smallest step size η found at which descent does not stop to oscillate",
    "divergence": "smallest step size η found at which descent diverges",
}
ORDER = {
    "order": "order p of max_k ‖W_k − W(kη)‖_F = C η^p (1 + bη) in the step size η",
    "low": "lower end of the 95 % confidence interval of the order",
    "high": "upper end of the 95 % confidence interval of the order",
    "factor": "C of the order's fit",
    "bend": "b of the order's fit",
    "smallest": "smallest step size that the order is fitted to",
    "largest": "largest step size that the order is fitted to",
    "count": "how many step sizes the order is fitted to",
}
OF_STEPS = {
    "fate": "0 tracks, 1 departs, 2 oscillates, 3 wanders, 4 diverges; nan: undecided",
    "distance": "max_k ‖W_k − W(kη)‖_F to the flow's end, inf where descent diverges before",
    "final_loss": "loss of the last iterate before the flow's end, inf where descent diverged",
    "period": "period of an oscillation in iterations, 1 at rest, nan where there is none",
}


BELOW = "how far below it the next step size is at which it is known not to be so"
AT = {
    "convergence_lost": "does not converge",
    "oscillation": "oscillates",
    "divergence": "diverges",
}
UNKNOWN = Bracket(np.nan, np.nan)
COARSE = 0.1
"""A distance that is not this many times the smallest allowed is not known well enough."""


def measure(setting: Setting) -> Group:
    """Return thresholds with their brackets, the order, and the fate of every step size.

    What an interrupt came before is nan.
    """
    flow, within = setting.flows["layers"], np.array(levels(setting.scenario))
    wanted = np.zeros(0) if setting.descent is None else setting.descent.step_sizes
    limits = _limits(setting, flow)
    search = _search(setting, flow, within)
    law = PowerLaw()
    if search is not None and wanted.size:
        scale = np.array([limit for limit in limits.values() if np.isfinite(limit)] or wanted)
        search.scan(wanted, scale)
        law = search.order()
        search.look_between()
        search.refine()
    return {
        **_by_level(within, search),
        **_single(limits, search, law),
        **_by_step_size(wanted, search),
        **_notes(search),
    }


def _limits(setting: Setting, flow: Trajectory) -> dict[str, float]:
    """Return 2/λ_max at the start, at the end and at its smallest; nan after an interrupt."""
    series = flow.layer_series
    assert series is not None
    found = np.full(flow.times.size, np.nan)
    for i in range(flow.times.size):
        if setting.monitor.stop_requested():
            break
        found[i] = settled(setting.problem, [history[i] for history in series]).largest
    limit = 2 / np.where(found > 0, found, np.nan)
    known = not np.isnan(found).any() and not np.isnan(limit).all()
    least = float(np.nanmin(limit)) if known else float("nan")
    return dict(zip(LIMITS, (float(limit[0]), float(limit[-1]), least), strict=True))


def _search(setting: Setting, flow: Trajectory, within: np.ndarray) -> Search | None:
    """Return a search along the flow, if that was reached at two times or more."""
    problem, series = setting.problem, flow.layer_series
    assert series is not None
    if flow.times.size < 2 or setting.monitor.stop_requested():
        return None
    layers = [np.asarray(history) for history in series]
    course = Course.of(problem.loss, flow.times, layers, problem.weight_decay)
    own = flow.largest_error
    error = course.error + (own if np.isfinite(own) else np.inf)
    return Search.along(
        problem,
        course,
        within * course.size,
        error,
        monitor=setting.monitor,
    )


def _by_level(within: np.ndarray, search: Search | None) -> Group:
    """Return the largest step size that tracks the flow, for each distance allowed."""
    allowed = search.levels if search else np.full(within.size, np.nan)
    leaves = [search.tracking(level) if search else UNKNOWN for level in allowed.tolist()]
    low, width = (np.array([getattr(found, key) for found in leaves]) for key in ("low", "width"))
    columns = {
        "level": (within, "share of the flow's largest ‖W‖_F"),
        "allowed": (allowed, "the distance δ of that share"),
        "tracking": (low, "largest step size that tracks within δ"),
        "tracking_error": (width, "how far above it one does not"),
    }
    return {name: named(("level",), values, says) for name, (values, says) in columns.items()}


def _single(limits: dict[str, float], search: Search | None, law: PowerLaw) -> Group:
    """Return critical step sizes, thresholds with their brackets, and the order."""
    ends = {name: search.threshold(name) if search else UNKNOWN for name in THRESHOLDS}
    numbers = {
        **{name: (value, LIMITS[name]) for name, value in limits.items()},
        **{name: (found.high, THRESHOLDS[name]) for name, found in ends.items()},
        **{f"{name}_error": (found.width, BELOW) for name, found in ends.items()},
        "order": (law.order, ORDER["order"]),
        **{
            f"order_{name}": (getattr(law, name), says)
            for name, says in ORDER.items()
            if name != "order"
        },
        "distance_error": (search.error if search else np.nan, "estimated error of all distances"),
    }
    return {
        name: named((), np.array(value, dtype=float), says)
        for name, (value, says) in numbers.items()
    }


def _by_step_size(wanted: np.ndarray, search: Search | None) -> Group:
    """Return what became of the step sizes of the run, and of all that were walked."""
    scan = search.found if search else Scan.nothing()
    columns = _columns(search) if search else dict.fromkeys(OF_STEPS, np.zeros(0))
    rows = scan.rows(wanted)  # -1 where there is none, the nan at the end
    return {
        "step_size": named(("step_size",), wanted, "step size η"),
        **{
            name: named(("step_size",), np.append(columns[name], np.nan)[rows], says)
            for name, says in OF_STEPS.items()
        },
        "scanned": named(("scanned",), scan.eta, "step sizes η at which descent was followed"),
        **{
            f"scanned_{name}": named(("scanned",), columns[name], says)
            for name, says in OF_STEPS.items()
        },
    }


def _columns(search: Search) -> dict[str, np.ndarray]:
    """Return `OF_STEPS` of every step size that was walked; undecided is nan."""
    scan, within = search.found, float(search.levels.max())
    known = np.abs(scan.distance - within) > search.error
    told = zip(scan.kinds(), np.where(known, scan.distance, np.nan).tolist(), strict=True)
    at_rest = [fate.kind == "settles" for fate in scan.fates]
    cycles = np.array([fate.period for fate in scan.fates], dtype=float)
    return {
        "fate": np.array([numbered(kind, off, within) for kind, off in told], dtype=float),
        "distance": scan.distance,
        "final_loss": scan.loss,
        "period": np.where(at_rest, 1.0, np.where(cycles > 0, cycles, np.nan)),
    }


def _notes(search: Search | None) -> Group:
    """Return what a reader should know of what was not found, or not known well enough."""
    if search is None or not search.found.eta.size:
        return {}
    (low, high), closest = search.found.eta[[0, -1]], float(search.levels.min())
    notes = [
        f"no step size up to {high:.4g} was found at which descent {says}."
        for name, says in AT.items()
        if np.isnan(search.threshold(name).high)
    ]
    notes += [
        f"no step size down to {low:.4g} was found that tracks the flow within {level:.3g}."
        for level in search.levels
        if search.tracking(level).low == 0
    ]
    if search.error > COARSE * closest:
        notes.append(
            f"between saved times the flow is known to {search.error:.2g}, which is not far below "
            f"the distance {closest:.2g} that descent is asked to keep; write more flow.samples, "
            "or a smaller flow.rtol."
        )
    return {"note": named(("note",), np.array(notes, dtype=object), "notes")} if notes else {}
